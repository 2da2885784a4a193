//! Stores on object storage: `s3://bucket/prefix`, `gs://…` or `az://…` in the place of a store's directory.
//!
//! Whatever reads such a store reads a local copy that is brought up to date first; whatever writes one works on that
//! copy, and uploads what is new while it runs and at its end. Copies lie in [`copies_directory`].

use std::env;
use std::path::{Path, PathBuf};

use facefold_core::Rejection;

use crate::error::{Error, Result};
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

/// Refuses an address where a directory is needed, for what is written there.
///
/// # Errors
/// [`Error::Options`] naming the option.
pub fn require_directory(option: &str, path: &Path) -> Result<()> {
    require_plain_path(path)?;
    if !is_address(path) {
        return Ok(());
    }
    Err(Error::options(format!(
        "{option}: expected a path on this machine, found the address `{}`; stores alone lie on object storage",
        path.display()
    )))
}

/// Refuses a path that was meant as an address: `s3:/bucket`.
fn require_plain_path(path: &Path) -> Result<()> {
    let text = path.to_str().unwrap_or_default();
    let is_meant = ["s3:", "gs:", "az:"].iter().any(|scheme| text.starts_with(scheme));
    if is_meant && !is_address(path) {
        return Err(Error::options(format!(
            "`{text}`: expected an address such as s3://BUCKET/PREFIX, or a directory, which is then written ./{text}"
        )));
    }
    Ok(())
}

/// The directory to read a store from: the path itself, or, of an address, the local copy, which is first brought up
/// to date.
///
/// # Errors
/// An address where no store is, or that cannot be reached.
pub fn local_store(path: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    storage::local_store(path, progress)
}

/// The addresses of the pictures on object storage below an address, sorted.
///
/// # Errors
/// An address that is none, or that cannot be reached.
pub fn pictures_at(address: &str) -> Result<Vec<PathBuf>> {
    storage::pictures_at(address)
}

/// The bytes of pictures on object storage, some read at a time, in the order of their addresses.
///
/// # Errors
/// Where no request can be made at all; a picture that cannot be read is rejected.
pub fn read_pictures(addresses: &[&str]) -> Result<Vec<std::result::Result<Vec<u8>, Rejection>>> {
    storage::read_pictures(addresses)
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
    use std::sync::OnceLock;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use facefold_core::{RejectReason, Rejection};
    use facefold_remote::{PictureReader, RemoteError, RemoteStore, Transferred};

    use super::{copies_directory, is_address, require_plain_path};
    use crate::error::Result;
    use crate::progress::Progress;

    /// How often sealed shards are uploaded while a run goes on.
    const UPLOAD_EVERY: Duration = Duration::from_secs(20);

    /// How often the claim on the store is renewed.
    const RENEW_EVERY: Duration = Duration::from_secs(10);

    pub(super) fn local_store(path: &Path, progress: &dyn Progress) -> Result<PathBuf> {
        require_plain_path(path)?;
        if !is_address(path) {
            return Ok(path.to_owned());
        }
        let (remote, copy) = opened(path)?;
        match remote.read(&copy)? {
            Some(found) => progress.note(&description("downloaded", found, &remote, &copy)),
            None => progress.note(&format!(
                "`{}`: a run on this machine writes it; its local copy `{}` is read as it is",
                remote.address(),
                copy.display()
            )),
        }
        Ok(copy)
    }

    pub(super) fn writing<T>(
        path: &Path,
        progress: &dyn Progress,
        work: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        require_plain_path(path)?;
        if !is_address(path) {
            return work(path);
        }
        let (remote, copy) = opened(path)?;
        let writer = remote.write(&copy)?;
        if writer.earlier.files > 0 {
            let what = "uploaded what an earlier run left:";
            progress.note(&description(what, writer.earlier, &remote, &copy));
        }
        progress.note(&description("downloaded", writer.downloaded, &remote, &copy));
        let (done, uploaded) = std::thread::scope(|scope| {
            let (work_ended, until_work_ended) = channel::<()>();
            let (all_ended, until_all_ended) = channel::<()>();
            let writer_here = &writer;
            let uploads = scope.spawn(move || {
                while until_work_ended.recv_timeout(UPLOAD_EVERY) == Err(RecvTimeoutError::Timeout)
                {
                    // What fails now is tried again, and reported at the end.
                    if let Err(error) = writer_here.upload_shards() {
                        tracing::warn!("{error}");
                    }
                }
            });
            scope.spawn(move || {
                let mut times = 0;
                while until_all_ended.recv_timeout(RENEW_EVERY) == Err(RecvTimeoutError::Timeout) {
                    times += 1;
                    if let Err(error) = writer_here.renew(times) {
                        tracing::warn!("{error}");
                    }
                }
            });
            let done = work(&copy);
            drop(work_ended);
            // Joined before the last upload, which it would run into.
            let joined = uploads.join();
            // Also of a run that failed: what it reached is then there for the next one, wherever it runs.
            let uploaded = writer_here.finish(done.is_ok() && joined.is_ok());
            drop(all_ended);
            (done, uploaded)
        });
        let done = done?;
        progress.note(&description("uploaded", uploaded?, &remote, &copy));
        Ok(done)
    }

    pub(super) fn pictures_at(address: &str) -> Result<Vec<PathBuf>> {
        let found = reader()?.list(address)?;
        Ok(found.into_iter().map(PathBuf::from).collect())
    }

    pub(super) fn read_pictures(
        addresses: &[&str],
    ) -> Result<Vec<std::result::Result<Vec<u8>, Rejection>>> {
        let read = reader()?.read(addresses).into_iter();
        let rejection =
            |error: RemoteError| Rejection::new(RejectReason::Unreadable, error.to_string());
        Ok(read.map(|bytes| bytes.map_err(rejection)).collect())
    }

    /// One for the whole program: it keeps its connections.
    fn reader() -> Result<&'static PictureReader> {
        static READER: OnceLock<PictureReader> = OnceLock::new();
        if let Some(reader) = READER.get() {
            return Ok(reader);
        }
        let made = PictureReader::new()?;
        Ok(READER.get_or_init(|| made))
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

    use facefold_core::Rejection;

    use crate::error::{Error, Result};
    use crate::progress::Progress;

    pub(super) fn local_store(path: &Path, _: &dyn Progress) -> Result<PathBuf> {
        require_no_address(path)?;
        Ok(path.to_owned())
    }

    pub(super) fn writing<T>(
        path: &Path,
        _: &dyn Progress,
        work: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        require_no_address(path)?;
        work(path)
    }

    pub(super) fn pictures_at(address: &str) -> Result<Vec<PathBuf>> {
        require_no_address(Path::new(address))?;
        Ok(Vec::new())
    }

    pub(super) fn read_pictures(
        addresses: &[&str],
    ) -> Result<Vec<std::result::Result<Vec<u8>, Rejection>>> {
        addresses.iter().try_for_each(|address| require_no_address(Path::new(address)))?;
        Ok(Vec::new())
    }

    fn require_no_address(path: &Path) -> Result<()> {
        if !super::is_address(path) {
            return Ok(());
        }
        Err(Error::options(format!(
            "`{}`: expected a directory, as this program was built without the feature `object-storage`",
            path.display()
        )))
    }
}
