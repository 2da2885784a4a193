//! Pictures with boxes and labels, written into a directory.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::files;
use facefold_predict::FacePrediction;
use facefold_predict::annotate::{self, Mark, annotate};
use facefold_vision::decode::{Limits, decode};
use fs_err as fs;
use image::codecs::jpeg::JpegEncoder;

use super::inputs::{Input, picture_names};
use crate::error::{Context, Error, Result};

/// Of the JPEG files that are written: letters stay sharp.
const QUALITY: u8 = 92;

/// A directory of annotated pictures.
#[derive(Debug)]
pub struct AnnotatedPictures {
    directory: PathBuf,
    /// One a picture, no two alike; none for frames.
    names: Vec<String>,
    written: AtomicUsize,
}

impl AnnotatedPictures {
    /// For pictures whose names are known beforehand, so that none overwrites another.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn of_pictures(directory: &Path, inputs: &[Input]) -> Result<Self> {
        Self::new(directory, picture_names(inputs, &[]))
    }

    /// For the frames of a video.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn of_frames(directory: &Path) -> Result<Self> {
        Self::new(directory, Vec::new())
    }

    fn new(directory: &Path, names: Vec<String>) -> Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned(), names, written: AtomicUsize::new(0) })
    }

    /// Writes the picture with this number; one without a face is left out.
    pub(super) fn picture(
        &self,
        index: usize,
        bytes: &[u8],
        answers: &[FacePrediction],
    ) -> Result<()> {
        let marks = annotate::marks(answers);
        if marks.is_empty() {
            return Ok(());
        }
        let name = self.names.get(index).map_or("picture", String::as_str);
        self.write(&format!("{name}-faces.jpg"), bytes, &marks)
    }

    /// Writes a frame, also one without a face: together they make a video again.
    pub(super) fn frame(&self, number: u64, bytes: &[u8], marks: &[Mark]) -> Result<()> {
        self.write(&format!("frame-{number:06}.jpg"), bytes, marks)
    }

    /// The sentence that says how many are where; `what` is `picture` or `frame`.
    #[must_use]
    pub fn summary(&self, what: &str) -> String {
        let count = self.written.load(Ordering::Relaxed);
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} annotated {what}{plural} in {}", self.directory.display())
    }

    fn write(&self, name: &str, bytes: &[u8], marks: &[Mark]) -> Result<()> {
        let path = self.directory.join(name);
        let picture = decode(bytes, &Limits::default())
            .map_err(|rejection| Error::data(format!("{}: {}", rejection.reason, rejection.detail)))
            .context(|| format!("cannot annotate `{}`", path.display()))?;
        let failed = || format!("cannot write `{}`", path.display());
        let mut jpeg = Cursor::new(Vec::new());
        annotate(&picture, marks)
            .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))
            .context(failed)?;
        files::write_atomic(&path, jpeg.get_ref()).context(failed)?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
