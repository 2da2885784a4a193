//! The aligned crops of faces, written into a directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::files;
use facefold_predict::{FacePrediction, Predictor};
use fs_err as fs;

use super::inputs::{Input, picture_names};
use crate::error::{Context, Error, Result};

/// A directory of crops: `NAME-face-N.png`, where N is the face's index.
#[derive(Debug)]
pub struct PictureCrops {
    directory: PathBuf,
    /// One a picture, no two alike.
    names: Vec<String>,
    written: AtomicUsize,
}

impl PictureCrops {
    /// For pictures whose names are known beforehand, so that none overwrites another.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn new(directory: &Path, inputs: &[Input]) -> Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            names: picture_names(inputs, &[]),
            written: AtomicUsize::new(0),
        })
    }

    /// Writes the crops of the picture with this number.
    pub(super) fn picture(
        &self,
        index: usize,
        bytes: &[u8],
        predictor: &Predictor,
        predictions: &[FacePrediction],
    ) -> Result<()> {
        let name = self.names.get(index).map_or("picture", String::as_str);
        let crops = predictor
            .crops(bytes, predictions)
            .map_err(|rejection| Error::data(format!("{}: {}", rejection.reason, rejection.detail)))
            .context(|| format!("cannot cut the faces out of `{name}`"))?;
        for crop in crops {
            let path = self.directory.join(format!("{name}-face-{}.png", crop.face_index));
            files::write_atomic(&path, &crop.png)
                .context(|| format!("cannot write `{}`", path.display()))?;
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The sentence that says how many are where.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = self.written.load(Ordering::Relaxed);
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} crop{plural} in {}", self.directory.display())
    }
}
