//! Where the files of a store lie, and the lock that keeps a second writer out.

use std::io;
use std::path::{Path, PathBuf};

use facefold_core::FileLock;
use fs_err as fs;

use crate::disk::{self, PARTIAL};
use crate::error::StoreError;

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

    /// The directories of the reports that were made from the store.
    pub(crate) fn reports(&self) -> PathBuf {
        self.directory.join("reports")
    }

    /// There while a removal is under way, and after one that was cut off.
    pub(crate) fn removal(&self) -> PathBuf {
        self.directory.join("removal")
    }

    /// There while a merge is under way, and after one that was cut off.
    pub(crate) fn merge(&self) -> PathBuf {
        self.directory.join("merge")
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

    /// Takes the writer's lock, which the system gives back when the writer is killed.
    pub(crate) fn lock_for_writing(&self) -> Result<FileLock, StoreError> {
        let file = disk::open_lock(&self.directory.join("lock"))?;
        FileLock::try_new(file.into_file())?
            .ok_or_else(|| StoreError::Locked { path: self.directory.clone() })
    }

    /// Waits for the lock under which derived files are built.
    pub(crate) fn lock_derived(&self) -> io::Result<FileLock> {
        disk::create_dir_all(&self.derived())?;
        FileLock::wait(disk::open_lock(&self.derived().join("lock"))?.into_file())
    }

    /// Makes the directory of a new store, refusing one that holds anything else.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        disk::create_dir_all(&self.directory)?;
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
