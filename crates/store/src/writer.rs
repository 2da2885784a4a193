//! The one writer of a store: append, commit, seal.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Mutex;

use facefold_core::{Extraction, FileLock, ImageKey};
use fs_err as fs;

use crate::disk;
use crate::error::StoreError;
use crate::header::{DatasetInfo, StoreHeader};
use crate::index::Index;
use crate::layout::Layout;
use crate::log::{Log, LogCorruption};
use crate::samples::{SampleRow, TakenOver};
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
/// An appended picture survives the end of this program at once, and a power failure after the next
/// [`commit`](Self::commit). The lock is released when the writer is dropped or its program ends.
#[derive(Debug)]
pub struct StoreWriter {
    pub(crate) store: Store,
    /// The header's entry for the data set once its samples are written.
    dataset: DatasetInfo,
    log: Log,
    limits: SealLimits,
    /// Whether shards or names could not be written: what the disk has then is only known after it
    /// is read again.
    failed: bool,
    _lock: FileLock,
}

impl Deref for StoreWriter {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl StoreWriter {
    /// Opens a store; where it is not there, makes it with the given header.
    pub(crate) fn open(layout: Layout, wanted: Option<StoreHeader>) -> Result<Self, StoreError> {
        let absent = || StoreError::NotAStore { path: layout.directory.clone() };
        if StoreHeader::read(&layout.directory, &layout.header())?.is_none() {
            if wanted.is_none() {
                return Err(absent());
            }
            layout.create()?;
        }
        let lock = layout.lock_for_writing()?;
        let stored = StoreHeader::read(&layout.directory, &layout.header())?;
        let header = match (stored, &wanted) {
            (None, None) => return Err(absent()),
            (None, Some(wanted)) => {
                wanted.write(&layout.header())?;
                wanted.clone()
            }
            (Some(stored), None) => stored,
            (Some(stored), Some(wanted)) => {
                stored.accept(wanted, &layout.directory)?;
                stored
            }
        };
        disk::create_dir_all(&layout.shards())?;
        disk::remove_partial_files(&layout.directory)?;
        disk::remove_partial_files(&layout.shards())?;
        let index = Index::load(&layout, &header)?;
        let (log, entries) = Log::open(&layout.log(), &header.fingerprint)?;
        let dataset = wanted.map_or_else(|| header.dataset.clone(), |wanted| wanted.dataset);
        let (logged, log_corruption) = (HashMap::new(), LogCorruption::default());
        let mut store = Store { layout, header, index, logged, log: None, log_corruption };
        store.keep_unsealed(entries);
        let limits = SealLimits::default();
        let mut writer = Self { store, dataset, log, limits, failed: false, _lock: lock };
        writer.check_dataset()?;
        if writer.store.logged.is_empty() && writer.log.size() > 0 {
            // Killed after sealing, before the log began anew.
            writer.log.restart()?;
        }
        writer.reopen_log()?;
        Ok(writer)
    }

    /// Refuses another data set than the one whose label rows the store has. A store that holds
    /// nothing takes any.
    fn check_dataset(&mut self) -> Result<(), StoreError> {
        let Store { layout, header, .. } = &self.store;
        let is_new = !header.has_samples && !layout.samples().exists() && self.is_empty();
        if is_new && header.dataset != self.dataset {
            let mut header = header.clone();
            header.dataset = self.dataset.clone();
            header.write(&layout.header())?;
            self.store.header = header;
            return Ok(());
        }
        match header.dataset.difference(&self.dataset) {
            None => Ok(()),
            Some((stored, wanted)) => {
                Err(StoreError::OtherDataset { path: layout.directory.clone(), stored, wanted })
            }
        }
    }

    /// Seals at other limits than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: SealLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Appends how a picture ended: all its faces and variants, or nothing. A picture that the
    /// store has seen is left as it is, and the result is `false`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where an embedding or its taps have another length than the header
    /// says, or a face is given twice; or a failure to write or to seal, after which the store
    /// holds the picture whole or not at all.
    pub fn append(&mut self, key: ImageKey, extraction: &Extraction) -> Result<bool, StoreError> {
        self.require_whole()?;
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
        let mismatch = |what: String| Err(StoreError::Mismatch { key, what });
        let (embedding, taps) = self.header.lengths();
        for (place, face) in faces.iter().enumerate() {
            let found = (face.embedding.as_slice().len(), face.taps.len());
            if found != (embedding, taps) {
                return mismatch(format!(
                    "expected an embedding of {embedding} values and {taps} taps, found {} and {}",
                    found.0, found.1
                ));
            }
            let same = |other: &facefold_core::Face| {
                (other.index, other.variant) == (face.index, face.variant)
            };
            if faces[..place].iter().any(same) {
                return mismatch(format!(
                    "face {} is given twice in variant {}",
                    face.index, face.variant.0
                ));
            }
        }
        if faces.is_empty() {
            return mismatch("expected at least one face, found none".to_owned());
        }
        Ok(())
    }

    /// Makes everything appended so far survive a power failure (fsync). Done by itself every 256
    /// pictures and every two seconds of appending.
    ///
    /// # Errors
    /// A failure to write.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.log.sync()
    }

    /// Seals the log into shards. Done by itself at the [`SealLimits`].
    ///
    /// # Errors
    /// A failure to write. The log then holds what it held, and the store is to be opened anew.
    pub fn seal(&mut self) -> Result<(), StoreError> {
        self.require_whole()?;
        if self.store.logged.is_empty() {
            return Ok(());
        }
        self.begin_change();
        self.seal_log()?;
        self.end_change();
        Ok(())
    }

    /// Refuses to go on after a failure that left it open what the disk has.
    pub(crate) fn require_whole(&self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Poisoned { path: self.directory().to_owned() });
        }
        Ok(())
    }

    /// A change of several steps begins: unless it ends, nothing more is written.
    pub(crate) fn begin_change(&mut self) {
        self.failed = true;
    }

    pub(crate) fn end_change(&mut self) {
        self.failed = false;
    }

    /// Begins an empty log in the place of one whose records are all sealed.
    pub(crate) fn empty_log(&mut self) -> Result<(), StoreError> {
        self.log.restart()?;
        self.reopen_log()
    }

    fn seal_log(&mut self) -> Result<(), StoreError> {
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
        self.store.index.add(&self.store.layout, &names)?;
        self.empty_log()?;
        self.store.logged.clear();
        Ok(())
    }

    /// Forgets every rejection, so that those pictures are tried again; gives how many there were.
    ///
    /// # Errors
    /// A failure to write. What was deleted until then is forgotten.
    pub fn forget_rejections(&mut self) -> Result<usize, StoreError> {
        self.seal()?;
        let count = self.store.rejections()?.len();
        self.begin_change();
        for name in self.store.index.forget_rejections() {
            disk::remove_file(&self.store.layout.shard(&name))?;
        }
        disk::sync_names(&self.store.layout.shards())?;
        self.store.index.keep(&self.store.layout);
        self.end_change();
        Ok(count)
    }

    /// Writes the samples table, one row per label row, in the loader's order, and takes over the
    /// data set that the store was opened with.
    ///
    /// What the table knew is not lost: a row whose picture could not be read now, was not reached,
    /// or is rejected where it was embedded, keeps the one that it had; a row that is not listed
    /// any more stays behind the others where its picture is in the store and no other row shows
    /// it.
    ///
    /// # Errors
    /// A failure to write; the earlier table then stays.
    pub fn write_samples<R: Borrow<SampleRow>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<TakenOver, StoreError> {
        let header = self.store.header.with_samples(self.dataset.clone());
        self.store.replace_samples(rows, header)
    }

    /// Writes the samples table of these rows alone, in their order, and takes over the data set that the
    /// store was opened with: nothing of the earlier table is kept. For rows that were read whole with all
    /// that is known of their pictures, as an import's are.
    ///
    /// # Errors
    /// A failure to write; the earlier table then stays.
    pub fn overwrite_samples<R: Borrow<SampleRow>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<(), StoreError> {
        let header = self.store.header.with_samples(self.dataset.clone());
        self.store.overwrite_samples(rows, header)
    }

    /// Seals what is in the log and gives the store for reading.
    ///
    /// # Errors
    /// A failure to write.
    pub fn finish(mut self) -> Result<Store, StoreError> {
        self.seal()?;
        self.store.index.keep(&self.store.layout);
        Ok(self.store)
    }

    /// The reading half follows the log to its new file.
    fn reopen_log(&mut self) -> Result<(), StoreError> {
        self.store.log = Some(Mutex::new(fs::File::open(self.store.layout.log())?));
        Ok(())
    }
}
