//! The pictures to predict for: files, directories, and what comes on a stream.

use std::collections::HashSet;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use facefold_core::{RejectReason, Rejection, pictures};
use facefold_vision::decode;
use image::{ImageFormat, RgbImage};

use crate::error::{Context, Error, Result};
use crate::progress::Progress;

/// How many unreadable inputs are named.
const SHOWN: usize = 20;

/// A picture to predict for.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, read when its turn comes.
    File(PathBuf),
    /// Bytes of a picture's file that came on a stream.
    Bytes(Vec<u8>),
    /// A decoded picture.
    Pixels(RgbImage),
    /// A folder that cannot be read or holds no picture, and which of both.
    NoPicture(PathBuf, String),
}

impl Input {
    /// A decoded picture by its values: red, green and blue of each pixel, row by row from the top left.
    ///
    /// # Errors
    /// [`Error::Data`] where the number of values is another, or there is no pixel.
    pub fn pixels(width: u32, height: u32, values: Vec<u8>) -> Result<Self> {
        let found = values.len();
        let expected = 3 * u64::from(width) * u64::from(height);
        RgbImage::from_raw(width, height, values)
            .filter(|_| found as u64 == expected && found > 0)
            .map(Self::Pixels)
            .ok_or_else(|| {
                Error::data(format!(
                    "pixels: expected three values for each of {height} x {width} pixels, found {found} values"
                ))
            })
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::NoPicture(path, _) => path,
            Self::Bytes(_) | Self::Pixels(_) => Path::new("-"),
        }
    }

    /// The path; `-` for what is no file.
    #[must_use]
    pub fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// The bytes of the picture's file; of pixels, those of a file that decodes to them, so that the
    /// same limits hold for them.
    ///
    /// # Errors
    /// As [`pictures::read`].
    pub fn read(&self) -> Result<Vec<u8>, Rejection> {
        match self {
            Self::File(path) => pictures::read(path),
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Pixels(picture) => bitmap(picture),
            Self::NoPicture(_, why) => Err(Rejection::new(RejectReason::Unreadable, why)),
        }
    }
}

/// A picture as an uncompressed file, which is written and decoded without changing a value.
fn bitmap(picture: &RgbImage) -> Result<Vec<u8>, Rejection> {
    let mut file = Vec::new();
    let written = picture.write_to(&mut Cursor::new(&mut file), ImageFormat::Bmp);
    written.map_err(|error| Rejection::new(RejectReason::TooLarge, error.to_string()))?;
    Ok(file)
}

/// The pictures asked for: files as they are, those below directories in name order, and what comes on
/// `stream` for `-`. What is passed over is noted. A path that is not there, and a directory that holds no
/// picture, is an input that cannot be read.
///
/// # Errors
/// A stream that cannot be read, is too long or in an unknown encoding.
pub fn inputs(
    paths: &[PathBuf],
    mut stream: impl Read,
    progress: &dyn Progress,
) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.extend(streamed(&mut stream)?);
        } else if path.is_dir() {
            let found = match pictures::below(path) {
                Ok(found) => found,
                Err(error) => {
                    inputs.push(Input::NoPicture(path.clone(), error.kind().to_string()));
                    continue;
                }
            };
            let skipped =
                found.skipped.into_iter().map(|(what, why)| (what.display().to_string(), why));
            if let Some(note) = pictures::skipped_note(path, skipped) {
                progress.note(&note);
            }
            if found.pictures.is_empty() {
                let why = "no picture in this directory".to_owned();
                inputs.push(Input::NoPicture(path.clone(), why));
            }
            inputs.extend(found.pictures.iter().map(|below| Input::File(path.join(below))));
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

/// A list of paths, or one picture where the bytes start as a picture's do.
fn streamed(stream: impl Read) -> Result<Vec<Input>> {
    let failed = || "cannot read stdin".to_owned();
    let mut bytes = Vec::new();
    stream.take(pictures::MOST_BYTES + 1).read_to_end(&mut bytes).context(failed)?;
    if bytes.len() as u64 > pictures::MOST_BYTES {
        return Err(Error::data(format!(
            "stdin: expected at most {} bytes, found more",
            pictures::MOST_BYTES
        )));
    }
    if decode::is_picture(&bytes) {
        return Ok(vec![Input::Bytes(bytes)]);
    }
    let list = pictures::list(&bytes).context(failed)?;
    Ok(list.into_iter().map(Input::File).collect())
}

/// Inputs that could not be opened: the others are predicted for.
#[derive(Debug, Clone, Default)]
pub struct Unreadable {
    named: Vec<String>,
    count: usize,
}

impl Unreadable {
    /// Takes note of an input that was rejected because it could not be opened or read.
    pub(super) fn see(&mut self, name: &str, rejection: &Rejection) {
        if rejection.reason != RejectReason::Unreadable {
            return;
        }
        self.count += 1;
        if self.count <= SHOWN {
            self.named.push(format!("cannot read `{name}`: {}", rejection.detail));
        }
    }

    /// Refuses unreadable inputs, after the others were predicted for, and notes which they are.
    ///
    /// # Errors
    /// [`Error::Data`] where there are any among `inputs`.
    pub fn require_none(&self, inputs: usize, progress: &dyn Progress) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        for line in &self.named {
            progress.note(line);
        }
        if self.count > self.named.len() {
            progress.note(&format!("and {} more", self.count - self.named.len()));
        }
        Err(Error::data(format!(
            "{} of {inputs} pictures could not be read: expected files that can be opened",
            self.count
        )))
    }
}

/// Refuses to write into a directory that is read: what was written would be read the next time.
///
/// # Errors
/// [`Error::Options`] naming the option and both.
pub fn require_outside(option: &str, directory: &Path, paths: &[PathBuf]) -> Result<()> {
    // What is not there yet lies where its nearest existing parent does.
    let existing = directory.ancestors().find_map(|parent| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parent.canonicalize().ok()
    });
    for read in paths.iter().filter(|path| path.is_dir()) {
        let inside = existing.as_ref().zip(read.canonicalize().ok());
        if inside.is_some_and(|(existing, read)| existing.starts_with(read)) {
            return Err(Error::options(format!(
                "{option} `{}` lies in `{}`, whose pictures are read: choose a directory outside",
                directory.display(),
                read.display()
            )));
        }
    }
    Ok(())
}

/// A name for what is written about each path: its file name without the ending, with a number
/// where that is taken (also by one of `reserved`, or where only case differs).
pub(super) fn names<'a>(paths: impl Iterator<Item = &'a Path>, reserved: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = reserved.iter().map(|&name| name.to_owned()).collect();
    paths
        .map(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let stem = if stem.is_empty() || stem == "-" { "picture".into() } else { stem };
            let numbered = (2..).map(|number| format!("{stem}-{number}"));
            let mut free = std::iter::once(stem.to_string()).chain(numbered);
            let free = free.find(|name| taken.insert(name.to_lowercase()));
            free.unwrap_or_default()
        })
        .collect()
}

/// [`names`] of pictures.
pub(super) fn picture_names(inputs: &[Input], reserved: &[&str]) -> Vec<String> {
    names(inputs.iter().map(Input::path), reserved)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use facefold_vision::decode::{Limits, decode};
    use image::{Rgb, RgbImage};

    use super::{Input, names, require_outside};

    #[test]
    fn pixels_stay_what_they_are() {
        // A width whose rows of three bytes a pixel are padded in the file.
        let picture = RgbImage::from_fn(17, 19, |x, y| Rgb([x as u8, y as u8, (7 * x * y) as u8]));
        let file = Input::Pixels(picture.clone()).read().unwrap();
        assert_eq!(decode(&file, &Limits::default()).unwrap(), picture);
        for (width, height, values) in [(2, 2, 11), (2, 2, 13), (0, 2, 0)] {
            let message = Input::pixels(width, height, vec![0; values]).unwrap_err().to_string();
            assert!(message.ends_with(&format!("found {values} values")), "{message}");
        }
    }

    #[test]
    fn no_two_names_are_alike() {
        let paths = ["a/one.jpg", "b/one.png", "B/ONE.jpg", "one-2.jpg", "-", "mean.jpg"];
        let found = names(paths.iter().map(Path::new), &["mean"]);
        assert_eq!(found, ["one", "one-2", "ONE-3", "one-2-2", "picture", "mean-2"]);
        let mut lower: Vec<String> = found.iter().map(|name| name.to_lowercase()).collect();
        lower.sort();
        lower.dedup();
        assert_eq!(lower.len(), paths.len());
    }

    #[test]
    fn writing_where_pictures_are_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("new/deep");
        let read = [root.path().to_owned(), PathBuf::from("one.jpg")];
        let error = require_outside("--annotate", &inside, &read).unwrap_err();
        assert!(error.to_string().contains("--annotate"), "{error}");
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(require_outside("--annotate", elsewhere.path(), &read).is_ok());
    }
}
