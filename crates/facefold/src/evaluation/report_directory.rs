//! The directory that a run writes its report into: one run at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use facefold_evaluate::DirectoryJournal;
use facefold_report::{FITS, Report};

use crate::error::{Error, Result};
use crate::progress::Progress;

/// A report's directory that no other run writes into for as long as this is held: of two at once the
/// predictions of one would be stored with the report of the other. Where directories cannot be locked,
/// nothing keeps others out.
#[derive(Debug)]
pub struct ReportDirectory {
    path: PathBuf,
    journal: DirectoryJournal,
    _lock: Option<File>,
}

impl ReportDirectory {
    /// Makes the directory where it is not there, and claims it for this run.
    ///
    /// # Errors
    /// [`Error::Data`] if another run holds it.
    pub fn claim(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let journal = DirectoryJournal::new(path.join(FITS));
        Ok(Self { path: path.to_owned(), journal, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where finished fits are kept, so that a run that was stopped goes on.
    #[must_use]
    pub fn journal(&self) -> &DirectoryJournal {
        &self.journal
    }

    /// Notes that the report of another command makes room for this one's.
    pub(super) fn announce_replacement(&self, command: &str, progress: &dyn Progress) {
        let Ok(earlier) = Report::read(&self.path) else { return };
        if earlier.provenance.command != command {
            progress.note(&format!(
                "`{}` holds the report of another command ({}): it and its fits are replaced once this one \
                 is finished",
                self.path.display(),
                earlier.provenance.command
            ));
        }
    }
}

fn lock(directory: &Path) -> Result<Option<File>> {
    fs_err::create_dir_all(directory)?;
    let Ok(handle) = File::open(directory) else { return Ok(None) };
    match handle.try_lock() {
        Ok(()) => Ok(Some(handle)),
        Err(TryLockError::WouldBlock) => Err(Error::data(format!(
            "another run writes its report into `{}`: wait for it, or name another directory with --out",
            directory.display()
        ))),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::ReportDirectory;

    #[test]
    fn one_run_at_a_time_holds_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("report");
        let held = ReportDirectory::claim(&path).unwrap();
        let refused = ReportDirectory::claim(&path).unwrap_err().to_string();
        assert!(refused.contains("another run writes its report into"), "{refused}");
        drop(held);
        assert!(ReportDirectory::claim(&path).is_ok());
    }
}
