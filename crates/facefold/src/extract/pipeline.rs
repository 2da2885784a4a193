//! Reads pictures, extracts them on all cores and appends the outcomes to a store, in bounded memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use facefold_core::{
    Extraction, Extractor, ExtractorError, ImageKey, RejectReason, Rejection, pictures,
};
use facefold_store::{Attempts, StoreError, StoreWriter};

use super::probe::DecodeProbe;
use crate::error::Result;
use crate::progress::{Progress, Stage, Step};

/// Pictures that a worker gives to the extractor at a time: with fewer, the networks' weights are
/// fetched anew for each; with more, nothing is gained.
pub(super) const BLOCK: usize = 8;

/// A worker reads no more pictures into its block once these have so many bytes together.
const BLOCK_BYTES: usize = 16 << 20;

/// A picture to extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The path below the data set's root.
    pub(super) path: PathBuf,
    /// How many augmented versions of it are wanted.
    pub(super) versions: u32,
}

/// The outcome of each path, in the order of the paths; `None` for paths not reached.
pub(super) type Outcomes = Vec<Option<Result<ImageKey, Rejection>>>;

/// How pictures are extracted, whichever they are.
pub(super) struct Run<'a> {
    pub(super) extractor: &'a dyn Extractor,
    /// The directory that paths are below.
    pub(super) root: &'a Path,
    pub(super) threads: usize,
    /// Tries pictures at which an earlier run ended.
    pub(super) probe: Option<&'a DecodeProbe>,
    pub(super) progress: &'a dyn Progress,
}

/// What an extraction did.
#[derive(Debug)]
pub(super) struct Summary {
    /// The key of each picture, or why it could not be read.
    pub(super) outcomes: Outcomes,
    /// Pictures embedded in this run.
    pub(super) embedded: u64,
    /// Pictures that the store had already.
    pub(super) known: u64,
    /// Further paths to a picture that was extracted in this run.
    pub(super) copies: u64,
    /// Wall-clock time.
    pub(super) duration: Duration,
    /// Whether it was cancelled.
    pub(super) cancelled: bool,
}

/// What a worker sends to the writer about one path.
enum Message {
    Unreadable(usize, Rejection),
    Known(usize, ImageKey),
    Copy(usize, ImageKey),
    Extracted(usize, ImageKey, Extraction),
    Failed(ExtractorError),
}

/// Extracts every picture that the store does not have.
///
/// # Errors
/// If the extractor or the store fails; what was extracted until then is kept.
pub(super) fn run(run: &Run<'_>, store: &mut StoreWriter, pictures: &[Request]) -> Result<Summary> {
    let start = Instant::now();
    let attempts = store.attempts()?;
    let rejected = store.rejections()?;
    let stored: HashSet<ImageKey> =
        store.embedded_keys().into_iter().chain(rejected.into_keys()).collect();
    let work = Work {
        run,
        attempts: &attempts,
        pictures,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        claimed: Mutex::new(stored.clone()),
        stored,
    };
    let mut summary = Summary {
        outcomes: vec![None; pictures.len()],
        embedded: 0,
        known: 0,
        copies: 0,
        duration: Duration::ZERO,
        cancelled: false,
    };
    let written = std::thread::scope(|scope| {
        // A short queue keeps memory flat: workers wait when the disk is slower.
        let (sender, receiver) = sync_channel(2 * BLOCK * run.threads);
        for _ in 0..run.threads {
            let (work, sender) = (&work, sender.clone());
            scope.spawn(move || work.run(&sender));
        }
        drop(sender);
        let written = write(&receiver, store, &mut summary, run.progress);
        work.stop.store(true, Ordering::Relaxed);
        // Dropping the receiver wakes workers that wait to send.
        drop(receiver);
        written
    });
    store.commit()?;
    written?;
    summary.duration = start.elapsed();
    summary.cancelled = run.progress.is_cancelled();
    if !summary.cancelled {
        attempts.close()?;
    }
    Ok(summary)
}

fn write(
    receiver: &Receiver<Message>,
    store: &mut StoreWriter,
    summary: &mut Summary,
    progress: &dyn Progress,
) -> Result<()> {
    let total = Some(summary.outcomes.len() as u64);
    for (message, done) in receiver.iter().zip(1..) {
        let known = matches!(message, Message::Known(..) | Message::Copy(..));
        match message {
            Message::Failed(error) => return Err(error.into()),
            Message::Unreadable(index, rejection) => {
                summary.outcomes[index] = Some(Err(rejection));
            }
            Message::Known(index, key) => {
                summary.known += 1;
                summary.outcomes[index] = Some(Ok(key));
            }
            Message::Copy(index, key) => {
                summary.copies += 1;
                summary.outcomes[index] = Some(Ok(key));
            }
            Message::Extracted(index, key, extraction) => {
                store.append(key, &extraction)?;
                summary.embedded += u64::from(matches!(extraction, Extraction::Embedded { .. }));
                summary.outcomes[index] = Some(Ok(key));
            }
        }
        progress.step(Step { known, ..Step::new(Stage::Extracting, done, total) });
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
    run: &'a Run<'a>,
    attempts: &'a Attempts,
    pictures: &'a [Request],
    next: AtomicUsize,
    stop: AtomicBool,
    /// Keys that the store has or that a worker is at: each picture is extracted once.
    claimed: Mutex<HashSet<ImageKey>>,
    /// Keys that the store had before.
    stored: HashSet<ImageKey>,
}

impl Work<'_> {
    fn run(&self, sender: &SyncSender<Message>) {
        while !self.stop.load(Ordering::Relaxed) && !self.run.progress.is_cancelled() {
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
            let Some(Request { path, versions }) = self.pictures.get(index) else { break };
            match pictures::read(&self.run.root.join(path)) {
                Ok(content) => {
                    let key = ImageKey::of(&content);
                    let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
                    let new = claimed.insert(key);
                    drop(claimed);
                    let picture = Picture { index, key, content, versions: *versions };
                    if !new {
                        let known = self.stored.contains(&key);
                        let message = if known { Message::Known } else { Message::Copy };
                        others.push(message(index, key));
                    } else if self.attempts.earlier(&key) > 0 {
                        others.extend(self.retry(picture));
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
    fn retry(&self, picture: Picture) -> Vec<Message> {
        let path = self.path(picture.index).display();
        self.run.progress.note(&format!("an earlier run ended at {path}: trying it alone"));
        let runs = self.attempts.earlier(&picture.key);
        let detail = if runs >= MOST_RUNS {
            format!("{runs} runs ended at it")
        } else {
            match self.run.probe.map_or(Ok(()), |probe| probe.decodes(&picture.content)) {
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
        match self.run.extractor.extract_augmented(&contents) {
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
