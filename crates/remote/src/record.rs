//! What a local copy and its remote store had in common last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;
use fs_err as fs;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::RemoteError;

/// The file of the record, next to the copy's directory.
const ENDING: &str = "remote.json";

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

/// The files that both had, with the version there and, of those that change, the hash here.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record(BTreeMap<String, (Version, Option<String>)>);

impl Record {
    fn path(copy: &Path) -> PathBuf {
        copy.with_extension(ENDING)
    }

    /// The record of a copy; an empty one where there is none, or one that cannot be understood.
    pub(crate) fn read(copy: &Path) -> Result<Self, RemoteError> {
        match fs::read(Self::path(copy)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn write(&self, copy: &Path) -> Result<(), RemoteError> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        Ok(write_atomic(&Self::path(copy), &text)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn note(&mut self, name: &str, version: Version, hash: Option<String>) {
        self.0.insert(name.to_owned(), (version, hash));
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Files that were there and are not among these any more.
    pub(crate) fn lost(&self, names: &BTreeSet<&str>) -> Vec<String> {
        self.0.keys().filter(|name| !names.contains(name.as_str())).cloned().collect()
    }

    /// Whether this version is the one that both had.
    pub(crate) fn is_same(&self, name: &str, version: &Version) -> bool {
        self.0.get(name).is_some_and(|(known, _)| known == version)
    }

    /// Whether the file here is another than the one that both had.
    pub(crate) fn has_changed(&self, name: &str, hash: Option<&str>) -> bool {
        self.0.get(name).is_none_or(|(_, known)| known.as_deref() != hash)
    }
}
