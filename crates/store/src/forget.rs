//! Removing every trace of a person or a picture from a store.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use facefold_core::names::normalised;
use facefold_core::{ImageKey, SubjectId};
use fs_err as fs;

use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::index::{Entry, Index};
use crate::layout::Layout;
use crate::merge::FINISH_MERGE;
use crate::samples::{SampleRow, TakenOver};
use crate::seal;
use crate::shard::{self, EmbeddingRow, Kind};
use crate::store::Store;
use crate::writer::StoreWriter;
use crate::{attempts, disk, removal};

/// Who or what is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget<'a> {
    /// All pictures whose label rows name this subject.
    Subject(&'a SubjectId),
    /// A picture, by its path as the label rows give it, or by that of a file with its bytes.
    Image(&'a Path),
}

/// What a store holds of a person or a picture: what [`StoreWriter::forget`] removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// The label rows: those named, and all others with the bytes of their pictures.
    pub paths: Vec<PathBuf>,
    /// The pictures, those that no label row names among them.
    pub keys: HashSet<ImageKey>,
    /// How many pictures no label row names. They go too: whose they are is unknown.
    pub unlabelled: usize,
    /// The hash by which the removal is known until it is finished.
    pub(crate) removal: String,
}

/// A report that was made from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedReport {
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// The name that the store goes by in it, before the paths of its pictures where the report has
    /// several stores.
    pub name: String,
    /// Where the store lay, absolute.
    pub store: PathBuf,
}

impl Store {
    /// Looks for all that the store holds of a person or a picture: nothing where a removal of them was
    /// cut off at its end. Pictures without a label row may be theirs, as a file that another one of its
    /// name has replaced, and are added.
    ///
    /// # Errors
    /// [`StoreError::UnknownPictures`] where a run that was cut off would name pictures without a label row,
    /// [`StoreError::Unknown`] where it holds nothing of them, or a file that is corrupt or cannot be read.
    pub fn find_traces(&self, of: Forget<'_>) -> Result<Forgotten, StoreError> {
        let samples = match self.samples() {
            Err(StoreError::NoSamples { .. }) => None,
            samples => Some(samples?),
        };
        let unlabelled = self.unlabelled_pictures(samples.as_deref().unwrap_or_default());
        if let Some(first) = self.unfinished_run(samples.is_some())
            && !unlabelled.is_empty()
            && !self.removal_is_unfinished()
        {
            let (path, pictures) = (self.directory().to_owned(), unlabelled.len());
            return Err(StoreError::UnknownPictures { path, pictures, first });
        }
        // Without a table they are all pictures; a removal that was cut off is still to be finished.
        let unlabelled = if samples.is_some() { unlabelled } else { HashSet::new() };
        let samples = samples.unwrap_or_default();
        let spellings = match of {
            Forget::Subject(_) => Vec::new(),
            Forget::Image(path) => spellings(path, &self.header.dataset.root),
        };
        let named = |row: &SampleRow| match of {
            Forget::Subject(subject) => row.sample.subject.as_ref().is_some_and(|named| {
                named == subject || normalised(named.as_str()) == normalised(subject.as_str())
            }),
            Forget::Image(_) => spellings.contains(&plain(&row.sample.path)),
        };
        let mut keys: HashSet<ImageKey> =
            samples.iter().filter(|row| named(row)).filter_map(|row| row.key).collect();
        if let Forget::Image(path) = of
            && let Ok(bytes) = fs::read(path)
        {
            keys.extend(Some(ImageKey::of(&bytes)).filter(|key| self.contains(key)));
        }
        let shows = |row: &SampleRow| row.key.is_some_and(|key| keys.contains(&key));
        let paths: Vec<PathBuf> = samples
            .iter()
            .filter(|row| named(row) || shows(row))
            .map(|row| row.sample.path.clone())
            .collect();
        let removal = removal::hash(&self.header, of);
        let is_cut_off = || self.layout.unfinished_removals().map(|all| all.contains(&removal));
        if paths.is_empty() && keys.is_empty() && !is_cut_off()? {
            let what = match of {
                Forget::Subject(subject) => format!("the subject `{subject}`"),
                Forget::Image(path) => format!("the picture `{}`", path.display()),
            };
            return Err(StoreError::Unknown { path: self.directory().to_owned(), what });
        }
        let named = keys.len();
        keys.extend(unlabelled);
        let unlabelled = keys.len() - named;
        Ok(Forgotten { paths, keys, unlabelled, removal })
    }

    /// The pictures, embedded or rejected, that none of these label rows names.
    pub(crate) fn unlabelled_pictures(&self, samples: &[SampleRow]) -> HashSet<ImageKey> {
        let sealed = self.index.entries().iter().map(Entry::key);
        let mut keys: HashSet<ImageKey> = sealed.chain(self.logged.keys().copied()).collect();
        for key in samples.iter().filter_map(|row| row.key) {
            keys.remove(&key);
        }
        keys
    }

    /// What to do first about a run that was cut off, or is under way, and would name pictures that have no
    /// label row yet.
    fn unfinished_run(&self, has_samples: bool) -> Option<String> {
        if self.merge_is_unfinished() {
            return Some(FINISH_MERGE.to_owned());
        }
        let is_unfinished = self.extraction_is_unfinished() || !has_samples;
        is_unfinished.then(|| self.run_again())
    }

    /// Notes the directory of a report that was made from this store, for the removal of a
    /// picture in it too, and the name that the store goes by there.
    ///
    /// # Errors
    /// A store that cannot be written: the report is not known to it then.
    pub fn note_report(&self, directory: &Path, name: &str) -> io::Result<()> {
        let report = NotedReport {
            directory: real(directory)?,
            name: name.to_owned(),
            store: real(self.directory())?,
        };
        if self.reports()?.contains(&report) {
            return Ok(());
        }
        let path = self.layout.reports();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        let [store, path] = [&report.store, &report.directory].map(|path| path.as_os_str());
        let (store, path) = (store.as_encoded_bytes(), path.as_encoded_bytes());
        // The zero before them ends an entry that was cut off when the disk was full.
        let line = [b"\0", name.as_bytes(), b"\0", store, b"\0", path, b"\0"].concat();
        disk::write_all(&mut file, &line)?;
        file.flush()
    }

    /// Whether a report was noted by the store that this one is a copy of, which still lies where it did.
    /// A store that was moved or renamed is no copy.
    ///
    /// # Errors
    /// A path that cannot be found out about.
    pub fn is_of_original(&self, report: &NotedReport) -> Result<bool, StoreError> {
        if report.store == real(self.directory())? {
            return Ok(false);
        }
        let header = StoreHeader::read(&report.store, &Layout::new(&report.store).header())?;
        Ok(header.is_some_and(|header| header.has_id_of(&self.header)))
    }

    /// Whether another store is this one, through another path.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let paths = [self, other].map(|store| real(store.directory()).ok());
        paths[0].is_some() && paths[0] == paths[1]
    }

    /// The reports that were made from this store.
    ///
    /// # Errors
    /// A list that cannot be read.
    pub fn reports(&self) -> io::Result<Vec<NotedReport>> {
        let bytes = match fs::read(self.layout.reports()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let (mut reports, mut begun) = (Vec::new(), None);
        for field in bytes.split(|&byte| byte == 0).filter(|field| !field.is_empty()) {
            // A name is that of a directory, so no absolute path.
            let path = path_of(field);
            begun = match begun {
                Some((name, None)) if path.is_absolute() => Some((name, Some(path))),
                Some((name, Some(store))) if path.is_absolute() => {
                    reports.push(NotedReport { directory: path, name, store });
                    None
                }
                _ => Some((String::from_utf8_lossy(field).into_owned(), None)),
            };
        }
        Ok(reports)
    }
}

/// A path without links and `..`, so that it means the same from everywhere and for long; as it is where
/// nothing is there.
fn real(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path),
        found => found,
    }
}

/// A path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The paths by which label rows may name a picture: as it is given, and as its file is reached from the
/// data set's root.
fn spellings(path: &Path, root: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(path).ok();
    let links_followed = fs::canonicalize(path).ok();
    let real_root = fs::canonicalize(root).ok();
    let below = |path: &Option<PathBuf>, root: Option<&Path>| {
        path.as_ref().zip(root).and_then(|(path, root)| path.strip_prefix(root).ok().map(plain))
    };
    [
        Some(plain(path)),
        below(&absolute, Some(root)),
        below(&absolute, real_root.as_deref()),
        below(&links_followed, real_root.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

impl StoreWriter {
    /// Removes all that [`Store::find_traces`] found: embeddings, taps and rejections, label rows,
    /// and what is derived. Label rows go last, so that an interrupted removal can be found and
    /// done again; until then a file in the store says that it is unfinished.
    ///
    /// The files that held them are deleted; what the file system does with their blocks is not
    /// this program's to say.
    ///
    /// # Errors
    /// A failure to read or write. The store is then to be opened anew, and the removal repeated.
    pub fn forget(&mut self, traces: &Forgotten) -> Result<(), StoreError> {
        self.begin_removal(traces)?;
        self.seal()?;
        self.begin_change();
        // Corrupt ranges of a log cannot be read, and may contain the removed rows.
        self.empty_log()?;
        self.forget_in_shards(&traces.keys)?;
        self.forget_derived()?;
        if self.store.layout.samples().exists() {
            let paths: HashSet<&Path> = traces.paths.iter().map(PathBuf::as_path).collect();
            self.store.retain_samples(|row| {
                let shown = row.key.is_some_and(|key| traces.keys.contains(&key));
                !shown && !paths.contains(row.sample.path.as_path())
            })?;
        }
        disk::sync_names(&self.store.layout.directory)?;
        // Last, and not synced: where the file comes back after a power failure, the same removal takes it
        // away again.
        self.withdraw_removal(traces)?;
        self.end_change();
        Ok(())
    }

    /// Removes the embeddings of all pictures but those that `keep` names, and what is derived from them; gives
    /// how many there were. Label rows stay as they are.
    ///
    /// # Errors
    /// A file that is corrupt or cannot be read or written; the store is then to be opened anew, and the call
    /// repeated.
    pub fn retain_pictures(
        &mut self,
        keep: impl Fn(&ImageKey) -> bool,
    ) -> Result<usize, StoreError> {
        self.seal()?;
        let all = self.store.index.entries().iter().map(Entry::key);
        let others: HashSet<ImageKey> = all.filter(|key| !keep(key)).collect();
        if others.is_empty() {
            return Ok(0);
        }
        self.begin_change();
        self.forget_in_shards(&others)?;
        self.forget_derived()?;
        self.end_change();
        Ok(others.len())
    }

    /// Removes the pictures that others have replaced; gives how many there were. Pictures without a label
    /// row that are of a run which was cut off stay.
    ///
    /// # Errors
    /// As [`Self::retain_pictures`].
    pub fn remove_replaced(&mut self, taken_over: &TakenOver) -> Result<usize, StoreError> {
        self.seal()?;
        let replaced = &taken_over.replaced;
        if replaced.is_empty() {
            Ok(0)
        } else {
            self.retain_pictures(|key| !replaced.contains(key))
        }
    }

    /// Removes the embeddings that no label row names, as those of one of two stores that were merged and
    /// have other pictures under one path; gives how many pictures there were. Rejections stay, so that no
    /// picture is tried twice.
    ///
    /// # Errors
    /// As [`Self::retain_pictures`] and [`Store::samples`].
    pub fn remove_unlabelled(&mut self) -> Result<usize, StoreError> {
        self.seal()?;
        let mut others = self.unlabelled_pictures(&self.samples()?);
        others.retain(|key| !self.is_rejected(key));
        self.retain_pictures(|key| !others.contains(key))
    }

    /// Deletes what is derived from the shards, and looks through them anew.
    fn forget_derived(&mut self) -> Result<(), StoreError> {
        let Store { layout, header, .. } = &self.store;
        let attempts = layout.directory.join(attempts::FILE);
        if attempts.exists() {
            disk::remove_file(&attempts)?;
        }
        if layout.derived().is_dir() {
            let _lock = layout.lock_derived()?;
            for entry in fs::read_dir(layout.derived())? {
                let path = entry?.path();
                if path.file_name() != Some(OsStr::new("lock")) {
                    disk::remove_file(&path)?;
                }
            }
            disk::sync_names(&layout.derived())?;
        }
        self.store.index = Index::load(layout, header)?;
        Ok(())
    }

    /// Writes the shards that hold these pictures anew, without them.
    fn forget_in_shards(&self, keys: &HashSet<ImageKey>) -> Result<(), StoreError> {
        let Store { layout, header, .. } = &self.store;
        for name in self.store.index.shards().iter().map(|shard| &shard.name) {
            let changed = if Kind::of(name) == Some(Kind::Embeddings) {
                let (mut rows, mut before) = (Vec::new(), 0);
                shard::for_each_row(layout, name, |row: EmbeddingRow| {
                    before += 1;
                    rows.extend(Some(row).filter(|row| !keys.contains(&row.key)));
                    Ok(())
                })?;
                (rows.len() < before).then(|| seal::write_embeddings(layout, header, &mut rows))
            } else {
                let mut rows = shard::read_rejections(layout, name)?;
                let before = rows.len();
                rows.retain(|(key, _)| !keys.contains(key));
                (rows.len() < before).then(|| seal::write_rejections(layout, header, &mut rows))
            };
            if let Some(written) = changed {
                written?;
                disk::remove_file(&layout.shard(name))?;
            }
        }
        Ok(disk::sync_names(&layout.shards())?)
    }
}
