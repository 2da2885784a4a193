//! The directory that a run writes its report into: one run at a time.

use std::path::{Path, PathBuf};

use facefold_evaluate::DirectoryJournal;
use facefold_report::{AnyReport, DirectoryLock, FITS};

use crate::data::{Changed, JoinedStores};
use crate::error::Result;
use crate::progress::Progress;

/// A report's directory with the fits of its run, that no other run writes into for as long as this is
/// held ([`DirectoryLock`]).
#[derive(Debug)]
pub struct ReportDirectory {
    path: PathBuf,
    journal: DirectoryJournal,
    _lock: DirectoryLock,
}

impl ReportDirectory {
    /// Makes the directory where it is not there, and claims it for this run.
    ///
    /// # Errors
    /// As [`DirectoryLock::claim`].
    pub fn claim(path: &Path) -> Result<Self> {
        crate::remote::require_directory("--out", path)?;
        let lock = DirectoryLock::claim(path)?;
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

    /// Notes in the stores that a report on them is made here, and refuses to make it where a removal from
    /// one of them is under way.
    ///
    /// # Errors
    /// As [`Self::require_all_rows`].
    pub(super) fn note_in(&self, stores: &JoinedStores, progress: &dyn Progress) -> Result<()> {
        stores.note_report(&self.path, progress);
        self.require_all_rows(stores)
    }

    /// Refuses to write a report on rows that were removed from their stores, and deletes the fits on them.
    ///
    /// # Errors
    /// [`crate::Error::Data`] where rows were removed, or may be; a store that cannot be read.
    pub(super) fn require_all_rows(&self, stores: &JoinedStores) -> Result<()> {
        match stores.require_all_rows() {
            Ok(()) => Ok(()),
            Err(Changed::Other(error)) => Err(error),
            Err(Changed::RowsGone(error)) => {
                facefold_report::forget_pictures(&self.path, &|_| false)?;
                Err(error)
            }
        }
    }

    /// Notes that the report of another command makes room for this one's.
    pub(super) fn announce_replacement(&self, command: &str, progress: &dyn Progress) {
        let Ok(earlier) = AnyReport::read(&self.path) else { return };
        let earlier = &earlier.provenance().command;
        if earlier != command {
            progress.note(&format!(
                "`{}` holds the report of another command ({}): it and its fits are replaced once this one \
                 is finished",
                self.path.display(),
                earlier
            ));
        }
    }
}
