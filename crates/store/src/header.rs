//! `store.json`: what the embeddings of a store were made with, and from which data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;
use facefold_core::{ExtractorInfo, Fingerprint, TAPS_LAYOUT};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Version of the format on disk, raised when older readers would go wrong.
pub(crate) const FORMAT: u32 = 1;

/// What a store is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreHeader {
    format: u32,
    /// What every embedding in the store was made with.
    pub fingerprint: Fingerprint,
    /// The extractor that the store was begun with.
    pub extractor: ExtractorInfo,
    /// The data set that the samples table lists; that of the latest extraction.
    pub dataset: DatasetInfo,
}

/// The data set behind the samples table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// `adience`, `utkface`, `fairface`, `imdb-wiki`, `folder` or `manifest`.
    pub kind: String,
    /// The root that sample paths are relative to.
    pub root: PathBuf,
    /// Options of the loader, as given on the command line.
    pub options: serde_json::Value,
    /// Counts that the loader reports, by name: rows, distinct pictures, dropped rows.
    pub counts: BTreeMap<String, u64>,
}

impl DatasetInfo {
    /// A data set without options or counts.
    pub fn new(kind: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        Self {
            kind: kind.into(),
            root: root.into(),
            options: serde_json::Value::Null,
            counts: BTreeMap::new(),
        }
    }
}

impl StoreHeader {
    /// A header of the current format.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, extractor: ExtractorInfo, dataset: DatasetInfo) -> Self {
        Self { format: FORMAT, fingerprint, extractor, dataset }
    }

    /// Length of a row of features: the embedding, and the taps where there are any.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.extractor.embedding_length, self.extractor.taps_length)
    }

    /// Reads `store.json`; none where there is no such file.
    pub(crate) fn read(directory: &Path, path: &Path) -> Result<Option<Self>, StoreError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |error: serde_json::Error| StoreError::Damaged {
            path: path.to_owned(),
            what: error.to_string(),
            remedy: "restore it from a copy, or extract again into another --store",
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        match format {
            Some(found) if found != u64::from(FORMAT) => Err(StoreError::OtherFormat {
                path: directory.to_owned(),
                found: found as u32,
                expected: FORMAT,
            }),
            _ => {
                let header: Self = serde_json::from_value(value).map_err(damaged)?;
                header.check_taps(directory)?;
                Ok(Some(header))
            }
        }
    }

    /// Refuses taps of other maps, which no head of this version is meant for.
    fn check_taps(&self, directory: &Path) -> Result<(), StoreError> {
        let found = self.extractor.taps_length;
        if found == 0 || self.extractor.taps_layout == TAPS_LAYOUT {
            return Ok(());
        }
        let command = self.extraction(directory);
        Err(StoreError::OtherTaps {
            path: directory.to_owned(),
            expected: TAPS_LAYOUT,
            found,
            command,
        })
    }

    /// The command that extracts this store's data set anew, into a directory beside it.
    fn extraction(&self, directory: &Path) -> String {
        let DatasetInfo { kind, root, options, .. } = &self.dataset;
        let labels = options.get("labels").and_then(serde_json::Value::as_str);
        let list = if kind == "manifest" && labels.is_none() { "/<LIST>.csv" } else { "" };
        let mut parts = vec![format!(
            "facefold extract {kind} {}{list} --store {}-new --taps",
            root.display(),
            directory.display()
        )];
        for name in ["labels", "tree"] {
            let value = options.get(name).and_then(serde_json::Value::as_str);
            parts.extend(value.map(|value| format!("--{name} {value}")));
        }
        for name in ["aligned", "frontal"] {
            parts.extend((options.get(name) == Some(&true.into())).then(|| format!("--{name}")));
        }
        for name in ["augment", "oversample"] {
            let versions = options.get(name).and_then(serde_json::Value::as_u64);
            let versions = versions.filter(|&versions| versions > 0);
            parts.extend(versions.map(|versions| format!("--{name} {versions}")));
        }
        parts.join(" ")
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(write_atomic(path, &text)?)
    }

    /// Refuses to mix embeddings that cannot be compared.
    pub(crate) fn accept(&self, wanted: &Self, directory: &Path) -> Result<(), StoreError> {
        if self.fingerprint != wanted.fingerprint {
            return Err(StoreError::OtherFingerprint {
                path: directory.to_owned(),
                stored: self.fingerprint.clone(),
                stored_by: made_by(&self.extractor),
                wanted: wanted.fingerprint.clone(),
                wanted_by: made_by(&wanted.extractor),
            });
        }
        if self.lengths() != wanted.lengths() {
            return Err(StoreError::OtherLengths {
                path: directory.to_owned(),
                stored_embedding: self.extractor.embedding_length,
                stored_taps: self.extractor.taps_length,
                wanted_embedding: wanted.extractor.embedding_length,
                wanted_taps: wanted.extractor.taps_length,
            });
        }
        Ok(())
    }
}

fn made_by(info: &ExtractorInfo) -> String {
    format!("{}, {}, {}", info.model, info.network, info.precision)
}
