//! The pictures below a folder, by their names, in an order that is the same everywhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::dataset::{SkipReason, Skipped};
use crate::error::DatasetError;

/// Ends of file names, in lower case, that say that a file is a picture that can be decoded.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"];

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// Paths relative to the folder, `/` between their parts, sorted part by part.
    pub paths: Vec<String>,
    /// What was passed over.
    pub ignored: Vec<Skipped>,
}

/// Lists the pictures below `root`; links are followed, each folder once.
pub(crate) fn below(root: &Path) -> Result<Pictures, DatasetError> {
    let mut found = Pictures::default();
    let mut seen = HashSet::from([fs::canonicalize(root)?]);
    // Only ROOT itself must be readable; a folder below it that is not is passed over by name.
    let entries = fs::read_dir(root)?.collect::<Result<Vec<_>, _>>()?;
    let mut waiting: Vec<(PathBuf, String)> = Vec::new();
    push_entries(&entries, "", &mut waiting, &mut found);
    while let Some((path, relative)) = waiting.pop() {
        // A broken link with a picture's name counts as a picture: extraction rejects it by name.
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            if is_picture(&path) {
                found.paths.push(relative);
            } else {
                found.ignore(relative, SkipReason::NotAPicture);
            }
            continue;
        }
        let listed = fs::canonicalize(&path)
            .and_then(|real| Ok((real, fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?)));
        match listed {
            Err(_) => found.ignore(relative, SkipReason::Unreadable),
            Ok((real, entries)) => {
                if seen.insert(real) {
                    push_entries(&entries, &format!("{relative}/"), &mut waiting, &mut found);
                } else {
                    found.ignore(relative, SkipReason::FolderReadAlready);
                }
            }
        }
    }
    found.ignored.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(found)
}

/// Puts a folder's entries on the stack, last name first, so that they are taken in order.
fn push_entries(
    entries: &[fs::DirEntry],
    prefix: &str,
    waiting: &mut Vec<(PathBuf, String)>,
    found: &mut Pictures,
) {
    let start = waiting.len();
    for entry in entries {
        match entry.file_name().to_str() {
            Some(name) => waiting.push((entry.path(), format!("{prefix}{name}"))),
            None => found.ignore(
                format!("{prefix}{}", entry.file_name().to_string_lossy()),
                SkipReason::NotUnicode,
            ),
        }
    }
    waiting[start..].sort_by(|a, b| b.1.cmp(&a.1));
}

impl Pictures {
    fn ignore(&mut self, what: String, reason: SkipReason) {
        self.ignored.push(Skipped { what, reason });
    }
}

fn is_picture(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::below;
    use crate::dataset::SkipReason;

    #[test]
    fn lists_in_order_and_names_what_it_passes_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for path in ["b/2.JPG", "b/10.jpg", "a/x.png", "a/notes.txt", "z.webp"] {
            fs_err::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs_err::write(root.join(path), b"").unwrap();
        }
        let pictures = below(root).unwrap();
        assert_eq!(pictures.paths, ["a/x.png", "b/10.jpg", "b/2.JPG", "z.webp"]);
        assert_eq!(pictures.ignored.len(), 1);
        assert_eq!(pictures.ignored[0].what, "a/notes.txt");
        assert_eq!(pictures.ignored[0].reason, SkipReason::NotAPicture);
        assert!(below(&root.join("missing")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn survives_loops_broken_links_and_names_that_are_not_unicode() {
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs_err::create_dir(root.join("a")).unwrap();
        fs_err::write(root.join("a/x.jpg"), b"").unwrap();
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("broken.jpg")).unwrap();
        let odd = root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.jpg"));
        fs_err::write(odd, b"").unwrap();
        let pictures = below(root).unwrap();
        assert_eq!(pictures.paths, ["a/x.jpg", "broken.jpg"]);
        let reasons: Vec<SkipReason> = pictures.ignored.iter().map(|found| found.reason).collect();
        assert_eq!(reasons, [SkipReason::FolderReadAlready, SkipReason::NotUnicode]);
    }
}
