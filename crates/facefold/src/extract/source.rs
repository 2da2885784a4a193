//! FaceSelector data set, and where it lies.

use std::path::PathBuf;

use facefold_core::pictures::skipped_note;
use facefold_datasets::{Dataset, DatasetKind, LoadOptions};

use crate::error::Result;
use crate::progress::Progress;

/// A data set on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its layout.
    pub kind: DatasetKind,
    /// Its directory; for [`DatasetKind::Manifest`] the CSV file.
    pub root: PathBuf,
    /// FaceSelector of its labels and pictures.
    pub options: LoadOptions,
}

impl Source {
    /// A data set whose labels lie where they usually do.
    pub fn new(kind: DatasetKind, root: impl Into<PathBuf>) -> Self {
        Self { kind, root: root.into(), options: LoadOptions::default() }
    }

    /// Reads its labels. What a reader should know about them is noted.
    ///
    /// # Errors
    /// Whatever is wrong with the label files.
    pub fn load(&self, progress: &dyn Progress) -> Result<Dataset> {
        let dataset = facefold_datasets::load(self.kind, &self.root, &self.options)?;
        let passed_over = dataset.ignored.iter().map(|found| (found.what.clone(), found.reason));
        if let Some(note) = skipped_note(&dataset.root, passed_over) {
            progress.note(&note);
        }
        for note in &dataset.notes {
            progress.note(note);
        }
        Ok(dataset)
    }
}
