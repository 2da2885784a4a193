//! What a local copy and its remote store had in common last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facefold_core::FileLock;
use facefold_core::files::write_atomic;
use fs_err as fs;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::RemoteError;

/// Which version of a file object storage has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) bytes: u64,
    /// The entity tag, or the time of the last change where there is none.
    tag: String,
}

impl Version {
    pub(crate) fn of(object: &ObjectMeta) -> Self {
        let tag = object.e_tag.clone();
        Self { bytes: object.size, tag: tag.unwrap_or_else(|| object.last_modified.to_string()) }
    }
}

/// The files that both had, with the version there and, of those that change, the hash here. It is kept next to
/// the copy, and written after each file, so that it knows what a transfer that was cut off did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    files: BTreeMap<String, (Version, Option<String>)>,
    /// The run that began to write the copy and whose changes were not all uploaded.
    pub(crate) pending: Option<String>,
}

impl Record {
    /// A file next to a copy.
    fn next_to(copy: &Path, name: &str) -> PathBuf {
        copy.parent().unwrap_or(Path::new("")).join(name)
    }

    /// The record of a copy; an empty one where there is none, or one that cannot be understood.
    pub(crate) fn read(copy: &Path) -> Result<Self, RemoteError> {
        match fs::read(Self::next_to(copy, "record.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes it, where it is another than before.
    pub(crate) fn write(&self, copy: &Path) -> Result<(), RemoteError> {
        if *self == Self::read(copy)? {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        Ok(write_atomic(&Self::next_to(copy, "record.json"), &text)?)
    }

    pub(crate) fn note(&mut self, name: &str, version: Version, hash: Option<String>) {
        self.files.insert(name.to_owned(), (version, hash));
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Takes the remote store for one that was lost.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
    }

    /// Files that were there and are not among these any more.
    pub(crate) fn lost(&self, names: &BTreeSet<&str>) -> Vec<String> {
        self.files.keys().filter(|name| !names.contains(name.as_str())).cloned().collect()
    }

    /// Whether both had this file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Whether this version is the one that both had.
    pub(crate) fn is_same(&self, name: &str, version: &Version) -> bool {
        self.files.get(name).is_some_and(|(known, _)| known == version)
    }

    /// The hash of the file that both had.
    pub(crate) fn hash(&self, name: &str) -> Option<&str> {
        self.files.get(name)?.1.as_deref()
    }
}

/// A lock next to a copy.
fn lock_file(copy: &Path, name: &str) -> Result<std::fs::File, RemoteError> {
    let path = Record::next_to(copy, name);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    Ok(file.into_file())
}

/// The lock of the one run on this machine that writes a copy; none where another one has it.
pub(crate) fn writer_lock(copy: &Path) -> Result<Option<FileLock>, RemoteError> {
    Ok(FileLock::try_new(lock_file(copy, "writer.lock")?)?)
}

/// Waits for other downloads into a copy.
pub(crate) fn download_lock(copy: &Path) -> Result<FileLock, RemoteError> {
    Ok(FileLock::wait(lock_file(copy, "download.lock")?)?)
}
