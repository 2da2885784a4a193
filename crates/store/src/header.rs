//! `store.json`: what the embeddings of a store were made with, and from which data set.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use facefold_core::checksum::{self, Checksum, UNSEALED};
use facefold_core::files::is_absent;
use facefold_core::{ExtractorInfo, Fingerprint, TAPS_LAYOUT};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::disk::write_atomic;
use crate::error::StoreError;
use crate::remedy::IMPORT;

/// Version of the format on disk, raised when older readers would go wrong.
pub(crate) const FORMAT: u32 = 2;

/// The format whose `store.json` and `samples.parquet` carry no checksums; all else is the same.
const WITHOUT_CHECKSUMS: u32 = 1;

/// The option of [`DatasetInfo::options`] with the part of the data set that the store is of: `3/8`.
pub const SHARD: &str = "shard";

/// The option of [`DatasetInfo::options`] with the number of label rows that the data set listed, and a hash of
/// them.
pub const LIST: &str = "list";

/// Stands before the checksum in `store.json`.
const MARKER: &[u8] = br#""checksum": ""#;

/// What to do where `store.json` cannot be read.
const RESTORE: &str = "restore it from a copy, or make the store anew in another --store";

/// What a store is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreHeader {
    format: u32,
    /// What every embedding in the store was made with.
    pub fingerprint: Fingerprint,
    /// The extractor that the store was begun with.
    pub extractor: ExtractorInfo,
    /// The data set that the samples table lists.
    pub dataset: DatasetInfo,
    /// Whether a samples table was written: one that is absent then was lost.
    #[serde(default)]
    pub(crate) has_samples: bool,
    /// What the samples table carries too, so that one of another store is not taken for it; none in
    /// stores of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The checksum of the samples table that belongs to the header, so that neither an earlier table nor
    /// that of a copy of the store is taken for it; two while one is replaced by another, none before
    /// the first, and in stores of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<String>,
}

/// 128 random bits.
fn random_id() -> String {
    let [low, high] = [0, 1].map(|part: u64| RandomState::new().hash_one(part));
    format!("{high:016x}{low:016x}")
}

/// A header as it is in the file.
#[derive(Serialize)]
struct Sealed<'a> {
    #[serde(flatten)]
    header: &'a StoreHeader,
    checksum: &'a str,
}

/// The data set behind the samples table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// `adience`, `utkface`, `fairface`, `imdb-wiki`, `folder` or `manifest`.
    pub kind: String,
    /// The root that sample paths are relative to; absolute, so that it means the same everywhere.
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
    /// A header of the current format, of a store unlike any other.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, extractor: ExtractorInfo, dataset: DatasetInfo) -> Self {
        let id = Some(random_id());
        let tables = Vec::new();
        Self { format: FORMAT, fingerprint, extractor, dataset, has_samples: false, id, tables }
    }

    /// What distinguishes the store from all others; none in stores of earlier versions.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether another header is that of the same store, or of a copy of it.
    pub(crate) fn has_id_of(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id
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
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let corrupt = |what: String| StoreError::Corrupt {
            path: path.to_owned(),
            what,
            remedy: RESTORE.to_owned(),
        };
        let sum = checksum::check(&text, MARKER);
        if sum == Checksum::Wrong {
            return Err(corrupt("its bytes do not have the checksum that it carries".to_owned()));
        }
        let invalid = |error: serde_json::Error| corrupt(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(invalid)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        match format {
            Some(found) if ![WITHOUT_CHECKSUMS, FORMAT].map(u64::from).contains(&found) => {
                Err(StoreError::OtherFormat { path: directory.to_owned(), found, expected: FORMAT })
            }
            _ => {
                let header: Self = serde_json::from_value(value).map_err(invalid)?;
                if header.has_checksums() && sum == Checksum::Absent {
                    return Err(corrupt("expected a checksum in it, found none".to_owned()));
                }
                header.check_taps(directory)?;
                Ok(Some(header))
            }
        }
    }

    /// Whether `store.json` and `samples.parquet` carry checksums, as all do that this version
    /// writes.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.format > WITHOUT_CHECKSUMS
    }

    /// The header of a store that has a samples table of a data set.
    pub(crate) fn with_samples(&self, dataset: DatasetInfo) -> Self {
        let id = self.id.clone().or_else(|| Some(random_id()));
        Self { format: FORMAT, dataset, has_samples: true, id, ..self.clone() }
    }

    /// The header once the samples table with this checksum is written.
    pub(crate) fn with_table(self, checksum: String) -> Self {
        Self { tables: vec![checksum], ..self }
    }

    /// The header before a samples table with this checksum takes the place of the present one: either
    /// may be there then. A header that accepts any table stays as it is.
    pub(crate) fn announcing(&self, checksum: &str) -> Self {
        let mut both = self.clone();
        if !self.owns_table(checksum) {
            both.tables.push(checksum.to_owned());
        }
        both
    }

    /// Whether a samples table with this checksum is the store's.
    pub(crate) fn owns_table(&self, checksum: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|own| own == checksum)
    }

    /// The checksums of the tables that are the store's, for a message.
    pub(crate) fn table_names(&self) -> String {
        self.tables.join(" or ")
    }

    /// Refuses taps of other maps, which no head of this version is meant for.
    fn check_taps(&self, directory: &Path) -> Result<(), StoreError> {
        let found = self.extractor.taps_length;
        let known = self.extractor.taps_layout == TAPS_LAYOUT || self.extractor.is_imported();
        if found == 0 || known {
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

    /// The command that extracts this store's data set anew, into a directory next to it.
    fn extraction(&self, directory: &Path) -> String {
        let DatasetInfo { kind, root, options, .. } = &self.dataset;
        let labels = options.get("labels").and_then(serde_json::Value::as_str);
        let source = options.get("source").and_then(serde_json::Value::as_str);
        let source = source.map_or_else(
            || {
                let list = kind == "manifest" && labels.is_none();
                format!("{}{}", root.display(), if list { "/<LIST>.csv" } else { "" })
            },
            str::to_owned,
        );
        let mut parts = vec![format!(
            "facefold extract {kind} {source} --store {}-new --taps",
            directory.display()
        )];
        for name in ["labels", "tree", SHARD] {
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
        let mut text = serde_json::to_vec_pretty(&Sealed { header: self, checksum: UNSEALED })?;
        text.push(b'\n');
        // The marker is there: it was just written.
        let _ = checksum::seal(&mut text, MARKER);
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

impl DatasetInfo {
    /// How the data set asked for differs from this one: what this one has, and what was found;
    /// none where both are the same one. Counts may differ: label files grow. So may the files of an
    /// import, whose labels say what the rows are of, and the [`LIST`] of rows.
    #[must_use]
    pub fn difference(&self, wanted: &Self) -> Option<(String, String)> {
        if self.kind != wanted.kind {
            return Some((self.kind.clone(), wanted.kind.clone()));
        }
        if !same_place(&self.root, &wanted.root) {
            let named = |root: &Path| format!("{} `{}`", self.kind, root.display());
            return Some((named(&self.root), named(&wanted.root)));
        }
        let mut options = self.options.as_object()?.clone();
        // Of stores of earlier versions, which knew no shards.
        options.entry(SHARD).or_insert(serde_json::Value::Null);
        let (name, stored) = options.iter().find(|&(name, stored)| {
            let found = wanted.options.get(name).unwrap_or(&serde_json::Value::Null);
            let places = stored.as_str().zip(found.as_str());
            ![IMPORT, LIST].contains(&name.as_str())
                && stored != found
                && !places.is_some_and(|(a, b)| same_place(a.as_ref(), b.as_ref()))
        })?;
        let found = wanted.options.get(name).unwrap_or(&serde_json::Value::Null);
        let given = |value: &serde_json::Value| match value {
            serde_json::Value::Null => format!("no --{name}"),
            serde_json::Value::String(text) => format!("--{name} {text}"),
            other => format!("--{name} {other}"),
        };
        Some((given(stored), given(found)))
    }
}

/// Whether two paths lead to the same place, or are equal.
fn same_place(first: &Path, second: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    first == second || real(first).is_some_and(|first| real(second) == Some(first))
}

fn made_by(info: &ExtractorInfo) -> String {
    if info.is_imported() {
        let taps = if info.taps_length > 0 {
            format!(" and {} taps", info.taps_length)
        } else {
            String::new()
        };
        return format!("imported, {}, {} values{taps}", info.network, info.embedding_length);
    }
    format!("{}, {}, {}", info.model, info.network, info.precision)
}
