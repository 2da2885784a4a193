//! Pictures with boxes and labels, written beside the answers.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use facefold_core::files;
use facefold_predict::FacePrediction;
use facefold_predict::annotate::{self, Mark, annotate};
use facefold_vision::decode::{Limits, decode};
use fs_err as fs;
use image::codecs::jpeg::JpegEncoder;

use crate::inputs::{Input, picture_names};

/// Of the JPEG files that are written: letters stay sharp.
const QUALITY: u8 = 92;

/// A directory of annotated pictures.
pub struct Annotations {
    directory: PathBuf,
    /// One a picture, no two alike; none for frames.
    names: Vec<String>,
    written: AtomicUsize,
}

impl Annotations {
    /// For pictures whose names are known beforehand, so that none overwrites another.
    pub fn of_pictures(directory: &Path, inputs: &[Input]) -> Result<Self> {
        Self::new(directory, picture_names(inputs, &[]))
    }

    /// For the frames of a video.
    pub fn of_frames(directory: &Path) -> Result<Self> {
        Self::new(directory, Vec::new())
    }

    fn new(directory: &Path, names: Vec<String>) -> Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned(), names, written: AtomicUsize::new(0) })
    }

    /// Writes the picture with this number; one without a face is left out.
    pub fn picture(&self, index: usize, bytes: &[u8], answers: &[FacePrediction]) -> Result<()> {
        let marks = annotate::marks(answers);
        if marks.is_empty() {
            return Ok(());
        }
        let name = self.names.get(index).map_or("picture", String::as_str);
        self.write(&format!("{name}-faces.jpg"), bytes, &marks)
    }

    /// Writes a frame, also one without a face: together they make a video again.
    pub fn frame(&self, number: u64, bytes: &[u8], marks: &[Mark]) -> Result<()> {
        self.write(&format!("frame-{number:06}.jpg"), bytes, marks)
    }

    /// Where how many are.
    pub fn summary(&self, what: &str) -> String {
        let count = self.written.load(Ordering::Relaxed);
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} annotated {what}{plural} in {}", self.directory.display())
    }

    fn write(&self, name: &str, bytes: &[u8], marks: &[Mark]) -> Result<()> {
        let path = self.directory.join(name);
        let picture = decode(bytes, &Limits::default())
            .map_err(|rejection| anyhow::anyhow!("{}: {}", rejection.reason, rejection.detail))
            .with_context(|| format!("cannot annotate `{}`", path.display()))?;
        let mut jpeg = Cursor::new(Vec::new());
        annotate(&picture, marks)
            .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        files::write_atomic(&path, jpeg.get_ref())
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
