//! Removing every trace of a person or a picture from a store.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use facefold_core::{ImageKey, SubjectId};
use fs_err as fs;

use crate::error::StoreError;
use crate::index::Index;
use crate::samples::SampleRow;
use crate::seal;
use crate::shard::{self, EmbeddingRow, Kind};
use crate::store::Store;
use crate::writer::StoreWriter;
use crate::{attempts, disk};

/// Who or what is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget<'a> {
    /// All pictures whose label rows name this subject.
    Subject(&'a SubjectId),
    /// A picture, by its path as the label rows give it, or by that of a file with its bytes.
    Image(&'a Path),
}

/// What a store holds of a person or a picture: what [`StoreWriter::forget`] removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The label rows: those named, and all others with the bytes of their pictures.
    pub paths: Vec<PathBuf>,
    /// The pictures.
    pub keys: HashSet<ImageKey>,
}

/// A report that was made from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedReport {
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// The name that the store goes by in it, before the paths of its pictures where the report has
    /// several stores.
    pub name: Option<String>,
}

impl Store {
    /// Looks for all that the store holds of a person or a picture.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where it holds nothing, or a file that is corrupt or cannot be read.
    pub fn find_traces(&self, of: Forget<'_>) -> Result<Forgotten, StoreError> {
        let samples = match self.samples() {
            Err(StoreError::NoSamples { .. }) => Vec::new(),
            samples => samples?,
        };
        let root = &self.header.dataset.root;
        let named = |row: &SampleRow| match of {
            Forget::Subject(subject) => row.sample.subject.as_ref() == Some(subject),
            Forget::Image(path) => {
                let absolute = std::path::absolute(path).unwrap_or_default();
                row.sample.path == path || root.join(&row.sample.path) == absolute
            }
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
        if paths.is_empty() && keys.is_empty() {
            let what = match of {
                Forget::Subject(subject) => format!("the subject `{subject}`"),
                Forget::Image(path) => format!("the picture `{}`", path.display()),
            };
            return Err(StoreError::Unknown { path: self.directory().to_owned(), what });
        }
        Ok(Forgotten { paths, keys })
    }

    /// Notes the directory of a report that was made from this store, for whoever is to forget a
    /// picture in it too, and the name that the store goes by there. On a medium that cannot be
    /// written nothing is noted.
    pub fn note_report(&self, directory: &Path, name: &str) {
        let noted = || -> io::Result<()> {
            let directory = std::path::absolute(directory)?;
            let report = NotedReport { directory, name: Some(name.to_owned()) };
            if self.reports()?.contains(&report) {
                return Ok(());
            }
            let path = self.layout.reports();
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
            let path = report.directory.as_os_str().as_encoded_bytes();
            // The zero before them ends an entry that was cut off when the disk was full.
            let line = [b"\0", name.as_bytes(), b"\0", path, b"\0"].concat();
            disk::write_all(&mut file, &line)?;
            file.flush()
        };
        if let Err(error) = noted() {
            tracing::debug!("the report is not noted in the store: {error}");
        }
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
        let (mut reports, mut name) = (Vec::new(), None);
        for field in bytes.split(|&byte| byte == 0).filter(|field| !field.is_empty()) {
            // A name is that of a directory, so no absolute path.
            let path = path_of(field);
            if path.is_absolute() {
                reports.push(NotedReport { directory: path, name: name.take() });
            } else {
                name = Some(String::from_utf8_lossy(field).into_owned());
            }
        }
        Ok(reports)
    }
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
        self.seal()?;
        self.begin_change();
        disk::write_atomic(&self.layout.removal(), &[])?;
        // Corrupt ranges of a log cannot be read, and may contain the removed rows.
        self.empty_log()?;
        self.forget_in_shards(&traces.keys)?;
        let attempts = self.store.layout.directory.join(attempts::FILE);
        if attempts.exists() {
            disk::remove_file(&attempts)?;
        }
        let Store { layout, header, .. } = &self.store;
        if layout.derived().is_dir() {
            let _lock = layout.lock_derived()?;
            for entry in fs::read_dir(layout.derived())? {
                let path = entry?.path();
                if path.file_name() != Some(OsStr::new("lock")) {
                    disk::remove_file(&path)?;
                }
            }
        }
        let index = Index::load(layout, header)?;
        self.store.index = index;
        if self.store.layout.samples().exists() {
            let paths: HashSet<&Path> = traces.paths.iter().map(PathBuf::as_path).collect();
            self.store.retain_samples(|row| {
                let shown = row.key.is_some_and(|key| traces.keys.contains(&key));
                !shown && !paths.contains(row.sample.path.as_path())
            })?;
        }
        disk::remove_file(&self.store.layout.removal())?;
        disk::sync_names(&self.store.layout.directory)?;
        self.end_change();
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
