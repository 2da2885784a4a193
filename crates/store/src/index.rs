//! The key index: which pictures the shards hold, and at which row. Derived, and built again from
//! the shards' key columns where it is absent or stale.
//!
//! `derived/index.bin`: a magic of 8 bytes, the length of a JSON header (u32), crc32 of all that
//! follows (u32), the header (the shards that were indexed, in row order) padded with spaces to a
//! multiple of 4, then the entries, sorted, 44 bytes each, little-endian.

use std::collections::HashSet;
use std::io::{Read, Write};

use bytemuck::{Pod, Zeroable};
use facefold_core::{FaceVariant, ImageKey};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::disk::PartialFile;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::layout::Layout;
use crate::shard::{self, Keys, Kind};

const MAGIC: &[u8; 8] = b"ffindex2";

/// One row of a shard. Rows are numbered through all embeddings shards, in the index's order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
pub(crate) struct Entry {
    key: [u8; 32],
    face: u32,
    variant: u32,
    /// [`REJECTED`] for a rejection.
    row: u32,
}

const REJECTED: u32 = u32::MAX;

/// The first bits of a key as a number.
fn prefix(key: &[u8; 32], bits: u32) -> usize {
    let first = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    (first >> (u32::BITS - bits)) as usize
}

impl Entry {
    pub(crate) fn key(&self) -> ImageKey {
        ImageKey::from_bytes(self.key)
    }

    pub(crate) fn variant(&self) -> FaceVariant {
        FaceVariant(self.variant)
    }

    pub(crate) fn is_main_face(&self) -> bool {
        self.face == 0
    }

    /// Row number; none for a rejection.
    pub(crate) fn row(&self) -> Option<u32> {
        (self.row != REJECTED).then_some(self.row)
    }
}

/// A shard that has been indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexedShard {
    pub(crate) name: String,
    pub(crate) rows: u32,
    pub(crate) bytes: u64,
    /// What its rows were made with.
    fingerprint: String,
}

/// Where every picture of the shards is.
#[derive(Debug, Default)]
pub(crate) struct Index {
    shards: Vec<IndexedShard>,
    entries: Vec<Entry>,
    rows: u32,
    /// Place of the first entry whose key begins with at least these bits, for each value of the
    /// first [`Index::prefix_bits`] bits, and the number of entries.
    ///
    /// Keys are hashes, so one or two entries are left to search, where halving all of a million
    /// would wait for memory twenty times a key.
    starts: Vec<u32>,
}

impl Index {
    /// The index of the shards that are there now.
    ///
    /// What the stored index lacks is read from the key columns, and the stored one is replaced;
    /// where that is not allowed (a store on a read-only medium) the new one stays in memory.
    /// A shard of another network than the store's is refused.
    pub(crate) fn load(layout: &Layout, header: &StoreHeader) -> Result<Self, StoreError> {
        let names = shard::list(layout)?;
        let mut index = Self::read(layout).unwrap_or_default();
        let present: HashSet<&String> = names.iter().collect();
        let whole = index.shards.iter().all(|known| {
            let size = || fs::metadata(layout.shard(&known.name)).map(|found| found.len()).ok();
            present.contains(&known.name) && size() == Some(known.bytes)
        });
        if !whole {
            index = Self::default();
        }
        let known: HashSet<&String> = index.shards.iter().map(|known| &known.name).collect();
        let new: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
        if !new.is_empty() || !whole {
            index.add(layout, &new)?;
            index.keep(layout);
        }
        let foreign = |shard: &&IndexedShard| shard.fingerprint != header.fingerprint.as_str();
        match index.shards.iter().find(foreign) {
            None => Ok(index),
            Some(shard) => Err(StoreError::ForeignFile {
                path: layout.shard(&shard.name),
                expected: header.fingerprint.clone(),
                found: shard.fingerprint.clone(),
            }),
        }
    }

    /// Adds shards that were sealed since.
    pub(crate) fn add(&mut self, layout: &Layout, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            let Keys { fingerprint, rows: keys } = shard::read_keys(layout, name)?;
            let embeddings = Kind::of(name) == Some(Kind::Embeddings);
            let first = self.rows;
            for (place, (key, face, variant)) in keys.iter().enumerate() {
                self.entries.push(Entry {
                    key: *key.as_bytes(),
                    face: u32::from(*face),
                    variant: variant.0,
                    row: if embeddings { first + place as u32 } else { REJECTED },
                });
            }
            let rows = keys.len() as u32;
            self.rows += if embeddings { rows } else { 0 };
            let bytes = fs::metadata(layout.shard(name))?.len();
            self.shards.push(IndexedShard { name: name.clone(), rows, bytes, fingerprint });
        }
        // Not `sort`, which would take half as much memory again.
        self.entries.sort_unstable();
        self.entries.dedup_by_key(|entry| (entry.key, entry.face, entry.variant));
        self.find_starts();
        Ok(())
    }

    /// About as many prefixes as entries.
    fn prefix_bits(&self) -> u32 {
        self.entries.len().max(2).ilog2().min(24)
    }

    fn find_starts(&mut self) {
        let bits = self.prefix_bits();
        self.starts.clear();
        self.starts.reserve_exact((1 << bits) + 1);
        for (place, entry) in self.entries.iter().enumerate() {
            let prefix = prefix(&entry.key, bits);
            while self.starts.len() <= prefix {
                self.starts.push(place as u32);
            }
        }
        self.starts.resize((1 << bits) + 1, self.entries.len() as u32);
    }

    /// Forgets all rejections, and gives the names of the shards that held them.
    pub(crate) fn forget_rejections(&mut self) -> Vec<String> {
        self.entries.retain(|entry| entry.row != REJECTED);
        self.find_starts();
        let rejections = |shard: &IndexedShard| Kind::of(&shard.name) == Some(Kind::Rejections);
        let gone = self.shards.iter().filter(|shard| rejections(shard));
        let gone = gone.map(|shard| shard.name.clone()).collect();
        self.shards.retain(|shard| !rejections(shard));
        gone
    }

    /// Entries of one picture: main face first, each face's variants in order.
    pub(crate) fn of(&self, key: &ImageKey) -> &[Entry] {
        let prefix = prefix(key.as_bytes(), self.prefix_bits());
        let [start, end] = match self.starts.get(prefix..prefix + 2) {
            Some(&[start, end]) => [start as usize, end as usize],
            _ => return &[],
        };
        let near = &self.entries[start..end];
        let rest = &near[near.partition_point(|entry| entry.key < *key.as_bytes())..];
        let count = rest.iter().take_while(|entry| entry.key == *key.as_bytes()).count();
        &rest[..count]
    }

    /// The row of a picture's main face in a variant.
    pub(crate) fn row_of(&self, key: &ImageKey, variant: FaceVariant) -> Option<u32> {
        self.of(key)
            .iter()
            .find(|entry| entry.is_main_face() && entry.variant() == variant)
            .and_then(Entry::row)
    }

    /// All entries, sorted by key.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All shards.
    pub(crate) fn shards(&self) -> &[IndexedShard] {
        &self.shards
    }

    /// Shards of one kind, in row order.
    pub(crate) fn shards_of(&self, kind: Kind) -> impl Iterator<Item = &IndexedShard> {
        self.shards.iter().filter(move |shard| Kind::of(&shard.name) == Some(kind))
    }

    /// Number of rows in all embeddings shards.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// A short name for the embeddings shards and their order, which is all that row numbers
    /// depend on.
    pub(crate) fn stamp(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 matrix stamp v1");
        for shard in self.shards_of(Kind::Embeddings) {
            hasher.update(shard.name.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// The stored index; none where it is absent or not what was written.
    fn read(layout: &Layout) -> Option<Self> {
        let mut file = fs::File::open(layout.index()).ok()?;
        let size = file.metadata().ok()?.len() as usize;
        let mut start = [0; 16];
        file.read_exact(&mut start).ok()?;
        let number = |at: usize| Some(u32::from_le_bytes(start.get(at..at + 4)?.try_into().ok()?));
        let (header_length, sum) = (number(8)? as usize, number(12)?);
        let entries_bytes = size.checked_sub(16 + header_length)?;
        if &start[..8] != MAGIC || !entries_bytes.is_multiple_of(size_of::<Entry>()) {
            return None;
        }
        let mut header = vec![0; header_length];
        file.read_exact(&mut header).ok()?;
        let mut entries = vec![Entry::zeroed(); entries_bytes / size_of::<Entry>()];
        file.read_exact(bytemuck::cast_slice_mut(&mut entries)).ok()?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header);
        hasher.update(bytemuck::cast_slice(&entries));
        if hasher.finalize() != sum {
            return None;
        }
        let shards: Vec<IndexedShard> = serde_json::from_slice(&header).ok()?;
        let mut index = Self { shards, entries, ..Self::default() };
        index.find_starts();
        index.rows = index.shards_of(Kind::Embeddings).map(|shard| shard.rows).sum();
        Some(index)
    }

    /// Writes the index where that is allowed; else the next opening builds it again.
    pub(crate) fn keep(&self, layout: &Layout) {
        if let Err(error) = self.write(layout) {
            tracing::debug!("the key index stays in memory: {error}");
        }
    }

    fn write(&self, layout: &Layout) -> Result<(), StoreError> {
        let mut header = serde_json::to_vec(&self.shards)?;
        header.resize(header.len().next_multiple_of(4), b' ');
        let entries: &[u8] = bytemuck::cast_slice(&self.entries);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header);
        hasher.update(entries);
        let length = (header.len() as u32).to_le_bytes();
        let sum = hasher.finalize().to_le_bytes();
        let mut file = PartialFile::new(&layout.derived())?;
        for part in [MAGIC, &length[..], &sum, &header, entries] {
            file.write_all(part)?;
        }
        Ok(file.persist(&layout.index())?)
    }
}
