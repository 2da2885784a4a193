//! Where the files of a store lie, and the lock that keeps a second writer out.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::error::StoreError;

/// Prefix of files that are not whole yet.
pub(crate) const PARTIAL: &str = ".partial-";

/// The paths of a store's files.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
}

impl Layout {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(crate) fn header(&self) -> PathBuf {
        self.directory.join("store.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(crate) fn samples(&self) -> PathBuf {
        self.directory.join("samples.parquet")
    }

    pub(crate) fn shards(&self) -> PathBuf {
        self.directory.join("shards")
    }

    pub(crate) fn shard(&self, name: &str) -> PathBuf {
        self.shards().join(name)
    }

    /// Everything in here can be deleted: it is built again from the shards.
    pub(crate) fn derived(&self) -> PathBuf {
        self.directory.join("derived")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.derived().join("index.bin")
    }

    /// Takes the writer's lock, which the system releases when the writer ends or is killed.
    pub(crate) fn lock_for_writing(&self) -> Result<fs::File, StoreError> {
        let file = open_lock(&self.directory.join("lock"))?;
        match file.file().try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::Locked { path: self.directory.clone() })
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Waits for the lock under which derived files are built.
    pub(crate) fn lock_derived(&self) -> io::Result<fs::File> {
        fs::create_dir_all(self.derived())?;
        let file = open_lock(&self.derived().join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// Makes the directory of a new store, refusing one that holds anything else.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.directory)?;
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // What a run leaves that was killed before it wrote its header.
            if name != "lock" && !name.starts_with(PARTIAL) {
                return Err(StoreError::NotEmpty { path: self.directory.clone(), found: name });
            }
        }
        Ok(())
    }
}

/// Deletes what killed writers left in a directory. The caller holds the lock for it.
pub(crate) fn remove_partial_files(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A temporary file that colleagues may read once it is renamed.
pub(crate) fn temporary_file(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(directory).map_err(|error| named(&error, directory))
}

/// Gives a finished temporary file its name, durably.
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all().map_err(|error| named(&error, path))?;
    file.persist(path).map_err(|error| named(&error.error, path))?;
    match path.parent() {
        Some(directory) => facefold_core::files::sync_directory(directory),
        None => Ok(()),
    }
}

pub(crate) fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write in `{}`: {error}", path.display()))
}

fn open_lock(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}
