//! The pictures to predict for: files, directories, and what comes on a stream.

use std::borrow::Cow;
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
/// Bytes of a name for what is written about an input: with what is put behind it, it is a name on any
/// file system.
const LONGEST_NAME: usize = 200;
/// Hexadecimal digits of its hash in a name that was shortened.
const DIGITS: usize = 12;

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
    if decode::is_picture(&bytes) && !is_list_by_its_start(&bytes) {
        return Ok(vec![Input::Bytes(bytes)]);
    }
    let list = pictures::list(&bytes).context(failed)?;
    Ok(list.into_iter().map(Input::File).collect())
}

/// Whether bytes that start with the letters of a picture's format are a list, whose first name does.
fn is_list_by_its_start(bytes: &[u8]) -> bool {
    let is_letter = |byte: &u8| *byte >= b' ' && *byte != 0x7f;
    match bytes {
        // The length of the file: its last byte is a letter in names only.
        [b'R', b'I', b'F', b'F', _, _, _, last, ..] => is_letter(last),
        // Width, height and the colours that follow have control characters, or letters beyond ASCII.
        [b'G', b'I', b'F', b'8', _, b'a', header @ ..] => {
            let header = &header[..header.len().min(7)];
            let line = header.split(|byte| b"\n\r\0".contains(byte)).next().unwrap_or_default();
            line.iter().all(|byte| is_letter(byte) && byte.is_ascii()) && !is_gif(bytes)
        }
        _ => false,
    }
}

/// Whether a block of a GIF follows its header, and the colours that this announces.
fn is_gif(bytes: &[u8]) -> bool {
    let Some(&[.., flags, _, _]) = bytes.first_chunk::<13>() else { return false };
    let colours = if flags & 0x80 == 0 { 0 } else { 3 << (1 + (flags & 7)) };
    matches!(bytes.get(13 + colours), Some(b'!' | b',' | b';'))
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

/// A name for what is written about each path: its file name without the ending, [shortened](shortened), with
/// a number where that is taken (also by one of `reserved`, or where only case differs).
pub(super) fn names<'a>(paths: impl Iterator<Item = &'a Path>, reserved: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = reserved.iter().map(|&name| name.to_owned()).collect();
    paths
        .map(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let stem = if stem.is_empty() || stem == "-" { "picture".into() } else { stem };
            let stem = shortened(&stem);
            let numbered = (2..).map(|number| format!("{stem}-{number}"));
            let mut free = std::iter::once(stem.to_string()).chain(numbered);
            let free = free.find(|name| taken.insert(name.to_lowercase()));
            free.unwrap_or_default()
        })
        .collect()
}

/// A part of a file's name that leaves room for what is put before and behind it: as it is, or its
/// beginning and a hash of the whole.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST_NAME {
        return Cow::Borrowed(name);
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let beginning = &name[..name.floor_char_boundary(LONGEST_NAME - DIGITS - 1)];
    Cow::Owned(format!("{beginning}-{}", &hash[..DIGITS]))
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

    use super::{Input, LONGEST_NAME, inputs, names, require_outside};

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
    fn long_names_are_shortened_and_stay_distinct() {
        let long = |last: &str| format!("a/{}{last}.jpg", "é".repeat(123));
        let paths = [long("1"), long("2"), long("1"), "short.jpg".to_owned()];
        let found = names(paths.iter().map(Path::new), &[]);
        assert!(found.iter().all(|name| name.len() <= LONGEST_NAME + 2), "{found:?}");
        assert!(found[0].starts_with("éé") && found[0] != found[1], "{found:?}");
        assert_eq!(found[2], format!("{}-2", found[0]));
        assert_eq!(found[3], "short");
    }

    #[test]
    fn a_list_may_start_as_a_picture_does() {
        let streamed = |bytes: &[u8]| inputs(&["-".into()], bytes, &()).unwrap();
        let gif = b"GIF89a\x40\x01\xf0\x00\x00\x00\x00;".as_slice();
        let lists: [(&[u8], usize); 6] = [
            (b"GIF89a stills/x.jpg\nb.jpg\n", 2),
            (b"GIF87a\nb.jpg\nc.jpg\n", 3),
            (b"GIF89a.jpg\0b.jpg\0", 2),
            (b"RIFF2024WEBP.webp\nb.jpg\n", 2),
            (b"BM stills of a film.jpg\n", 1),
            (b"II*.jpg\nMM*.jpg\n", 2),
        ];
        for (list, names) in lists {
            let found = streamed(list);
            assert_eq!(found.len(), names, "{}", list.escape_ascii());
            assert!(found.iter().all(|input| matches!(input, Input::File(_))));
        }
        let webp = b"RIFF\x24\x01\0\0WEBPVP8 ".as_slice();
        // A size of 0x2020 by 0x2020, and no colours.
        let letters = b"GIF89a    p ~,".as_slice();
        for picture in [gif, webp, letters] {
            assert!(
                matches!(streamed(picture)[..], [Input::Bytes(_)]),
                "{}",
                picture.escape_ascii()
            );
        }
        let heic = inputs(&["-".into()], b"\0\0\0\x18ftypheic\0\0".as_slice(), &()).unwrap_err();
        let said = heic.in_full();
        assert!(said.starts_with("cannot read stdin: found neither a picture"), "{said}");
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
