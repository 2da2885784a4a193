//! The one writer of a store: append, commit, seal.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Mutex;

use facefold_core::{Extraction, ImageKey};
use fs_err as fs;

use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::index::Index;
use crate::layout::{Layout, remove_partial_files};
use crate::log::Log;
use crate::samples::{self, SampleRow};
use crate::seal;
use crate::shard::EmbeddingRow;
use crate::store::Store;

/// When the log is sealed into a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealLimits {
    /// At so many pictures …
    pub pictures: usize,
    /// … or at so many bytes. Sealing needs about three times as much memory.
    pub bytes: u64,
}

impl Default for SealLimits {
    fn default() -> Self {
        Self { pictures: 16_384, bytes: 64 << 20 }
    }
}

/// A store that is open for writing; everything that reads a [`Store`] reads it too.
///
/// An appended picture survives the end of this program at once, and a power cut after the next
/// [`commit`](Self::commit). The lock is released when the writer is dropped or its program ends.
#[derive(Debug)]
pub struct StoreWriter {
    store: Store,
    log: Log,
    limits: SealLimits,
    _lock: fs::File,
}

impl Deref for StoreWriter {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl StoreWriter {
    pub(crate) fn open(layout: Layout, wanted: StoreHeader) -> Result<Self, StoreError> {
        if StoreHeader::read(&layout.directory, &layout.header())?.is_none() {
            layout.create()?;
        }
        let lock = layout.lock_for_writing()?;
        let header = match StoreHeader::read(&layout.directory, &layout.header())? {
            None => {
                wanted.write(&layout.header())?;
                wanted
            }
            Some(mut stored) => {
                stored.accept(&wanted, &layout.directory)?;
                if stored.dataset != wanted.dataset {
                    stored.dataset = wanted.dataset;
                    stored.write(&layout.header())?;
                }
                stored
            }
        };
        fs::create_dir_all(layout.shards())?;
        remove_partial_files(&layout.directory)?;
        remove_partial_files(&layout.shards())?;
        let (log, entries) = Log::open(&layout.log())?;
        let index = Index::load(&layout)?;
        let mut store = Store { layout, header, index, logged: HashMap::new(), log: None, torn: 0 };
        store.keep_unsealed(entries);
        let mut writer = Self { store, log, limits: SealLimits::default(), _lock: lock };
        if writer.store.logged.is_empty() && writer.log.size() > 0 {
            // Killed after sealing, before the log began anew.
            writer.log.restart()?;
        }
        writer.reopen_log()?;
        Ok(writer)
    }

    /// Seals at other limits than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: SealLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Appends how a picture ended: all its faces and variants, or nothing. A picture that the
    /// store has seen is left as it is, and the answer is `false`.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] where an embedding or its taps have another length than the header
    /// says, or a face is given twice; or a failure to write or to seal, after which the store
    /// holds the picture whole or not at all.
    pub fn append(&mut self, key: ImageKey, extraction: &Extraction) -> Result<bool, StoreError> {
        if self.contains(&key) {
            return Ok(false);
        }
        self.check(key, extraction)?;
        let entry = self.log.append(&key, extraction)?;
        self.store.logged.insert(key, entry);
        if self.store.logged.len() >= self.limits.pictures || self.log.size() >= self.limits.bytes {
            self.seal()?;
        }
        Ok(true)
    }

    fn check(&self, key: ImageKey, extraction: &Extraction) -> Result<(), StoreError> {
        let Extraction::Embedded { faces, .. } = extraction else { return Ok(()) };
        let unfit = |what: String| Err(StoreError::Unfit { key, what });
        let (embedding, taps) = self.header.lengths();
        for (place, face) in faces.iter().enumerate() {
            let found = (face.embedding.as_slice().len(), face.taps.len());
            if found != (embedding, taps) {
                return unfit(format!(
                    "expected an embedding of {embedding} values and {taps} taps, found {} and {}",
                    found.0, found.1
                ));
            }
            let same = |other: &facefold_core::Face| {
                (other.index, other.variant) == (face.index, face.variant)
            };
            if faces[..place].iter().any(same) {
                return unfit(format!(
                    "face {} is given twice in variant {}",
                    face.index, face.variant.0
                ));
            }
        }
        if faces.is_empty() {
            return unfit("expected at least one face, found none".to_owned());
        }
        Ok(())
    }

    /// Makes everything appended so far survive a power cut. Done by itself every 256 pictures
    /// and every two seconds of appending.
    ///
    /// # Errors
    /// A failure to write.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.log.sync()
    }

    /// Seals the log into shards. Done by itself at the [`SealLimits`].
    ///
    /// # Errors
    /// A failure to write; the log stays as it is, and sealing can be tried again.
    pub fn seal(&mut self) -> Result<(), StoreError> {
        if self.store.logged.is_empty() {
            return Ok(());
        }
        let (mut rows, mut rejections) = (Vec::new(), Vec::new());
        for entry in self.store.logged.values() {
            let record = self.log.read(entry)?;
            match record.extraction {
                Extraction::Rejected(rejection) => rejections.push((record.key, rejection)),
                Extraction::Embedded { faces, found } => {
                    let key = record.key;
                    rows.extend(faces.into_iter().map(|face| EmbeddingRow { key, found, face }));
                }
            }
        }
        let Store { layout, header, .. } = &self.store;
        let embeddings = seal::write_embeddings(layout, header, &mut rows)?;
        let rejections = seal::write_rejections(layout, header, &mut rejections)?;
        let names: Vec<String> = [embeddings, rejections].into_iter().flatten().collect();
        self.log.restart()?;
        self.store.index.add(&self.store.layout, &names)?;
        self.store.logged.clear();
        self.reopen_log()
    }

    /// Forgets every rejection, so that those pictures are tried again; gives how many there were.
    ///
    /// # Errors
    /// A failure to write. What was deleted until then is forgotten.
    pub fn forget_rejections(&mut self) -> Result<usize, StoreError> {
        self.seal()?;
        let count = self.store.rejections()?.len();
        for name in self.store.index.forget_rejections() {
            fs::remove_file(self.store.layout.shard(&name))?;
        }
        facefold_core::files::sync_directory(&self.store.layout.shards())?;
        self.store.index.write(&self.store.layout)?;
        Ok(count)
    }

    /// Replaces the samples table: one row per label row, in the loader's order.
    ///
    /// # Errors
    /// A failure to write; the earlier table then stays.
    pub fn write_samples<R: Borrow<SampleRow>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<(), StoreError> {
        samples::write(&self.store.samples_path(), rows)
    }

    /// Seals what is in the log and gives the store for reading.
    ///
    /// # Errors
    /// A failure to write.
    pub fn finish(mut self) -> Result<Store, StoreError> {
        self.seal()?;
        self.store.index.write(&self.store.layout)?;
        Ok(self.store)
    }

    /// The reading half follows the log to its new file.
    fn reopen_log(&mut self) -> Result<(), StoreError> {
        self.store.log = Some(Mutex::new(fs::File::open(self.store.layout.log())?));
        Ok(())
    }
}
