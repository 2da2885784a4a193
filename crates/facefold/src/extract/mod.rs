//! Extraction: a data set's pictures become embeddings in a store.

mod containers;
mod pictures;
mod pipeline;
mod probe;
mod shard;
mod source;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::{Extractor, ImageKey, RejectReason, Rejection, Sample};
use facefold_datasets::{Dataset, DatasetKind, oversampling};
use facefold_store::{
    DatasetInfo, LIST, SHARD, SampleRow, Store, StoreHeader, TakenOver, rejection_of,
};
use serde::Serialize;
use serde_json::json;

pub use containers::container_extractor;
pub use probe::{DecodeProbe, decode_input};
pub use shard::DatasetShard;
pub(crate) use shard::List;
pub use source::Source;

use crate::data::require_no_removal;
use crate::error::{Error, Result};
use crate::parallel::threads;
use crate::progress::Progress;
use crate::remote;
use crate::run_file::RunFile;

/// How a data set is extracted.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// Directory of the store, or an address ([`crate::remote`]); made if it is not there. It belongs to one data
    /// set.
    pub store: PathBuf,
    /// Pictures that are worked on at a time, each on a thread of its own.
    pub workers: usize,
    /// Whether the extractor keeps pooled intermediate features; written into the store.
    pub taps: bool,
    /// Whether the extractor takes whole pictures as crops; written into the store.
    pub aligned: bool,
    /// Augmented versions of every picture.
    pub augment: u32,
    /// Most augmented versions of pictures of rare ages.
    pub oversample: u32,
    /// Extract this part of the data set only, into a store of its own: [`crate::merge()`] joins them.
    pub shard: Option<DatasetShard>,
    /// Try pictures again that were rejected before.
    pub retry_rejected: bool,
    /// Tries pictures at which an earlier run ended in a process of its own.
    pub probe: Option<DecodeProbe>,
    /// What is written into the store as `run.toml`, the file that repeats the run.
    pub run_file: Option<RunFile>,
}

impl ExtractOptions {
    /// Into this store, on all cores, without augmented versions.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            workers: threads(0),
            taps: false,
            aligned: false,
            augment: 0,
            oversample: 0,
            shard: None,
            retry_rejected: false,
            probe: None,
            run_file: None,
        }
    }
}

/// The result of an extraction.
#[derive(Debug, Clone, Serialize)]
pub struct ExtractSummary {
    /// The store.
    pub store: PathBuf,
    /// Label rows of the data set, or of its shard, duplicates left out.
    pub rows: usize,
    /// Label rows that the data set no longer lists and that stay in the store.
    pub kept_rows: usize,
    /// Those of them whose picture is not there any more.
    pub missing_rows: usize,
    /// Pictures with bytes of their own, embedded or rejected, in this run or before.
    pub distinct_pictures: usize,
    /// Pictures embedded in this run.
    pub embedded: u64,
    /// Pictures that the store knew before.
    pub known: u64,
    /// Pictures with the same bytes as another of this run.
    pub copies: u64,
    /// Pictures rejected, in this run or before, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Pictures worked on in this run, per second of wall-clock time: those known before are not counted.
    pub pictures_per_second: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Whether it was cancelled before its end.
    pub interrupted: bool,
    /// What computed the embeddings.
    pub execution: String,
    /// The fingerprint of the store.
    pub fingerprint: String,
    /// Terms of the weights.
    pub licence: String,
    /// Whether every picture was asked for by its path, so that one that cannot be read is an error.
    #[serde(skip)]
    pub named: bool,
    /// The part of the data set that was extracted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

impl fmt::Display for ExtractSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rejected: u64 = self.rejected.values().sum();
        write!(
            f,
            "{} rows: {} pictures embedded now, {} known before, ",
            self.rows, self.embedded, self.known
        )?;
        if self.copies > 0 {
            write!(f, "{} with the same bytes as another, ", self.copies)?;
        }
        write!(f, "{rejected} rejected")?;
        if self.pictures_per_second > 0.0 {
            write!(f, "; {:.1} pictures/s in {:.1} s", self.pictures_per_second, self.seconds)?;
        }
        writeln!(f, " ({})", self.execution)?;
        for (reason, count) in &self.rejected {
            writeln!(f, "  {count:>7} {reason}")?;
        }
        if self.interrupted {
            writeln!(f, "stopped before the end; the same command goes on from here")?;
        }
        writeln!(f, "store {} (fingerprint {})", self.store.display(), self.fingerprint)?;
        f.write_str(&self.licence)
    }
}

impl ExtractSummary {
    /// Refuses an extraction for which most pictures could not be read (of those named one by one, any),
    /// or none could be decoded or embedded.
    ///
    /// A shard may have such pictures alone: what is asked is then asked of the merged store.
    ///
    /// # Errors
    /// [`Error::Data`] with the numbers.
    pub fn require_readable(&self) -> Result<()> {
        if self.shard.is_some() {
            return Ok(());
        }
        let of = |reason: &RejectReason| self.rejected.get(reason).copied().unwrap_or_default();
        let unreadable = of(&RejectReason::Unreadable) as usize;
        let (missing, all) = (unreadable + self.missing_rows, self.rows + self.missing_rows);
        if most(missing, all) {
            return Err(Error::data(format!(
                "{missing} of {all} pictures could not be read: is the disk with the pictures mounted? What could \
                 be read is in the store"
            )));
        }
        if self.named && unreadable > 0 {
            return Err(Error::data(format!(
                "{unreadable} of {} pictures could not be read: expected files that can be opened; the \
                 others are in the store",
                self.rows
            )));
        }
        let damaged: u64 =
            RejectReason::ALL.iter().filter(|reason| reason.is_damage()).map(of).sum();
        let unembedded = of(&RejectReason::BadEmbedding);
        let failed = damaged + unembedded;
        if failed > 0 && failed as usize == self.rows {
            let (what, expected) = if unembedded > 0 {
                ("embedded", "an extractor, or a container, that works")
            } else {
                ("decoded", "picture files")
            };
            return Err(Error::data(format!(
                "none of {failed} pictures could be {what}: expected {expected}; look at what was \
                 rejected with `facefold store info {} --rejections`",
                self.store.display()
            )));
        }
        Ok(())
    }
}

/// Extracts a loaded data set into a store. Called again with the same options it goes on where it
/// was stopped; a picture that the store knows is not extracted again.
///
/// # Errors
/// If the extractor or the store fails; what was extracted until then is kept.
pub fn extract(
    source: &Source,
    dataset: &Dataset,
    extractor: &dyn Extractor,
    options: &ExtractOptions,
    progress: &dyn Progress,
) -> Result<ExtractSummary> {
    remote::writing(&options.store, progress, |directory| {
        let options = ExtractOptions { store: directory.to_owned(), ..options.clone() };
        extract_into(source, dataset, extractor, &options, progress)
    })
}

/// [`extract`], into a directory.
fn extract_into(
    source: &Source,
    dataset: &Dataset,
    extractor: &dyn Extractor,
    options: &ExtractOptions,
    progress: &dyn Progress,
) -> Result<ExtractSummary> {
    let shard =
        options.shard.map_or(0..dataset.samples.len(), |shard| shard.rows(dataset.samples.len()));
    let samples = &dataset.samples[shard.clone()];
    require_pictures(dataset, samples, options.retry_rejected)?;
    let header = store_header(source, dataset, extractor, options)?;
    let mut store = Store::create_or_open(&options.store, header)?;
    // It would bring back a person who is half removed.
    require_no_removal(&store)?;
    // Before the first picture, so that the file also goes on with a run that was cut off.
    options.run_file.iter().try_for_each(|file| file.write_into(&options.store))?;
    if options.retry_rejected {
        let forgotten = store.forget_rejections()?;
        progress.note(&format!("trying {forgotten} rejected pictures again"));
    }

    // Which ages are rare is a question of the whole data set.
    let pictures = &requests(&dataset.samples, options)[shard];
    let run = pipeline::Run {
        extractor,
        root: &dataset.root,
        threads: options.workers.max(1),
        probe: options.probe.as_ref(),
        progress,
    };
    let summary = pipeline::run(&run, &mut store, pictures)?;

    let outcomes = || samples.iter().zip(&summary.outcomes);
    let taken_over = store.write_samples(outcomes().map(|(sample, outcome)| {
        let (key, rejection) = match outcome {
            Some(Ok(key)) => (Some(*key), None),
            Some(Err(rejection)) => (None, Some(rejection.clone())),
            None => (None, None),
        };
        SampleRow { sample: sample.clone(), key, rejection }
    }))?;
    if !summary.cancelled {
        // Whose they are would not be known any more.
        let replaced = store.remove_replaced(&taken_over)?;
        if replaced > 0 {
            progress.note(&format!(
                "{replaced} pictures whose files were replaced since were removed from the store"
            ));
        }
    }
    let store = store.finish()?;
    announce(&taken_over, &options.store, progress);
    if options.oversample > 0 {
        let others = with_other_versions(&store, pictures, &summary.outcomes)?;
        if others > 0 {
            progress.note(&format!(
                "{others} pictures keep the augmented versions that earlier labels asked for; to have those of \
                 today's labels, extract into another --store"
            ));
        }
    }

    let stored = store.rejections()?;
    let mut rejected: BTreeMap<RejectReason, u64> = BTreeMap::new();
    let mut listed: Vec<(String, &Rejection)> = Vec::new();
    for (sample, outcome) in outcomes() {
        let (key, unread) = match outcome {
            Some(Ok(key)) => (Some(key), None),
            Some(Err(rejection)) => (None, Some(rejection)),
            None => (None, None),
        };
        let rejection = rejection_of(key, unread, &stored);
        if let Some(rejection) = rejection {
            *rejected.entry(rejection.reason).or_default() += 1;
            listed.push((sample.path.display().to_string(), rejection));
        }
    }
    list_rejected(&options.store, &listed, progress);
    let outcomes = summary.outcomes.iter().flatten().count() as u64;
    let done = outcomes.saturating_sub(summary.known + summary.copies) as f64;
    Ok(ExtractSummary {
        store: options.store.clone(),
        rows: samples.len(),
        kept_rows: taken_over.rows.len(),
        missing_rows: taken_over.rows.iter().filter(|path| is_absent(&dataset.root, path)).count(),
        distinct_pictures: store.embedded_keys().len() + stored.len(),
        embedded: summary.embedded,
        known: summary.known,
        copies: summary.copies,
        rejected,
        pictures_per_second: done / summary.duration.as_secs_f64().max(1e-9),
        seconds: summary.duration.as_secs_f64(),
        interrupted: summary.cancelled,
        execution: extractor.info().execution.clone(),
        fingerprint: extractor.fingerprint().to_string(),
        licence: extractor.info().licence.clone(),
        named: dataset.kind == DatasetKind::Pictures,
        shard: options.shard.map(|shard| shard.to_string()),
    })
}

/// The header of the store that [`extract`] makes of a data set, for who embeds its pictures elsewhere: on a
/// cluster.
///
/// # Errors
/// Where the current directory, which relative paths are below, is unknown.
pub fn store_header(
    source: &Source,
    dataset: &Dataset,
    extractor: &dyn Extractor,
    options: &ExtractOptions,
) -> Result<StoreHeader> {
    let info = dataset_info(source, dataset, options)?;
    Ok(StoreHeader::new(extractor.fingerprint().clone(), extractor.info().clone(), info))
}

/// What the store says of the data set.
fn dataset_info(
    source: &Source,
    dataset: &Dataset,
    options: &ExtractOptions,
) -> Result<DatasetInfo> {
    let mut info = DatasetInfo::new(dataset.kind.as_str(), std::path::absolute(&dataset.root)?);
    info.options = json!({
        "source": std::path::absolute(&source.root)?,
        "labels": source.options.labels.as_ref().map(std::path::absolute).transpose()?,
        "tree": source.options.tree.as_str(),
        "frontal": source.options.frontal,
        "aligned": options.aligned,
        "taps": options.taps,
        "augment": options.augment,
        "oversample": options.oversample,
        SHARD: options.shard.map(|shard| shard.to_string()),
        LIST: List::of(&dataset.samples),
    });

    info.counts = BTreeMap::from([
        ("rows".to_owned(), dataset.rows as u64),
        ("duplicates".to_owned(), dataset.duplicates as u64),
        ("unlabelled".to_owned(), dataset.unlabelled as u64),
        ("dropped".to_owned(), dataset.dropped.len() as u64),
    ]);
    Ok(info)
}

/// The pictures, and how many versions of each are wanted.
fn requests(samples: &[Sample], options: &ExtractOptions) -> Vec<pipeline::Request> {
    let rare = oversampling(samples, options.oversample);
    let request = |(sample, rare): (&Sample, u32)| pipeline::Request {
        path: sample.path.clone(),
        versions: options.augment.max(rare),
    };
    samples.iter().zip(rare).map(request).collect()
}

/// How many pictures have another number of augmented versions than today's labels ask for: the store had
/// embedded them with earlier ones.
fn with_other_versions(
    store: &Store,
    pictures: &[pipeline::Request],
    outcomes: &[Option<Result<ImageKey, Rejection>>],
) -> Result<usize> {
    // A picture has the versions that one of its rows asks for.
    let mut are_asked: HashMap<ImageKey, bool> = HashMap::new();
    for (picture, outcome) in pictures.iter().zip(outcomes) {
        let Some(Ok(key)) = outcome else { continue };
        let variants = store.variants(key)?;
        let augmented = variants.iter().filter(|variant| variant.training_only()).count();
        let is_asked = variants.is_empty() || augmented == picture.versions as usize;
        *are_asked.entry(*key).or_default() |= is_asked;
    }
    Ok(are_asked.values().filter(|is_asked| !**is_asked).count())
}

/// Refuses, before anything is changed, a data set none of whose pictures is there; and to forget
/// why pictures were rejected where most are not there to be tried again.
fn require_pictures(dataset: &Dataset, samples: &[Sample], retry_rejected: bool) -> Result<()> {
    let root = &dataset.root;
    let absent = |sample: &&Sample| is_absent(root, &sample.path);
    let all = samples.len();
    let missing = samples.iter().filter(absent).count();
    let is_shard = all < dataset.samples.len();
    if is_shard && missing == all && dataset.samples.iter().any(|sample| !absent(&sample)) {
        // The disk is there: the pictures of this shard are not.
        return Ok(());
    }
    if let Some(first) = samples.iter().find(absent)
        && (missing == all || (retry_rejected && most(missing, all)))
    {
        return Err(Error::data(format!(
            "{missing} of {all} pictures are not there, the first is `{}`: is the disk with the pictures \
             mounted? Nothing was changed",
            root.join(&first.path).display()
        )));
    }
    Ok(())
}

/// Whether there is no file of a picture, as far as can be seen.
fn is_absent(root: &Path, path: &Path) -> bool {
    let found = fs_err::metadata(root.join(path));
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

pub(crate) fn most(some: usize, all: usize) -> bool {
    2 * some > all
}

/// Says which label rows stay as they were.
fn announce(taken_over: &TakenOver, store: &Path, progress: &dyn Progress) {
    let TakenOver { pictures, rows, .. } = taken_over;
    if *pictures > 0 {
        progress.note(&format!(
            "{pictures} label rows keep the pictures that they had: those there now were not read, or are rejected"
        ));
    }
    if let Some(first) = rows.first() {
        progress.note(&format!(
            "{} label rows stay though the data set no longer lists them, the first is {}: to remove one, \
             `facefold store forget {} --image PATH`",
            rows.len(),
            first.display(),
            store.display()
        ));
    }
}

/// Names the rejected pictures: the first few, and where the rest are listed.
fn list_rejected(store: &Path, listed: &[(String, &Rejection)], progress: &dyn Progress) {
    const SHOWN: usize = 20;
    for (path, rejection) in listed.iter().take(SHOWN) {
        progress.note(&format!("rejected {path}: {} ({})", rejection.reason, rejection.detail));
    }
    if listed.len() > SHOWN {
        progress.note(&format!(
            "and {} more: facefold store info {} --rejections",
            listed.len() - SHOWN,
            store.display()
        ));
    }
}
