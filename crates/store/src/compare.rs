//! Whether two stores hold the same: the same keys and the same bits.

use std::collections::BTreeMap;
use std::fmt;

use facefold_core::{Extraction, ImageKey};
use serde::Serialize;

use crate::codec;
use crate::error::StoreError;
use crate::shard::{self, Kind};
use crate::store::Store;

/// How two stores differ. Order of extraction, shards and logs do not count, only what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The fingerprints, where they differ.
    pub fingerprints: Option<(String, String)>,
    /// Pictures that only the first store has seen, sorted.
    pub only_first: Vec<ImageKey>,
    /// Pictures that only the second store has seen, sorted.
    pub only_second: Vec<ImageKey>,
    /// Pictures with another outcome or other bits in the second store, sorted.
    pub different: Vec<ImageKey>,
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("equal: the same keys and the same bits");
        }
        let mut parts = Vec::new();
        if let Some((first, second)) = &self.fingerprints {
            parts.push(format!("different networks: fingerprints {first} and {second}"));
        }
        for (keys, what) in [
            (&self.only_first, "only in the first store"),
            (&self.only_second, "only in the second store"),
            (&self.different, "with different bits"),
        ] {
            if let Some(key) = keys.first() {
                parts.push(format!("{} pictures {what}, such as {key}", keys.len()));
            }
        }
        f.write_str(&parts.join("; "))
    }
}

impl Store {
    /// Compares the embeddings and rejections of two stores bit by bit.
    ///
    /// # Errors
    /// A file of either that is corrupt or cannot be read.
    pub fn compare(&self, other: &Self) -> Result<Difference, StoreError> {
        let (first, second) = (self.sums()?, other.sums()?);
        let lacking = |from: &BTreeMap<ImageKey, Sum>, other: &BTreeMap<ImageKey, Sum>| {
            from.keys().filter(|key| !other.contains_key(key)).copied().collect::<Vec<_>>()
        };
        let differs = |(key, sum): (&ImageKey, &Sum)| {
            second.get(key).is_some_and(|other| other != sum).then_some(*key)
        };
        let fingerprints =
            [&self.header, &other.header].map(|header| header.fingerprint.to_string());
        let [ours, theirs] = fingerprints;
        Ok(Difference {
            fingerprints: (ours != theirs).then_some((ours, theirs)),
            only_first: lacking(&first, &second),
            only_second: lacking(&second, &first),
            different: first.iter().filter_map(differs).collect(),
        })
    }

    /// For every picture the sum of its rows' hashes, which no order of rows can change.
    fn sums(&self) -> Result<BTreeMap<ImageKey, Sum>, StoreError> {
        let mut sums: BTreeMap<ImageKey, Sum> = BTreeMap::new();
        let mut add = |key: ImageKey, bytes: &[u8]| {
            let sum = sums.entry(key).or_default();
            *sum = sum.wrapping_add(hash(bytes));
        };
        let mut bytes = Vec::new();
        for shard in self.index.shards_of(Kind::Embeddings) {
            shard::for_each_row(&self.layout, &shard.name, |row| {
                bytes.clear();
                bytes.extend_from_slice(&row.found.to_le_bytes());
                codec::encode_face(&row.face, &mut bytes);
                add(row.key, &bytes);
                Ok(())
            })?;
        }
        for entry in self.logged.values().filter(|entry| !entry.rejected) {
            let record = self.read_logged(entry)?;
            let Extraction::Embedded { faces, found } = record.extraction else { continue };
            for face in &faces {
                bytes.clear();
                bytes.extend_from_slice(&found.to_le_bytes());
                codec::encode_face(face, &mut bytes);
                add(record.key, &bytes);
            }
        }
        for (key, rejection) in self.rejections()? {
            add(key, format!("{}\n{}", rejection.reason, rejection.detail).as_bytes());
        }
        Ok(sums)
    }
}

type Sum = u128;

fn hash(bytes: &[u8]) -> Sum {
    let hash = blake3::hash(bytes);
    hash.as_bytes().iter().take(16).fold(0, |sum, &byte| sum << 8 | Sum::from(byte))
}
