//! The directory that a report is written into: one program at a time, and nothing else's.

use std::fs::File;
use std::path::Path;

use facefold_core::{FileLock, Task};

use crate::directory::{FITS, require_no_foreign_file};
use crate::error::ReportError;

/// A report's directory that no other program changes for as long as this is held: of two at once the
/// predictions of one would be stored with the report of the other. Where directories cannot be locked,
/// nothing keeps others out.
#[derive(Debug)]
pub struct DirectoryLock {
    _lock: Option<FileLock>,
}

impl DirectoryLock {
    /// Locks a directory that is there.
    ///
    /// # Errors
    /// [`ReportError::Busy`] where another program holds it.
    pub fn of(directory: &Path) -> Result<Self, ReportError> {
        let directory = here(directory);
        let lock = File::open(directory).and_then(FileLock::try_new);
        match lock {
            Ok(Some(lock)) => Ok(Self { _lock: Some(lock) }),
            Ok(None) => Err(ReportError::Busy { path: directory.to_owned() }),
            Err(_) => Ok(Self { _lock: None }),
        }
    }

    /// Makes a directory for a report where it is not there, and locks it.
    ///
    /// # Errors
    /// [`ReportError::Busy`]; [`ReportError::Store`], [`ReportError::Link`] and [`ReportError::Foreign`] where
    /// what lies there is not a report's to replace.
    pub fn claim(directory: &Path) -> Result<Self, ReportError> {
        let directory = here(directory);
        if directory.join("store.json").exists() {
            return Err(ReportError::Store { path: directory.to_owned() });
        }
        fs_err::create_dir_all(directory)?;
        for name in Task::ALL.into_iter().map(Task::as_str).chain(["plots", FITS]) {
            let path = directory.join(name);
            if path.is_symlink() {
                return Err(ReportError::Link { path });
            }
        }
        let lock = Self::of(directory)?;
        require_no_foreign_file(directory)?;
        Ok(lock)
    }
}

/// A path that can be opened, also where it is the empty one in front of `report.json`.
fn here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

#[cfg(test)]
mod tests {
    use super::DirectoryLock;

    #[test]
    fn one_run_at_a_time_holds_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("report");
        let held = DirectoryLock::claim(&path).unwrap();
        let refused = DirectoryLock::claim(&path).unwrap_err().to_string();
        assert!(refused.contains("another run writes its report into"), "{refused}");
        drop(held);
        assert!(DirectoryLock::claim(&path).is_ok());
    }

    #[test]
    fn a_store_is_no_directory_for_a_report() {
        let root = tempfile::tempdir().unwrap();
        fs_err::write(root.path().join("store.json"), "{}").unwrap();
        let refused = DirectoryLock::claim(root.path()).unwrap_err().to_string();
        assert!(refused.contains("is the directory of a store"), "{refused}");
    }

    #[test]
    #[cfg(unix)]
    fn links_in_a_directory_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        for name in ["plots", "fits", "gender"] {
            let path = root.path().join(name);
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            let refused = DirectoryLock::claim(root.path()).unwrap_err().to_string();
            assert!(refused.contains(&format!("{name}` is a link")), "{refused}");
            fs_err::remove_file(&path).unwrap();
        }
    }
}
