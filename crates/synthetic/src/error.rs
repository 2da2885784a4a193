//! Errors of generating a synthetic dataset.

use std::path::PathBuf;

use crate::{MARKER, MAXIMUM_SUBJECTS, MINIMUM_PICTURES_A_SUBJECT, MINIMUM_SUBJECTS, SIDE_RANGE};

/// Why a synthetic dataset could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// The number of subjects is out of range.
    #[error(
        "cannot draw {0} subjects: expected {MINIMUM_SUBJECTS} (one for each age group) to \
         {MAXIMUM_SUBJECTS}"
    )]
    Subjects(usize),
    /// Too few pictures for so many subjects.
    #[error(
        "cannot draw {pictures} pictures of {subjects} subjects: expected at least \
         {MINIMUM_PICTURES_A_SUBJECT} pictures a subject, {} in all; ask for more pictures or fewer \
         subjects", subjects * MINIMUM_PICTURES_A_SUBJECT
    )]
    Pictures {
        /// Requested pictures.
        pictures: usize,
        /// Requested subjects.
        subjects: usize,
    },
    /// The side of a picture is out of range.
    #[error(
        "cannot draw pictures of {side} pixels a side: expected {} to {}",
        SIDE_RANGE.start(), SIDE_RANGE.end()
    )]
    Side {
        /// The requested side, pixels.
        side: u32,
    },
    /// The folder holds something else.
    #[error("`{}` is not empty and has no synthetic dataset: choose a new or empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// The folder has a dataset that was generated with other options.
    #[error(
        "`{}` has a dataset generated with other options (see its {MARKER}): choose another folder, or \
         remove this one to draw it anew", .0.display()
    )]
    OtherSet(PathBuf),
    /// A picture could not be encoded.
    #[error("cannot encode `{}` as JPEG: {source}", path.display())]
    Encode {
        /// The picture.
        path: PathBuf,
        /// The encoder's error.
        source: image::ImageError,
    },
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The progress callback broke off.
    #[error("stopped after {done} of {total} pictures; the same command continues from there")]
    Interrupted {
        /// Pictures that are written.
        done: usize,
        /// Pictures in the set.
        total: usize,
    },
}
