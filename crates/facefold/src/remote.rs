//! Stores on object storage: `s3://bucket/prefix`, `gs://…` or `az://…` in the place of a store's directory.
//!
//! Whatever reads such a store reads a local copy that is brought up to date first; whatever writes one works on that
//! copy, and uploads what is new while it runs and at its end. Copies lie in [`copies_directory`].

use std::env;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::progress::Progress;

/// Where the local copies of remote stores are kept: `$FACEFOLD_STORES`, else `facefold/stores` in the user's cache
/// directory (`$XDG_CACHE_HOME`, `%LOCALAPPDATA%` or `~/.cache`), else `facefold-stores` here.
#[must_use]
pub fn copies_directory() -> PathBuf {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(directory) = variable("FACEFOLD_STORES") {
        return directory.into();
    }
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))
        .map_or_else(|| "facefold-stores".into(), |cache| cache.join("facefold/stores"))
}

/// Whether a path is an address, and no path: it has a scheme, as `s3://` is.
#[must_use]
pub fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains("://"))
}

/// The directory to read a store from: the path itself, or, of an address, the local copy, which is first brought up
/// to date.
///
/// # Errors
/// An address where no store is, or that cannot be reached.
pub fn local_store(path: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    storage::local_store(path, progress)
}

/// Runs what writes into a store on its directory: of an address on the local copy, uploading what is new.
///
/// # Errors
/// As `work`, or where an upload fails; what `work` did is then in the copy, and the same call goes on.
pub(crate) fn writing<T>(
    path: &Path,
    progress: &dyn Progress,
    work: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    storage::writing(path, progress, work)
}

#[cfg(feature = "object-storage")]
mod storage {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use facefold_remote::{RemoteStore, Transferred};

    use super::{copies_directory, is_address};
    use crate::error::Result;
    use crate::progress::Progress;

    /// How often sealed shards are uploaded while a run goes on.
    const UPLOAD_EVERY: Duration = Duration::from_secs(20);

    pub(super) fn local_store(path: &Path, progress: &dyn Progress) -> Result<PathBuf> {
        if !is_address(path) {
            return Ok(path.to_owned());
        }
        let (remote, copy) = opened(path)?;
        let found = remote.fetch(&copy, false)?;
        progress.note(&description("downloaded", found, &remote, &copy));
        Ok(copy)
    }

    pub(super) fn writing<T>(
        path: &Path,
        progress: &dyn Progress,
        work: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        if !is_address(path) {
            return work(path);
        }
        let (remote, copy) = opened(path)?;
        let found = remote.fetch(&copy, true)?;
        progress.note(&description("downloaded", found, &remote, &copy));
        let done = std::thread::scope(|scope| {
            let (ended, wait) = channel::<()>();
            let (remote, copy) = (&remote, &copy);
            scope.spawn(move || {
                while wait.recv_timeout(UPLOAD_EVERY) == Err(RecvTimeoutError::Timeout) {
                    // What fails now is tried again, and reported at the end.
                    if let Err(error) = remote.upload(copy, false) {
                        tracing::warn!("{error}");
                    }
                }
            });
            let done = work(copy);
            drop(ended);
            done
        });
        // Also of a run that failed: what it reached is then there for the next one, wherever it runs.
        let uploaded = remote.upload(&copy, done.is_ok());
        let done = done?;
        progress.note(&description("uploaded", uploaded?, &remote, &copy));
        Ok(done)
    }

    fn opened(address: &Path) -> Result<(RemoteStore, PathBuf)> {
        let remote = RemoteStore::open(&address.to_string_lossy())?;
        let copy = remote.copy_below(&copies_directory());
        fs_err::create_dir_all(&copy)?;
        Ok((remote, copy))
    }

    fn description(what: &str, moved: Transferred, remote: &RemoteStore, copy: &Path) -> String {
        format!(
            "`{}`: {what} {} files, {:.1} MB; its local copy is `{}`",
            remote.address(),
            moved.files,
            moved.bytes as f64 / 1e6,
            copy.display()
        )
    }
}

#[cfg(not(feature = "object-storage"))]
mod storage {
    use std::path::{Path, PathBuf};

    use crate::error::{Error, Result};
    use crate::progress::Progress;

    pub(super) fn local_store(path: &Path, _: &dyn Progress) -> Result<PathBuf> {
        require_directory(path)?;
        Ok(path.to_owned())
    }

    pub(super) fn writing<T>(
        path: &Path,
        _: &dyn Progress,
        work: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        require_directory(path)?;
        work(path)
    }

    fn require_directory(path: &Path) -> Result<()> {
        if !super::is_address(path) {
            return Ok(());
        }
        Err(Error::options(format!(
            "`{}`: expected a directory, as this program was built without the feature `object-storage`",
            path.display()
        )))
    }
}
