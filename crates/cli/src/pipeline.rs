//! Reads pictures, extracts them on all cores and appends the outcomes to a store, in bounded
//! memory. Knows of the extractor only that it is one, and that it likes several pictures at a time.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use facefold_core::{
    Extraction, Extractor, ExtractorError, ImageKey, RejectReason, Rejection, pictures,
};
use facefold_store::{Attempts, StoreError, StoreWriter};
use indicatif::ProgressBar;

use crate::{output, probe};

/// Pictures that a worker gives to the extractor at a time: with fewer, the networks' weights are
/// fetched anew for each; with more, nothing is gained.
pub const BLOCK: usize = 8;

/// A worker reads no more pictures into its block once these have so many bytes together.
const BLOCK_BYTES: usize = 16 << 20;

/// A picture to extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The path below the data set's root.
    pub path: PathBuf,
    /// How many augmented versions of it are wanted.
    pub versions: u32,
}

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
    pictures: &[Wanted],
    threads: usize,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
) -> Result<Summary> {
    let start = Instant::now();
    let attempts = store.attempts()?;
    let rejected = store.rejections()?;
    let known = store.embedded_keys().into_iter().chain(rejected.into_keys()).collect();
    let work = Work {
        extractor,
        attempts: &attempts,
        root,
        pictures,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        interrupted,
        claimed: Mutex::new(known),
    };
    let mut summary = Summary {
        reached: vec![None; pictures.len()],
        embedded: 0,
        rejected: BTreeMap::new(),
        known: 0,
        duration: Duration::ZERO,
        interrupted: false,
    };
    let written = std::thread::scope(|scope| {
        // A short queue keeps memory flat: workers wait when the disk is slower.
        let (sender, receiver) = sync_channel(2 * BLOCK * threads);
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
    if !summary.interrupted {
        attempts.close()?;
    }
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

/// So many runs may end at a picture that decodes in a process of its own: killed by someone, it
/// was not the picture's fault.
const MOST_RUNS: u32 = 10;

fn failed(error: StoreError) -> Message {
    Message::Failed(ExtractorError { message: error.to_string(), source: Some(Box::new(error)) })
}

/// A picture of a worker's block.
struct Picture {
    index: usize,
    key: ImageKey,
    content: Vec<u8>,
    versions: u32,
}

/// What the workers share.
struct Work<'a> {
    extractor: &'a dyn Extractor,
    attempts: &'a Attempts,
    root: &'a Path,
    pictures: &'a [Wanted],
    next: AtomicUsize,
    stop: AtomicBool,
    interrupted: &'a AtomicBool,
    /// Keys that the store has or that a worker is at: each picture is extracted once.
    claimed: Mutex<HashSet<ImageKey>>,
}

impl Work<'_> {
    fn run(&self, sender: &SyncSender<Message>) {
        while !self.stop.load(Ordering::Relaxed) && !self.interrupted.load(Ordering::Relaxed) {
            let (block, others) = self.read();
            if block.is_empty() && others.is_empty() {
                return;
            }
            for message in others.into_iter().chain(self.extract(&block)) {
                let failed = matches!(message, Message::Failed(_));
                if sender.send(message).is_err() || failed {
                    return;
                }
            }
        }
    }

    /// Reads the next pictures that are to be extracted, and says what became of others on the
    /// way; nothing where no path is left.
    fn read(&self) -> (Vec<Picture>, Vec<Message>) {
        let (mut block, mut others, mut bytes) = (Vec::new(), Vec::new(), 0);
        while block.len() + others.len() < BLOCK && bytes < BLOCK_BYTES {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(Wanted { path, versions }) = self.pictures.get(index) else { break };
            match pictures::read(&self.root.join(path)) {
                Ok(content) => {
                    let key = ImageKey::of(&content);
                    let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
                    let new = claimed.insert(key);
                    drop(claimed);
                    let picture = Picture { index, key, content, versions: *versions };
                    if !new {
                        others.push(Message::Known(index, key));
                    } else if self.attempts.earlier(&key) > 0 {
                        others.extend(self.again(picture));
                    } else {
                        bytes += picture.content.len();
                        block.push(picture);
                    }
                }
                Err(rejection) => others.push(Message::Unreadable(index, rejection)),
            }
        }
        (block, others)
    }

    /// A picture at which an earlier run ended: tried in a process of its own first, then alone.
    fn again(&self, picture: Picture) -> Vec<Message> {
        let path = self.path(picture.index).display();
        output::note(&format!("an earlier run ended at {path}: trying it alone"));
        let runs = self.attempts.earlier(&picture.key);
        let detail = if runs >= MOST_RUNS {
            format!("{runs} runs ended at it")
        } else {
            match probe::decodes(&picture.content) {
                Ok(()) => return self.extract(&[picture]),
                Err(end) => end,
            }
        };
        let rejected = Extraction::Rejected(Rejection::new(RejectReason::Crashed, detail));
        match self.attempts.end([&picture.key]) {
            Ok(()) => vec![Message::Extracted(picture.index, picture.key, rejected)],
            Err(error) => vec![failed(error)],
        }
    }

    fn path(&self, index: usize) -> &Path {
        &self.pictures[index].path
    }

    fn extract(&self, block: &[Picture]) -> Vec<Message> {
        if block.is_empty() {
            return Vec::new();
        }
        let names = block.iter().map(|picture| (picture.key, self.path(picture.index)));
        let extracted = self.attempts.begin(names).map_err(failed);
        let extracted = extracted.map(|()| self.extract_block(block)).and_then(|outcomes| {
            let keys = block.iter().map(|picture| &picture.key);
            self.attempts.end(keys).map(|()| outcomes).map_err(failed)
        });
        extracted.unwrap_or_else(|failed| vec![failed])
    }

    fn extract_block(&self, block: &[Picture]) -> Vec<Message> {
        let contents: Vec<(&[u8], u32)> =
            block.iter().map(|picture| (picture.content.as_slice(), picture.versions)).collect();
        match self.extractor.extract_augmented(&contents) {
            Ok(outcomes) if outcomes.len() == block.len() => block
                .iter()
                .zip(outcomes)
                .map(|(picture, outcome)| Message::Extracted(picture.index, picture.key, outcome))
                .collect(),
            Ok(outcomes) => {
                let (found, expected) = (outcomes.len(), block.len());
                let problem =
                    format!("the extractor gave {found} outcomes for {expected} pictures");
                vec![Message::Failed(ExtractorError::new(problem))]
            }
            Err(error) => vec![Message::Failed(error)],
        }
    }
}
