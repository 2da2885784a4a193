//! What can go wrong with a store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use facefold_core::{Fingerprint, ImageKey};
use parquet::errors::ParquetError;

use crate::layout::Layout;
use crate::remedy::run_again;

/// A failure to open, write or read a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store at the path.
    #[error(
        "expected a store at `{path}`, found no `store.json` there; `facefold extract` or `facefold store import` \
         makes one"
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// A new store would be among other files.
    #[error("`{path}` holds `{found}` but no `store.json`: choose a new or an empty directory")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// An export would be among the files of a store.
    #[error("`{path}` is the directory of a store: expected one for an export; choose another")]
    IntoStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by another version of the format.
    #[error(
        "`{path}` has store format {found}, expected {expected}: make it anew in another --store"
    )]
    OtherFormat {
        /// The directory.
        path: PathBuf,
        /// The version found.
        found: u64,
        /// The version this program reads and writes.
        expected: u32,
    },
    /// The store's taps are of other maps than those that this version extracts.
    #[error(
        "the taps in `{path}` are of an earlier layout: expected {expected}, found {found} values a face of \
         other maps; make the store anew with `{command}`"
    )]
    OtherTaps {
        /// The directory.
        path: PathBuf,
        /// The layout that this version extracts.
        expected: &'static str,
        /// Length of the taps in the store.
        found: usize,
        /// The command that makes it anew.
        command: String,
    },
    /// The store holds embeddings of another network, preprocessing or precision class.
    #[error(
        "`{path}` holds embeddings with fingerprint {stored} ({stored_by}), expected {wanted} \
         ({wanted_by}), and the two must not be mixed: use another --store, or delete \
         this one"
    )]
    OtherFingerprint {
        /// The directory.
        path: PathBuf,
        /// Fingerprint of the store.
        stored: Fingerprint,
        /// Model and precision of the store.
        stored_by: String,
        /// Requested fingerprint.
        wanted: Fingerprint,
        /// Requested model and precision.
        wanted_by: String,
    },
    /// Same fingerprint, but with taps on one side only, or other taps.
    #[error(
        "`{path}` holds embeddings of {stored_embedding} values with {stored_taps} taps, this \
         extractor makes {wanted_embedding} with {wanted_taps}: use another --store, or give the \
         same --taps"
    )]
    OtherLengths {
        /// The directory.
        path: PathBuf,
        /// Length of the embeddings in the store.
        stored_embedding: usize,
        /// Length of the taps in the store; 0 without taps.
        stored_taps: usize,
        /// Requested length of the embeddings.
        wanted_embedding: usize,
        /// Requested length of the taps.
        wanted_taps: usize,
    },
    /// The store has the label rows of another data set.
    #[error(
        "`{path}` has the label rows of another data set: expected {stored}, found {wanted}; name another \
         --store"
    )]
    OtherDataset {
        /// The directory.
        path: PathBuf,
        /// What the store's data set has.
        stored: String,
        /// The value of the requested one.
        wanted: String,
    },
    /// A shard or a log of another network lies in the store.
    #[error(
        "`{path}` is of another network than that of `store.json`: expected the fingerprint {expected}, found \
         {found}; move it out of the store and run the command again that made the store, or restore the \
         `store.json` that belongs to it"
    )]
    ForeignFile {
        /// The shard, or the log.
        path: PathBuf,
        /// The store's fingerprint.
        expected: Fingerprint,
        /// The file's.
        found: String,
    },
    /// Another writer holds the store.
    #[error("`{path}` is being written by another run: wait until it ends, or use another --store")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier write failed and could not be undone.
    #[error("`{path}` cannot be written since an earlier error: run the same command again")]
    Poisoned {
        /// The directory, or its log.
        path: PathBuf,
    },
    /// An outcome that does not fit the store.
    #[error("picture {key}: {what}")]
    Mismatch {
        /// The picture.
        key: ImageKey,
        /// What was expected and what was found.
        what: String,
    },
    /// A file holds something else than was written.
    #[error("`{path}` is corrupt: {what}; {remedy}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Requested rows that the store does not have.
    #[error(
        "{missing} of {asked} pictures have no embedding of variant {variant} in `{path}`, the \
         first is {first}: {again}"
    )]
    Missing {
        /// The directory.
        path: PathBuf,
        /// How many are missing.
        missing: usize,
        /// Number of requested rows.
        asked: usize,
        /// The requested variant.
        variant: u32,
        /// The first that is missing.
        first: ImageKey,
        /// The command to run again.
        again: String,
    },
    /// Taps requested from a store without.
    #[error(
        "`{path}` has no taps: extract again with --taps, or import with --taps FILE, into another --store, or use \
         --features embedding"
    )]
    NoTaps {
        /// The directory.
        path: PathBuf,
    },
    /// No samples table yet.
    #[error(
        "`{path}` has no samples table yet: let the `extract`, `store import` or `store merge` command that makes \
         the store run to its end"
    )]
    NoSamples {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing to forget.
    #[error(
        "`{path}` has no rows of {what}: expected a subject as the label rows name it, or a picture's path \
         as they give it; `facefold store export` writes both"
    )]
    Unknown {
        /// The directory.
        path: PathBuf,
        /// Who or what was named.
        what: String,
    },
    /// A removal from a store whose label rows do not yet name all of its pictures.
    #[error(
        "nothing was removed from `{path}`: expected a label row for each picture, found {pictures} pictures \
         without one, of a run that was cut off, and any of them may be one to forget; {first}, then this one"
    )]
    UnknownPictures {
        /// The directory.
        path: PathBuf,
        /// How many pictures have no label row.
        pictures: usize,
        /// What is to be done first.
        first: String,
    },
    /// The Parquet library failed.
    #[error("`{path}`: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's message.
        source: ParquetError,
    },
    /// The Arrow library failed.
    #[error("cannot build a table: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The header cannot be written as JSON.
    #[error("cannot write the header: {0}")]
    Json(#[from] serde_json::Error),
    /// A table cannot be written.
    #[error("cannot write CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The file system failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StoreError {
    /// A failure to write a Parquet file. Where it is the disk's, the disk's words are enough.
    pub(crate) fn parquet(path: &Path, source: ParquetError) -> Self {
        if let ParquetError::External(error) = &source
            && let Some(error) = error.downcast_ref::<io::Error>()
        {
            let what = format!("cannot write `{}`: {}", path.display(), error.kind());
            return Self::Io(io::Error::new(error.kind(), what));
        }
        Self::Parquet { path: path.to_owned(), source }
    }

    pub(crate) fn corrupt_shard(path: &Path, what: impl Into<String>) -> Self {
        // Shards lie in a directory of the store's, and the log in the store's own.
        let above = path.ancestors().skip(1).take(2);
        let store = above.into_iter().find(|directory| Layout::new(directory).header().exists());
        let again = run_again(store.unwrap_or(path));
        let remedy = format!("delete the file and {again}: only its pictures are done anew");
        Self::Corrupt { path: path.to_owned(), what: what.into(), remedy }
    }
}
