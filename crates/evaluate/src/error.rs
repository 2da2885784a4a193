//! Errors of splitting, cross-validation and comparison.

use std::path::PathBuf;

use facefold_core::HeadError;

use crate::row_info::Leak;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A text that names no protocol.
    #[error(
        "expected a protocol `folds`, `kfold:K` with K of at least 2, `split`, `leave-one-set-out`, \
         `random80` or `random80:N`, found `{0}`"
    )]
    InvalidProtocol(String),
    /// The rows lack what the protocol divides by.
    #[error(
        "protocol `{protocol}` needs a {needed} on every row, but {missing} of {rows} rows have \
         none, the first of them `{path}`; try `--protocol kfold:5`"
    )]
    Unassigned {
        /// The requested protocol.
        protocol: String,
        /// `fold` or `split`.
        needed: &'static str,
        /// Rows without it.
        missing: usize,
        /// All rows.
        rows: usize,
        /// The first row without it.
        path: String,
    },
    /// Subjects that would be both in training and in test.
    #[error(
        "{} in more than one {place}, so a head would be tested on people it was trained on: {}; \
         correct the lists, or divide by subject with `--protocol kfold:5`",
        subjects(.leaks.len()),
        listed(.leaks)
    )]
    SharedSubjects {
        /// `fold` or `split`.
        place: &'static str,
        /// All such subjects, by name.
        leaks: Vec<Leak>,
    },
    /// Too few rows or subjects to divide.
    #[error("cannot divide the rows: {0}")]
    TooFew(String),
    /// Sizes or values that do not belong together.
    #[error("{0}")]
    Inconsistent(String),
    /// A head that failed on one split.
    #[error("head `{head}` on split `{split}` with seed {seed}: {source}")]
    Fit {
        /// Name of the head.
        head: String,
        /// Name of the split.
        split: String,
        /// Seed of the fit.
        seed: u64,
        /// The head's error.
        #[source]
        source: HeadError,
    },
    /// Cancelled; finished fits are in the journal.
    #[error("stopped after {done} of {total} fits; the same command goes on from there")]
    Cancelled {
        /// Fits that are finished.
        done: usize,
        /// Fits of the whole run.
        total: usize,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file whose content is not what it should be.
    #[error("`{}`: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// Results that have no rows in common, or differ in what they predict.
    #[error("cannot compare: {0}")]
    Incomparable(String),
}

fn subjects(count: usize) -> String {
    if count == 1 { "1 subject is".to_owned() } else { format!("{count} subjects are") }
}

fn listed(leaks: &[Leak]) -> String {
    const SHOWN: usize = 5;
    let mut text = leaks.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if leaks.len() > SHOWN {
        text.push_str("; …");
    }
    text
}
