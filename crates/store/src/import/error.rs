//! What can be wrong with a file of embeddings, and what to do about it.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// Why embeddings that another program made cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file that is not of the expected form as a whole.
    #[error("`{}`: expected {expected}, found {found}; {remedy}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// A row that is no embedding.
    #[error("`{}`, row {row} (from 0): expected {expected}, found {found}; {remedy}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 0 as NumPy and pandas count.
        row: usize,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Two parts of the rows with a different number of them.
    #[error(
        "`{}` has {found} rows of {part}, `{}` {expected} of embeddings: expected a row for each embedding, in \
         the same order; write both from the same rows",
        path.display(), embeddings.display()
    )]
    Rows {
        /// The file.
        path: PathBuf,
        /// What its rows are.
        part: &'static str,
        /// The file of the embeddings.
        embeddings: PathBuf,
        /// How many embeddings there are.
        expected: usize,
        /// How many rows were found.
        found: usize,
    },
    /// The Parquet library failed.
    #[error("`{}`: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's message.
        source: ParquetError,
    },
    /// The file system failed; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ImportError {
    pub(super) fn file(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::File {
            path: path.to_owned(),
            expected: expected.into(),
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}
