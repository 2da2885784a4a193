//! The pictures below a folder, by names that a store can hold.

use std::path::Path;

use facefold_core::pictures::{self, SkippedBecause};

use crate::dataset::{SkipReason, Skipped};
use crate::error::DatasetError;

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// Paths relative to the folder, `/` between their parts, sorted part by part.
    pub paths: Vec<String>,
    /// What was passed over.
    pub ignored: Vec<Skipped>,
}

/// Lists the pictures below `root` ([`pictures::below`]).
pub(crate) fn below(root: &Path) -> Result<Pictures, DatasetError> {
    let found = pictures::below(root)?;
    let mut below = Pictures::default();
    for path in found.pictures {
        match unicode(&path) {
            Ok(path) => below.paths.push(path),
            Err(what) => below.ignored.push(Skipped { what, reason: SkipReason::NotUnicode }),
        }
    }
    for (path, reason) in found.skipped {
        let what = unicode(&path).unwrap_or_else(|lossy| lossy);
        below.ignored.push(Skipped { what, reason: reason.into() });
    }
    below.ignored.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(below)
}

/// A relative path with `/` between its parts; else as much of it as can be shown.
fn unicode(path: &Path) -> Result<String, String> {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let text = parts.join("/");
    if path.to_str().is_some() { Ok(text) } else { Err(text) }
}

impl From<SkippedBecause> for SkipReason {
    fn from(reason: SkippedBecause) -> Self {
        match reason {
            SkippedBecause::NotAPicture => Self::NotAPicture,
            SkippedBecause::Hidden => Self::Hidden,
            SkippedBecause::NotAFile => Self::NotAFile,
            SkippedBecause::Unreadable => Self::Unreadable,
            SkippedBecause::FolderReadAlready => Self::FolderReadAlready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::below;
    use crate::dataset::SkipReason;

    #[cfg(unix)]
    #[test]
    fn non_unicode_names_and_skipped_files_are_counted() {
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs_err::create_dir_all(root.join("a/.ipynb_checkpoints")).unwrap();
        fs_err::write(root.join("a/x.jfif"), b"").unwrap();
        fs_err::write(root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.jpg")), b"").unwrap();
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        let pictures = below(root).unwrap();
        assert_eq!(pictures.paths, ["a/x.jfif"]);
        let reasons: Vec<SkipReason> = pictures.ignored.iter().map(|found| found.reason).collect();
        assert_eq!(
            reasons,
            [SkipReason::Hidden, SkipReason::FolderReadAlready, SkipReason::NotUnicode]
        );
    }
}
