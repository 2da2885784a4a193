//! A store that is open for reading.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use facefold_core::{Extraction, FaceVariant, ImageKey, Rejection};
use fs_err as fs;

use crate::codec::Record;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::index::{Entry, Index};
use crate::layout::Layout;
use crate::log::{self, LogCorruption, LogEntry, Replay};
use crate::shard::{self, Kind};
use crate::writer::StoreWriter;

/// How a picture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has at least one embedding.
    Embedded,
    /// It has none, with a reason.
    Rejected,
}

/// A store as it was when it was opened.
///
/// Reading takes no lock and changes nothing but the `derived` directory. A writer may go on
/// meanwhile; what it adds is seen by the next [`Store::open`].
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) header: StoreHeader,
    pub(crate) index: Index,
    /// Pictures that are in the log only.
    pub(crate) logged: HashMap<ImageKey, LogEntry>,
    pub(crate) log: Option<Mutex<fs::File>>,
    pub(crate) log_corruption: LogCorruption,
}

impl Store {
    /// Opens a store for reading. An incomplete tail of its log, left by a killed writer, is
    /// skipped, and so is a corrupt record before it.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::ForeignFile`], or a file that cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let layout = Layout::new(directory.as_ref());
        let header = StoreHeader::read(&layout.directory, &layout.header())?
            .ok_or_else(|| StoreError::NotAStore { path: layout.directory.clone() })?;
        // The log before the shards: a picture that is sealed in between is then seen twice, which
        // does no harm, and not missed.
        let log = match fs::File::open(layout.log()) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let Replay { entries, corruption } = log
            .as_ref()
            .map(|log| log::replay(log, &header.fingerprint))
            .transpose()?
            .unwrap_or_default();
        let index = Index::load(&layout, &header)?;
        let mut store = Self {
            layout,
            header,
            index,
            logged: HashMap::new(),
            log: log.map(Mutex::new),
            log_corruption: corruption,
        };
        store.keep_unsealed(entries);
        Ok(store)
    }

    /// Opens or makes a store for writing. There is one writer at a time.
    ///
    /// An incomplete tail of the log is truncated, and temporary files of killed writers are
    /// deleted. The stored header stays, until [`StoreWriter::write_samples`] takes over the data
    /// set given here.
    ///
    /// # Errors
    /// [`StoreError::OtherFingerprint`], [`StoreError::OtherLengths`] and
    /// [`StoreError::OtherDataset`] where the store holds something that must not be mixed with
    /// this; [`StoreError::Locked`] where another writer is at work; [`StoreError::NotEmpty`] where
    /// the directory holds something else than a store.
    pub fn create_or_open(
        directory: impl AsRef<Path>,
        header: StoreHeader,
    ) -> Result<StoreWriter, StoreError> {
        StoreWriter::open(Layout::new(directory.as_ref()), Some(header))
    }

    /// Opens a store for writing that is there, whatever it was made with.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Locked`], or a file that cannot be read or written.
    pub fn open_for_writing(directory: impl AsRef<Path>) -> Result<StoreWriter, StoreError> {
        StoreWriter::open(Layout::new(directory.as_ref()), None)
    }

    /// Keeps the first entry of every picture that no shard holds.
    pub(crate) fn keep_unsealed(&mut self, entries: Vec<LogEntry>) {
        for entry in entries {
            if self.index.of(&entry.key).is_empty() {
                self.logged.entry(entry.key).or_insert(entry);
            }
        }
    }

    /// What the store was made with.
    #[must_use]
    pub fn header(&self) -> &StoreHeader {
        &self.header
    }

    /// The store's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.layout.directory
    }

    /// A short name for the embeddings in it, made of checksums that are there already: those of its
    /// shards, and of the log's records that no shard holds. Where it is another, features may be.
    #[must_use]
    pub fn stamp(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 store stamp v1");
        hasher.update(self.index.stamp().as_bytes());
        let mut logged: Vec<(ImageKey, u32)> =
            self.logged.values().map(|entry| (entry.key, entry.sum)).collect();
        logged.sort_unstable();
        for (key, sum) in logged {
            hasher.update(key.as_bytes());
            hasher.update(&sum.to_le_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Whether the embeddings have taps.
    #[must_use]
    pub fn has_taps(&self) -> bool {
        self.header.extractor.taps_length > 0
    }

    /// How a picture ended; none where the store has not seen it.
    #[must_use]
    pub fn outcome(&self, key: &ImageKey) -> Option<Outcome> {
        if let Some(entry) = self.logged.get(key) {
            return Some(if entry.rejected { Outcome::Rejected } else { Outcome::Embedded });
        }
        let entries = self.index.of(key);
        let embedded = entries.iter().any(|entry| entry.row().is_some());
        match entries {
            [] => None,
            _ if embedded => Some(Outcome::Embedded),
            _ => Some(Outcome::Rejected),
        }
    }

    /// Whether the store has seen a picture, embedded or rejected.
    #[must_use]
    pub fn contains(&self, key: &ImageKey) -> bool {
        self.outcome(key).is_some()
    }

    /// Whether a picture was rejected.
    #[must_use]
    pub fn is_rejected(&self, key: &ImageKey) -> bool {
        self.outcome(key) == Some(Outcome::Rejected)
    }

    /// The variants in which a picture's main face is embedded, in order.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn variants(&self, key: &ImageKey) -> Result<Vec<FaceVariant>, StoreError> {
        let Some(entry) = self.logged.get(key) else {
            let main = self.index.of(key).iter().filter(|entry| entry.is_main_face());
            return Ok(main.filter(|entry| entry.row().is_some()).map(Entry::variant).collect());
        };
        Ok(match self.read_logged(entry)?.extraction {
            Extraction::Embedded { faces, .. } => {
                faces.iter().filter(|face| face.index == 0).map(|face| face.variant).collect()
            }
            Extraction::Rejected(_) => Vec::new(),
        })
    }

    /// Whether a picture's main face is embedded in a variant.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn has_variant(&self, key: &ImageKey, variant: FaceVariant) -> Result<bool, StoreError> {
        let Some(entry) = self.logged.get(key) else {
            return Ok(self.index.row_of(key, variant).is_some());
        };
        Ok(match self.read_logged(entry)?.extraction {
            Extraction::Embedded { faces, .. } => {
                faces.iter().any(|face| face.index == 0 && face.variant == variant)
            }
            Extraction::Rejected(_) => false,
        })
    }

    /// Number of pictures seen, embedded or rejected.
    #[must_use]
    pub fn len(&self) -> usize {
        let sealed = self.index.entries().chunk_by(|a, b| a.key() == b.key()).count();
        sealed + self.logged.len()
    }

    /// Whether the store has seen no picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.entries().is_empty() && self.logged.is_empty()
    }

    /// Keys of all pictures with an embedding, sorted.
    #[must_use]
    pub fn embedded_keys(&self) -> Vec<ImageKey> {
        let sealed = self.index.entries().iter().filter(|entry| entry.row().is_some());
        let logged = self.logged.values().filter(|entry| !entry.rejected);
        let mut keys: Vec<ImageKey> =
            sealed.map(Entry::key).chain(logged.map(|entry| entry.key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Every rejected picture and its reason.
    ///
    /// # Errors
    /// A shard or a log that cannot be read.
    pub fn rejections(&self) -> Result<BTreeMap<ImageKey, Rejection>, StoreError> {
        let mut all = BTreeMap::new();
        for shard in self.index.shards_of(Kind::Rejections) {
            all.extend(shard::read_rejections(&self.layout, &shard.name)?);
        }
        for entry in self.logged.values().filter(|entry| entry.rejected) {
            if let Extraction::Rejected(rejection) = self.read_logged(entry)?.extraction {
                all.insert(entry.key, rejection);
            }
        }
        all.retain(|key, _| self.is_rejected(key));
        Ok(all)
    }

    pub(crate) fn read_logged(&self, entry: &LogEntry) -> Result<Record, StoreError> {
        let log = self.log.as_ref().ok_or_else(|| StoreError::Corrupt {
            path: self.layout.log(),
            what: "it vanished".to_owned(),
            remedy: self.run_again(),
        })?;
        log::read_record(&log.lock().unwrap_or_else(PoisonError::into_inner), entry)
    }
}
