//! Which data set, and where it lies.

use std::io::Read;
use std::path::{Path, PathBuf};

use facefold_core::pictures::skipped_note;
use facefold_datasets::{Dataset, DatasetKind, LoadOptions};

use crate::error::{Error, Result};
use crate::prediction::{Input, inputs};
use crate::progress::Progress;

/// A data set on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its layout.
    pub kind: DatasetKind,
    /// Its directory; for [`DatasetKind::Manifest`] the CSV file; for listed [`DatasetKind::Pictures`] the
    /// current directory.
    pub root: PathBuf,
    /// Which of its labels and pictures.
    pub options: LoadOptions,
}

impl Source {
    /// A data set whose labels lie where they usually do.
    pub fn new(kind: DatasetKind, root: impl Into<PathBuf>) -> Self {
        Self { kind, root: root.into(), options: LoadOptions::default() }
    }

    /// A data set of a kind by the paths that a user gave: one directory, or of [`DatasetKind::Pictures`] what
    /// [`Self::of_pictures`] takes.
    ///
    /// # Errors
    /// Several directories of a kind that has one, or as [`Self::of_pictures`].
    pub fn of_paths(
        kind: DatasetKind,
        paths: &[PathBuf],
        options: LoadOptions,
        stream: impl Read,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if kind == DatasetKind::Pictures {
            return Self::of_pictures(paths, stream, progress);
        }
        let [root] = paths else {
            return Err(Error::options(format!(
                "`{kind}` is in one directory: expected one path, found {}; only `pictures` has several",
                paths.len()
            )));
        };
        Ok(Self { kind, root: root.clone(), options })
    }

    /// Pictures without labels, given as [`inputs()`] takes them for predictions: files, directories,
    /// and a list of paths on `stream` for `-`. Those of one directory are known by their paths below
    /// it, others by their paths as given.
    ///
    /// # Errors
    /// As [`inputs()`]; a picture on `stream`, which has no path.
    pub fn of_pictures(
        paths: &[PathBuf],
        stream: impl Read,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if let [directory] = paths
            && directory.is_dir()
        {
            return Ok(Self::new(DatasetKind::Pictures, directory));
        }
        let picture = |input: Input| match input {
            Input::File(path) | Input::NoPicture(path, _) => Ok(path),
            Input::Bytes(_) | Input::Pixels(_) => Err(Error::options(
                "stdin: expected a list of paths, found a picture: a store knows pictures by their \
                 paths; name its file",
            )),
        };
        let listed = inputs(paths, stream, progress)?.into_iter().map(picture);
        let options = LoadOptions {
            pictures: Some(listed.collect::<Result<_>>()?),
            ..LoadOptions::default()
        };
        Ok(Self { options, ..Self::new(DatasetKind::Pictures, Path::new(".")) })
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
