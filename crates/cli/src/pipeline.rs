//! Reads pictures, extracts them on all cores and appends the outcomes to a store, in bounded
//! memory. Knows of the extractor only that it is one.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use facefold_core::{Extraction, Extractor, ExtractorError, ImageKey, RejectReason, Rejection};
use facefold_store::StoreWriter;
use fs_err as fs;
use indicatif::ProgressBar;

/// How each path ended, in the order of the paths; none for paths not reached.
pub type Reached = Vec<Option<Result<ImageKey, Rejection>>>;

/// What an extraction did.
#[derive(Debug)]
pub struct Summary {
    /// The key of each picture, or why it could not be read.
    pub reached: Reached,
    /// Pictures embedded in this run.
    pub embedded: u64,
    /// Pictures rejected in this run, by reason. Unreadable files count each time.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Pictures that the store had already, or that have the same bytes as another.
    pub known: u64,
    /// Wall-clock time.
    pub duration: Duration,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// What a worker tells the writer about one path.
enum Message {
    Unreadable(usize, Rejection),
    Known(usize, ImageKey),
    Extracted(usize, ImageKey, Extraction),
    Failed(ExtractorError),
}

/// Extracts every picture that the store does not have.
///
/// # Errors
/// If the extractor or the store fails; what was extracted until then is kept.
pub fn run(
    extractor: &dyn Extractor,
    store: &mut StoreWriter,
    root: &Path,
    paths: &[PathBuf],
    threads: usize,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Summary> {
    let start = Instant::now();
    let rejected = store.rejections()?;
    let known = store.embedded_keys().into_iter().chain(rejected.into_keys()).collect();
    let work = Work {
        extractor,
        root,
        paths,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        interrupted,
        claimed: Mutex::new(known),
    };
    let mut summary = Summary {
        reached: vec![None; paths.len()],
        embedded: 0,
        rejected: BTreeMap::new(),
        known: 0,
        duration: Duration::ZERO,
        interrupted: false,
    };
    let written = std::thread::scope(|scope| {
        // A short queue keeps memory flat: workers wait when the disk is slower.
        let (sender, receiver) = sync_channel(2 * threads);
        for _ in 0..threads {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work.run(&sender));
        }
        drop(sender);
        let written = write(&receiver, store, &mut summary, progress);
        work.stop.store(true, Ordering::Relaxed);
        // Dropping the receiver wakes workers that wait to send.
        drop(receiver);
        written
    });
    store.commit()?;
    written?;
    summary.duration = start.elapsed();
    summary.interrupted = interrupted.load(Ordering::Relaxed);
    Ok(summary)
}

fn write(
    receiver: &Receiver<Message>,
    store: &mut StoreWriter,
    summary: &mut Summary,
    progress: &ProgressBar,
) -> Result<()> {
    for message in receiver {
        match message {
            Message::Failed(error) => return Err(error.into()),
            Message::Unreadable(index, rejection) => {
                *summary.rejected.entry(rejection.reason).or_default() += 1;
                summary.reached[index] = Some(Err(rejection));
            }
            Message::Known(index, key) => {
                summary.known += 1;
                summary.reached[index] = Some(Ok(key));
            }
            Message::Extracted(index, key, extraction) => {
                store.append(key, &extraction)?;
                match extraction {
                    Extraction::Embedded { .. } => summary.embedded += 1,
                    Extraction::Rejected(rejection) => {
                        *summary.rejected.entry(rejection.reason).or_default() += 1;
                    }
                }
                summary.reached[index] = Some(Ok(key));
            }
        }
        progress.inc(1);
    }
    Ok(())
}

/// What the workers share.
struct Work<'a> {
    extractor: &'a dyn Extractor,
    root: &'a Path,
    paths: &'a [PathBuf],
    next: AtomicUsize,
    stop: AtomicBool,
    interrupted: &'a AtomicBool,
    /// Keys that the store has or that a worker is at: each picture is extracted once.
    claimed: Mutex<HashSet<ImageKey>>,
}

impl Work<'_> {
    fn run(&self, sender: &SyncSender<Message>) {
        while !self.stop.load(Ordering::Relaxed) && !self.interrupted.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = self.paths.get(index) else { return };
            let message = self.extract(index, path);
            let failed = matches!(message, Message::Failed(_));
            if sender.send(message).is_err() || failed {
                return;
            }
        }
    }

    fn extract(&self, index: usize, path: &Path) -> Message {
        let bytes = match fs::read(self.root.join(path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                // The path is recorded beside the reason; the system's words are enough here.
                let detail = error.kind().to_string();
                return Message::Unreadable(
                    index,
                    Rejection::new(RejectReason::Unreadable, detail),
                );
            }
        };
        let key = ImageKey::of(&bytes);
        let claimed =
            self.claimed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key);
        if !claimed {
            return Message::Known(index, key);
        }
        match self.extractor.extract(&[&bytes]).map(|mut outcomes| outcomes.pop()) {
            Ok(Some(extraction)) => Message::Extracted(index, key, extraction),
            Ok(None) => Message::Failed(ExtractorError::new("the extractor gave no outcome")),
            Err(error) => Message::Failed(error),
        }
    }
}
