//! The cache of reports and their plots: made anew when a report changes, by one reader at a time,
//! in bounded memory, so that many concurrent clients cost no more than one.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use facefold_core::files::children;
use facefold_report::Report;
use fs_err as fs;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::api_error::ApiError;

/// Most bytes of a `report.json` that is read; to read one takes several times as much.
const REPORT: u64 = 16 << 20;
/// Bytes of cached pages and plots; the least recently used are evicted.
const KEPT: usize = 32 << 20;

/// The directory of the reports.
///
/// A name from a client is only ever compared with names that the directory lists; it never
/// becomes part of a path. Nothing is read through a link.
pub(crate) struct ReportCache {
    directory: PathBuf,
    shown: Shown,
    state: Arc<Mutex<State>>,
}

/// How reports are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// A report of this name in the list, as JSON.
    pub line: fn(&str, &Report) -> serde_json::Result<Vec<u8>>,
    /// A report's own page, as JSON.
    pub page: fn(&str, Report) -> serde_json::Result<Vec<u8>>,
    /// A report as one HTML file.
    pub html: fn(&Report) -> String,
    /// A report's plots, by file name.
    pub plots: fn(&Report) -> Vec<(String, String)>,
}

#[derive(Default)]
struct State {
    /// When the last look at the directory began.
    looked: Option<Instant>,
    reports: BTreeMap<String, Entry>,
    list: Bytes,
    kept: FileCache,
}

/// A report by the state of its file.
struct Entry {
    stamp: Stamp,
    directory: PathBuf,
    /// Its line in the list; none where it cannot be read.
    line: Option<Vec<u8>>,
}

/// By what a change of a file is noticed: its times, its length, and which file it is, since one
/// that takes another's place may have the same times while the clock stands still or was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 4], [u64; 3]);

impl Stamp {
    /// Of what is no file.
    const NONE: Self = Self([0; 4], [0; 3]);
}

#[cfg(unix)]
impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let times =
            [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Self(times, [metadata.dev(), metadata.ino(), metadata.len()])
    }
}

#[cfg(not(unix))]
impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let since = |time: std::io::Result<std::time::SystemTime>| {
            let since = time.ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_nanos()).ok()
        };
        let times = [metadata.modified(), metadata.created()].map(|time| since(time).unwrap_or(0));
        Self([times[0], times[1], 0, 0], [0, 0, metadata.len()])
    }
}

/// What was made of files, by path: of one by its state, of several by the states of all.
#[derive(Default)]
struct FileCache {
    documents: HashMap<PathBuf, Document>,
    bytes: usize,
    turn: u64,
}

struct Document {
    stamp: Stamp,
    /// The states of further files.
    others: Vec<String>,
    bytes: Bytes,
    used: u64,
}

impl FileCache {
    fn get(&mut self, path: &Path, stamp: Stamp, others: &[String]) -> Option<Bytes> {
        self.turn += 1;
        let found = self.documents.get_mut(path)?;
        found.used = self.turn;
        (found.stamp == stamp && found.others == others).then(|| found.bytes.clone())
    }

    fn put(&mut self, path: PathBuf, stamp: Stamp, others: Vec<String>, bytes: Bytes) {
        self.bytes += bytes.len();
        let document = Document { stamp, others, bytes, used: self.turn };
        let before = self.documents.insert(path, document);
        self.bytes -= before.map_or(0, |before| before.bytes.len());
        while self.bytes > KEPT && self.documents.len() > 1 {
            let oldest = self.documents.iter().min_by_key(|(_, document)| document.used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { return };
            self.bytes -= self.documents.remove(&path).map_or(0, |gone| gone.bytes.len());
        }
    }
}

impl ReportCache {
    pub fn new(directory: PathBuf, shown: Shown) -> Self {
        Self { directory, shown, state: Arc::default() }
    }

    /// The list of all reports that can be read.
    pub async fn list(&self) -> Result<Bytes, ApiError> {
        let asked = Instant::now();
        let state = Arc::clone(&self.state).lock_owned().await;
        if state.is_fresh(asked) {
            return Ok(state.list.clone());
        }
        self.work(state, asked, |state| Ok(state.list.clone())).await
    }

    /// The directory of the report of this name.
    pub async fn find(&self, name: String) -> Result<PathBuf, ApiError> {
        self.look(move |state| Ok(state.entry(&name)?.directory.clone())).await
    }

    /// The page of the report of this name.
    pub async fn page(&self, name: String) -> Result<Bytes, ApiError> {
        let shown = self.shown;
        self.look(move |state| state.page(&name, shown)).await
    }

    /// The report of this name as one HTML file.
    pub async fn html(&self, name: String) -> Result<Bytes, ApiError> {
        let html = self.shown.html;
        self.look(move |state| state.made(&name, "report.html", |report| Ok(html(&report).into())))
            .await
    }

    /// A plot of the report of this name.
    pub async fn plot(&self, name: String, file: String) -> Result<Bytes, ApiError> {
        let shown = self.shown;
        self.look(move |state| state.plot(&name, &file, shown)).await
    }

    /// What was made of files that are still the same, by a name of its own.
    pub async fn made(&self, name: &str, files: &[PathBuf]) -> Result<Option<Bytes>, ApiError> {
        let (name, states) = (PathBuf::from(name), states(files));
        self.look(move |state| Ok(state.kept.get(&name, Stamp::NONE, &states))).await
    }

    /// Keeps what was made of files, which were as they are now.
    pub async fn keep(&self, name: &str, files: &[PathBuf], made: Bytes) -> Result<(), ApiError> {
        let (name, states) = (PathBuf::from(name), states(files));
        self.look(move |state| {
            state.kept.put(name, Stamp::NONE, states, made);
            Ok(())
        })
        .await
    }

    /// Waits for the lock and reads an entry.
    async fn look<T: Send + 'static>(
        &self,
        take: impl FnOnce(&mut State) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let asked = Instant::now();
        let state = Arc::clone(&self.state).lock_owned().await;
        self.work(state, asked, take).await
    }

    /// Refreshes the directory listing if that was not done since the request, then reads an entry
    /// on a blocking thread.
    async fn work<T: Send + 'static>(
        &self,
        mut state: OwnedMutexGuard<State>,
        asked: Instant,
        take: impl FnOnce(&mut State) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (directory, shown) = (self.directory.clone(), self.shown);
        let work = move || {
            if !state.is_fresh(asked) {
                state.refresh(&directory, shown).map_err(|error| unreadable(&directory, &error))?;
            }
            take(&mut state)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ApiError::failed()))
    }
}

impl State {
    /// Whether the directory was listed since the request arrived, which may have waited meanwhile.
    fn is_fresh(&self, asked: Instant) -> bool {
        self.looked.is_some_and(|looked| looked >= asked)
    }

    fn entry(&self, name: &str) -> Result<&Entry, ApiError> {
        self.reports.get(name).ok_or_else(ApiError::not_found)
    }

    /// Reads the reports that are new or changed.
    fn refresh(&mut self, root: &Path, shown: Shown) -> io::Result<()> {
        let began = Instant::now();
        let mut before = std::mem::take(&mut self.reports);
        let mut changed = false;
        for (name, directory) in directories(root)? {
            let path = directory.join("report.json");
            // The metadata of a link are its own: it is no file.
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let stamp = Stamp::from(&metadata);
            let known = before.remove(&name).filter(|entry| entry.stamp == stamp);
            changed |= known.is_none();
            let entry = if let Some(entry) = known {
                entry
            } else {
                let line = read(&path)?.map(|report| (shown.line)(&name, &report)).transpose()?;
                Entry { stamp, directory, line }
            };
            self.reports.insert(name, entry);
        }
        if changed || !before.is_empty() || self.looked.is_none() {
            let lines = self.reports.values().filter_map(|entry| entry.line.as_deref());
            let lines = lines.collect::<Vec<_>>().join(&b',');
            self.list = [b"[", lines.as_slice(), b"]"].concat().into();
        }
        self.looked = Some(began);
        Ok(())
    }

    fn page(&mut self, name: &str, shown: Shown) -> Result<Bytes, ApiError> {
        self.made(name, "report.json", |report| {
            (shown.page)(name, report).map_err(|error| {
                tracing::error!("a report cannot be written as JSON: {error}");
                ApiError::failed()
            })
        })
    }

    /// What is made of a report, kept as the file of this name.
    fn made(
        &mut self,
        name: &str,
        file: &str,
        make: impl FnOnce(Report) -> Result<Vec<u8>, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let entry = self.entry(name)?;
        let (stamp, directory) = (entry.stamp, entry.directory.clone());
        let key = directory.join(file);
        if let Some(made) = self.kept.get(&key, stamp, &[]) {
            return Ok(made);
        }
        let made = Bytes::from(make(readable(&directory.join("report.json"))?)?);
        self.kept.put(key, stamp, Vec::new(), made.clone());
        Ok(made)
    }

    /// A plot is drawn from its report: files next to it may be missing, or another run's.
    fn plot(&mut self, name: &str, file: &str, shown: Shown) -> Result<Bytes, ApiError> {
        let entry = self.entry(name)?;
        let (stamp, path) = (entry.stamp, entry.directory.join("report.json"));
        let names = path.with_file_name("plots");
        let key = |file: &str| names.join(file);
        if let Some(known) = self.kept.get(&names, stamp, &[]) {
            if !known.split(|byte| *byte == b'\n').any(|known| known == file.as_bytes()) {
                return Err(ApiError::not_found());
            }
            if let Some(plot) = self.kept.get(&key(file), stamp, &[]) {
                return Ok(plot);
            }
        }
        let plots = (shown.plots)(&readable(&path)?);
        let known: Vec<&str> = plots.iter().map(|(file, _)| file.as_str()).collect();
        self.kept.put(names.clone(), stamp, Vec::new(), known.join("\n").into());
        let mut found = None;
        for (name, plot) in plots {
            let plot = Bytes::from(plot);
            self.kept.put(key(&name), stamp, Vec::new(), plot.clone());
            found = found.or_else(|| (name == file).then_some(plot));
        }
        found.ok_or_else(ApiError::not_found)
    }
}

/// The report at this path.
fn readable(path: &Path) -> Result<Report, ApiError> {
    let report = read(path).map_err(|error| unreadable(path, &error))?;
    report.ok_or_else(|| ApiError::unusable("this report cannot be read; see the server's log"))
}

/// Reads a report; none where it is none, or too large, which is logged.
fn read(path: &Path) -> io::Result<Option<Report>> {
    let length = fs::metadata(path)?.len();
    if length > REPORT {
        tracing::warn!("`{}`: expected at most {REPORT} bytes, found {length}", path.display());
        return Ok(None);
    }
    let parsed = Report::parse(&fs::read(path)?);
    let logged = parsed.inspect_err(|error| tracing::warn!("`{}`: {error}", path.display()));
    Ok(logged.ok())
}

/// A failure of the file system: perhaps the server is out of file descriptors, which passes.
fn unreadable(path: &Path, error: &io::Error) -> ApiError {
    tracing::warn!("`{}` cannot be read: {error}", path.display());
    ApiError::busy("the results cannot be read now: try again later", 2)
}

/// The directories in a directory, by name; none where there is no such directory.
fn directories(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let is_directory = |path: &PathBuf| {
        // The metadata of a link are its own.
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
    };
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
    Ok(children(directory)?.into_iter().filter(is_directory).filter_map(named).collect())
}

/// By what a change of files is noticed.
fn states(files: &[PathBuf]) -> Vec<String> {
    let state = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| Stamp::from(&metadata));
    files.iter().map(|path| format!("{:?}", state(path))).collect()
}

/// Whether a path below a directory is there and leads through no link.
pub(crate) fn is_within(directory: &Path, below: &str) -> bool {
    let mut path = directory.to_owned();
    below.split('/').all(|part| {
        path.push(part);
        std::fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_symlink())
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bytes::Bytes;

    use super::{FileCache, KEPT, Stamp};

    #[test]
    fn the_cache_is_bounded_and_evicts_the_oldest() {
        let (mut kept, stamp) = (FileCache::default(), Stamp([0; 4], [0, 0, 1]));
        let path = |number: usize| PathBuf::from(number.to_string());
        let piece = Bytes::from(vec![0; KEPT / 4]);
        for number in 0..20 {
            // The first is requested repeatedly.
            assert!(number == 0 || kept.get(&path(0), stamp, &[]).is_some(), "{number}");
            kept.put(path(number), stamp, Vec::new(), piece.clone());
            assert!(kept.bytes <= KEPT && kept.documents.len() <= 4);
        }
        assert!(kept.get(&path(19), stamp, &[]).is_some());
        assert!(kept.get(&path(7), stamp, &[]).is_none());
        // Another state of the file, and of others.
        assert!(kept.get(&path(19), Stamp([0; 4], [0, 0, 2]), &[]).is_none());
        assert!(kept.get(&path(19), stamp, &["a.svg".to_owned()]).is_none());
        let bytes = kept.bytes;
        kept.put(path(19), stamp, Vec::new(), piece);
        assert_eq!(kept.bytes, bytes, "one that is put again counts once");
    }
}
