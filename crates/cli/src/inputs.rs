//! The pictures that a command is given: files, directories, and stdin.

use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use facefold_core::{RejectReason, Rejection};
use fs_err as fs;

use crate::commands::Usage;

/// Names that end so are taken for pictures when a directory is read.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"];

/// A picture to tell about.
pub enum Input {
    /// A file, read when its turn comes.
    File(PathBuf),
    /// The bytes that came on stdin.
    Bytes(Vec<u8>),
}

impl Input {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Bytes(_) => Path::new("-"),
        }
    }

    /// The path; `-` for stdin.
    pub fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// The bytes of the picture's file.
    ///
    /// # Errors
    /// [`RejectReason::Unreadable`].
    pub fn read(&self) -> Result<Vec<u8>, Rejection> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| {
                Rejection::new(RejectReason::Unreadable, error.kind().to_string())
            }),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

/// The pictures asked for: files as they are, directories in name order, and stdin for `-`.
///
/// # Errors
/// A directory that cannot be read or holds no picture.
pub fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.extend(standard_input()?);
        } else if path.is_dir() {
            let before = inputs.len();
            walk(path, &mut inputs)?;
            if inputs.len() == before {
                bail!("no picture in `{}`", path.display());
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn walk(directory: &Path, inputs: &mut Vec<Input>) -> Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        let is_picture = path.extension().is_some_and(|extension| {
            PICTURES.iter().any(|known| extension.eq_ignore_ascii_case(known))
        });
        if path.is_dir() {
            walk(&path, inputs)?;
        } else if is_picture {
            inputs.push(Input::File(path));
        }
    }
    Ok(())
}

/// A list of paths, one a line, or the bytes of one picture: text has no control bytes.
fn standard_input() -> Result<Vec<Input>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
    let is_text = std::str::from_utf8(&bytes)
        .is_ok_and(|text| text.chars().all(|c| !c.is_control() || "\r\n\t".contains(c)));
    if !is_text {
        return Ok(vec![Input::Bytes(bytes)]);
    }
    let lines = bytes.lines().collect::<std::io::Result<Vec<String>>>()?;
    Ok(lines.into_iter().filter(|line| !line.is_empty()).map(|l| Input::File(l.into())).collect())
}

/// Refuses to write into a directory that is read: what was written would be read the next time.
///
/// # Errors
/// [`Usage`] naming the option and both.
pub fn outside(option: &str, directory: &Path, paths: &[PathBuf]) -> Result<()> {
    // What is not there yet lies where its nearest existing parent does.
    let existing = directory.ancestors().find_map(|parent| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parent.canonicalize().ok()
    });
    for read in paths.iter().filter(|path| path.is_dir()) {
        let inside = existing.as_ref().zip(read.canonicalize().ok());
        if inside.is_some_and(|(existing, read)| existing.starts_with(read)) {
            return Err(Usage::error(format!(
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
pub fn names<'a>(paths: impl Iterator<Item = &'a Path>, reserved: &[&str]) -> Vec<String> {
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
pub fn picture_names(inputs: &[Input], reserved: &[&str]) -> Vec<String> {
    names(inputs.iter().map(Input::path), reserved)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{names, outside};

    #[test]
    fn no_two_names_are_alike() {
        let paths = ["a/one.jpg", "b/one.png", "B/ONE.jpg", "one-2.jpg", "-", "mean.jpg"];
        let told = names(paths.iter().map(Path::new), &["mean"]);
        assert_eq!(told, ["one", "one-2", "ONE-3", "one-2-2", "picture", "mean-2"]);
        let mut lower: Vec<String> = told.iter().map(|name| name.to_lowercase()).collect();
        lower.sort();
        lower.dedup();
        assert_eq!(lower.len(), paths.len());
    }

    #[test]
    fn writing_where_pictures_are_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("new/deep");
        let read = [root.path().to_owned(), PathBuf::from("one.jpg")];
        let error = outside("--annotate", &inside, &read).unwrap_err();
        assert!(error.to_string().contains("--annotate"), "{error}");
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(outside("--annotate", elsewhere.path(), &read).is_ok());
    }
}
