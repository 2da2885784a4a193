//! Merging: a store takes over the pictures of other stores of the same network.
//!
//! The file `merge` is there from before the first change until the samples table is written, so that a store
//! which lacks what a killed merge did not reach is not taken for a whole one.

use std::collections::HashSet;
use std::io::Write;

use facefold_core::{Extraction, ImageKey, Rejection};

use crate::disk::{self, PartialFile};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::seal;
use crate::shard::{self, EmbeddingRow, Kind};
use crate::store::{Outcome, Store};
use crate::writer::StoreWriter;

/// What to do about a merge that is not finished, as the end of a sentence.
pub const FINISH_MERGE: &str = "wait for the `store merge` that is at work, or run the same `store merge` command \
    again, which was cut off";

/// What a store took over from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Pictures that came.
    pub new: usize,
    /// Pictures of the other store that were there already.
    pub known: usize,
}

impl Store {
    /// Whether a merge into the store is under way, or was cut off.
    #[must_use]
    pub fn merge_is_unfinished(&self) -> bool {
        self.layout.merge().exists()
    }
}

impl StoreWriter {
    /// Says that a merge is under way, until [`Self::write_samples`] ends it.
    ///
    /// # Errors
    /// A failure to write.
    pub fn begin_merge(&mut self) -> Result<(), StoreError> {
        self.seal()?;
        Ok(disk::write_atomic(&self.layout.merge(), b"")?)
    }

    /// Takes over the embedded pictures of another store that this one has not embedded, a shard at a time;
    /// of two embeddings of a picture the first stays. Label rows are not taken over.
    ///
    /// # Errors
    /// [`StoreError::OtherFingerprint`] and [`StoreError::OtherLengths`], before anything is changed, or a
    /// file of either that is corrupt or cannot be read or written; what was taken over until then stays.
    pub fn take_embeddings(&mut self, other: &Store) -> Result<Merged, StoreError> {
        self.header.accept(&other.header, self.directory())?;
        self.seal()?;
        let all = other.embedded_keys();
        let is_missing = |key: &ImageKey| self.outcome(key) != Some(Outcome::Embedded);
        let missing: HashSet<ImageKey> = all.iter().copied().filter(is_missing).collect();
        self.begin_change();
        let mut names = Vec::new();
        for shard in other.index.shards_of(Kind::Embeddings) {
            names.extend(self.take_shard(other, &shard.name, &missing)?);
        }
        names.extend(self.take_logged(other, &missing)?);
        // At once: each call sorts the whole index.
        self.store.index.add(&self.store.layout, &names)?;
        self.end_change();
        Ok(Merged { new: missing.len(), known: all.len() - missing.len() })
    }

    /// Takes over the rejections of another store of pictures that this one has not seen, and drops its own
    /// of pictures that are embedded by now: to be called once all embeddings were taken over.
    ///
    /// # Errors
    /// As [`Self::take_embeddings`].
    pub fn take_rejections(&mut self, other: &Store) -> Result<Merged, StoreError> {
        self.header.accept(&other.header, self.directory())?;
        self.seal()?;
        let mut merged = Merged::default();
        let own = self.store.rejections()?;
        let mut rows: Vec<(ImageKey, Rejection)> = Vec::new();
        for (key, rejection) in other.rejections()? {
            if self.contains(&key) {
                merged.known += 1;
            } else {
                rows.push((key, rejection));
            }
        }
        merged.new = rows.len();
        let sealed: Vec<_> = self.store.index.shards_of(Kind::Rejections).cloned().collect();
        let superseded = sealed.iter().map(|shard| shard.rows as usize).sum::<usize>() > own.len();
        if superseded {
            rows.extend(own);
        }
        self.begin_change();
        let Store { layout, header, .. } = &self.store;
        let name = seal::write_rejections(layout, header, &mut rows)?;
        if superseded {
            // After what they hold is written anew: a kill in between leaves it twice, until the next call.
            for old in sealed.iter().filter(|old| Some(&old.name) != name.as_ref()) {
                disk::remove_file(&layout.shard(&old.name))?;
            }
            disk::sync_names(&layout.shards())?;
            self.store.index.forget_rejections();
        }
        let names: Vec<String> = name.into_iter().collect();
        self.store.index.add(&self.store.layout, &names)?;
        self.end_change();
        Ok(merged)
    }

    /// Writes a shard of what one of another store has of these pictures: the same file where that is all.
    fn take_shard(
        &self,
        other: &Store,
        name: &str,
        missing: &HashSet<ImageKey>,
    ) -> Result<Option<String>, StoreError> {
        let bytes = shard::read_checked(&other.layout, name)?;
        let keys = shard::keys_of(bytes.clone(), &other.layout, name)?.rows;
        let wanted = keys.iter().filter(|(key, ..)| missing.contains(key)).count();
        let Store { layout, header, .. } = &self.store;
        if wanted == 0 {
            return Ok(None);
        }
        if wanted == keys.len() {
            let mut file = PartialFile::new(&layout.shards())?;
            file.write_all(&bytes)?;
            file.persist(&layout.shard(name))?;
            return Ok(Some(name.to_owned()));
        }
        let mut rows = Vec::new();
        shard::for_each_row(&other.layout, name, |row| {
            rows.extend(Some(row).filter(|row| missing.contains(&row.key)));
            Ok(())
        })?;
        seal::write_embeddings(layout, header, &mut rows)
    }

    /// Writes a shard of what another store has of these pictures in its log alone.
    fn take_logged(
        &self,
        other: &Store,
        missing: &HashSet<ImageKey>,
    ) -> Result<Option<String>, StoreError> {
        let mut rows = Vec::new();
        for entry in other.logged.values().filter(|entry| missing.contains(&entry.key)) {
            let record = other.read_logged(entry)?;
            if let Extraction::Embedded { faces, found } = record.extraction {
                let key = record.key;
                rows.extend(faces.into_iter().map(|face| EmbeddingRow { key, found, face }));
            }
        }
        seal::write_embeddings(&self.store.layout, &self.store.header, &mut rows)
    }
}

/// Says that no merge is under way any more: the label rows of the store are written.
pub(crate) fn end(layout: &Layout) -> Result<(), StoreError> {
    let path = layout.merge();
    if path.exists() {
        disk::remove_file(&path)?;
    }
    Ok(())
}
