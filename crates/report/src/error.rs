//! Why a report cannot be written or read.

use std::path::PathBuf;

use facefold_evaluate::EvaluateError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A directory that has the report of another run.
    #[error(
        "`{path}` holds another report: expected an empty directory or this report's own; give another \
         directory (--out)"
    )]
    OtherReport {
        /// The directory.
        path: PathBuf,
    },
    /// References are asked of a comparison, which has none.
    #[error(
        "a comparison has no references: expected latex, csv or markdown; `report export` has those of a result"
    )]
    NoReferences,
    /// A directory that another program writes into.
    #[error(
        "another run writes its report into `{path}`: wait for it, or name another directory with --out"
    )]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that is a store's.
    #[error(
        "`{path}` is the directory of a store: expected one for a report; name another with --out"
    )]
    Store {
        /// The directory.
        path: PathBuf,
    },
    /// A link in a report's directory, behind which files of others would be replaced.
    #[error(
        "`{path}` is a link: expected a directory of the report's own, as files in it are replaced and \
         deleted; remove the link, or name another directory with --out"
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file of another program under the name of one of a report's.
    #[error(
        "`{path}` would be replaced, and nothing next to it is of a report: expected an empty directory, or one that \
         a run has written its report into; move the file away, or name another directory with --out"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Nothing is there, or something else than a report.
    #[error(
        "expected a report at `{}`, found no `report.json` there; `facefold cv` makes one", path.display()
    )]
    NoReport {
        /// The directory, or the file.
        path: PathBuf,
    },
    /// A file that is no report.
    #[error("`{}` is no report that this version can read: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// A plot that cannot be drawn as a picture.
    #[error("cannot draw a plot as PNG: {message}")]
    Picture {
        /// What failed.
        message: String,
    },
    /// A result without every row's predictions.
    #[error("comparing needs every row's predictions: {0}; run the report's `facefold cv` again")]
    Predictions(Box<EvaluateError>),
    /// Results whose heads cannot be compared.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// No task with two heads.
    #[error("nothing to compare: no task has two heads in these results")]
    NothingToCompare,
}
