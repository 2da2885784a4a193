//! `facefold extract`: a data set's pictures become embeddings in a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use facefold_core::pictures::skipped_note;
use facefold_core::{Extractor, RejectReason, Rejection, Sample};
use facefold_datasets::{Dataset, LoadOptions, oversampling};
use facefold_store::{DatasetInfo, SampleRow, Store, StoreHeader, TakenOver};
use serde::Serialize;
use serde_json::json;

use super::{Usage, threads};
use crate::arguments::{ExtractArguments, SourceArguments, Tree};
use crate::output::{self, Output};
use crate::{Outcome, containers, interrupt, network, pipeline, progress};

/// What an extraction did, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The store.
    pub store: PathBuf,
    /// Label rows of the data set, duplicates left out.
    pub rows: usize,
    /// Label rows that the data set no longer lists and that stay in the store.
    pub kept_rows: usize,
    /// Pictures with bytes of their own, embedded or rejected, in this run or before.
    pub distinct_pictures: usize,
    /// Pictures embedded in this run.
    pub embedded: u64,
    /// Pictures that the store knew, or with the same bytes as another.
    pub known: u64,
    /// Pictures rejected, in this run or before, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Pictures per second of wall-clock time.
    pub pictures_per_second: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
    /// What computed the embeddings.
    pub execution: String,
    /// The fingerprint of the store.
    pub fingerprint: String,
    /// Terms of the weights.
    pub licence: String,
}

/// Loads the data set that the arguments name.
///
/// # Errors
/// [`Usage`] for an unknown kind, else whatever is wrong with the label files.
pub fn load_source(source: &SourceArguments) -> Result<Dataset> {
    let kind = source.kind.parse().map_err(Usage::error)?;
    let tree = match source.tree {
        Tree::Aligned => facefold_datasets::Tree::Aligned,
        Tree::Faces => facefold_datasets::Tree::Faces,
    };
    let options = LoadOptions { labels: source.labels.clone(), tree, frontal: source.frontal };
    Ok(facefold_datasets::load(kind, &source.root, &options)?)
}

/// Runs `extract`.
///
/// # Errors
/// If the label files, the model or the store cannot be used.
pub fn run(arguments: &ExtractArguments, output: Output) -> Result<Outcome> {
    network::check(&arguments.network)?;
    let containers = containers::check(arguments)?;
    let dataset = load_source(&arguments.source)?;
    let skipped = dataset.ignored.iter().map(|found| (found.what.clone(), found.reason));
    if let Some(note) = skipped_note(&dataset.root, skipped) {
        output::note(&note);
    }
    for note in &dataset.notes {
        output::note(note);
    }
    let asked = arguments.network.threads;
    let (extractor, workers) = if let Some(options) = containers {
        containers::extractor(options, asked)?
    } else {
        let (taps, aligned) = (arguments.taps, arguments.aligned);
        let faces = network::Faces { taps, aligned, all: false };
        (network::extractor(&arguments.network, faces)?, threads(asked))
    };
    let interrupted = interrupt::listen()?;
    let answer = extract(arguments, &dataset, extractor.as_ref(), workers, &interrupted)?;
    output.answer(&answer, || text(&answer))?;
    let unreadable = answer.rejected.get(&RejectReason::Unreadable).copied().unwrap_or_default();
    let (missing, all) = (unreadable as usize + answer.kept_rows, answer.rows + answer.kept_rows);
    if most(missing, all) {
        bail!(
            "{missing} of {all} pictures could not be read: is the disk with the pictures mounted? What could \
             be read is in the store"
        );
    }
    Ok(match &answer {
        answer if answer.interrupted => Outcome::Interrupted,
        answer if arguments.strict && !answer.rejected.is_empty() => Outcome::Rejected,
        _ => Outcome::Done,
    })
}

/// Extracts a loaded data set into the store that the arguments name.
///
/// # Errors
/// If the extractor or the store fails; what was extracted until then is kept.
pub fn extract(
    arguments: &ExtractArguments,
    dataset: &Dataset,
    extractor: &dyn Extractor,
    workers: usize,
    interrupted: &AtomicBool,
) -> Result<Answer> {
    require_pictures(dataset, arguments.retry_rejected)?;
    let mut info = DatasetInfo::new(dataset.kind.as_str(), std::path::absolute(&dataset.root)?);
    info.options = json!({
        "source": std::path::absolute(&arguments.source.root)?,
        "labels": arguments.source.labels.as_ref().map(std::path::absolute).transpose()?,
        "tree": format!("{:?}", arguments.source.tree).to_lowercase(),
        "frontal": arguments.source.frontal,
        "aligned": arguments.aligned,
        "taps": arguments.taps,
        "augment": arguments.augment,
        "oversample": arguments.oversample,
    });
    info.counts = BTreeMap::from([
        ("rows".to_owned(), dataset.rows as u64),
        ("duplicates".to_owned(), dataset.duplicates as u64),
        ("unlabelled".to_owned(), dataset.unlabelled as u64),
        ("dropped".to_owned(), dataset.dropped.len() as u64),
    ]);
    let header = StoreHeader::new(extractor.fingerprint().clone(), extractor.info().clone(), info);
    let mut store = Store::create_or_open(&arguments.store, header)?;
    if arguments.retry_rejected {
        let forgotten = store.forget_rejections()?;
        output::note(&format!("trying {forgotten} rejected pictures again"));
    }

    let pictures = wanted(&dataset.samples, arguments);
    let bar = progress::bar(pictures.len() as u64, "extracting");
    let summary =
        pipeline::run(extractor, &mut store, &dataset.root, &pictures, workers, interrupted, &bar)?;
    bar.finish_and_clear();

    let ends = || dataset.samples.iter().zip(&summary.reached);
    let taken_over = store.write_samples(ends().map(|(sample, reached)| {
        let (key, rejection) = match reached {
            Some(Ok(key)) => (Some(*key), None),
            Some(Err(rejection)) => (None, Some(rejection.clone())),
            None => (None, None),
        };
        SampleRow { sample: sample.clone(), key, rejection }
    }))?;
    let store = store.finish()?;
    announce(&taken_over, &arguments.store);

    let stored = store.rejections()?;
    let mut rejected: BTreeMap<RejectReason, u64> = BTreeMap::new();
    let mut listed: Vec<(String, &Rejection)> = Vec::new();
    for (sample, reached) in ends() {
        let rejection = match reached {
            Some(Ok(key)) => stored.get(key),
            Some(Err(rejection)) => Some(rejection),
            None => None,
        };
        if let Some(rejection) = rejection {
            *rejected.entry(rejection.reason).or_default() += 1;
            listed.push((sample.path.display().to_string(), rejection));
        }
    }
    list_rejected(&arguments.store, &listed);
    let done = summary.reached.iter().flatten().count() as f64;
    Ok(Answer {
        store: arguments.store.clone(),
        rows: dataset.samples.len(),
        kept_rows: taken_over.rows.len(),
        distinct_pictures: store.embedded_keys().len() + stored.len(),
        embedded: summary.embedded,
        known: summary.known,
        rejected,
        pictures_per_second: done / summary.duration.as_secs_f64().max(1e-9),
        seconds: summary.duration.as_secs_f64(),
        interrupted: summary.interrupted,
        execution: extractor.info().execution.clone(),
        fingerprint: extractor.fingerprint().to_string(),
        licence: extractor.info().licence.clone(),
    })
}

/// The pictures, and how many versions of each are wanted.
fn wanted(samples: &[Sample], arguments: &ExtractArguments) -> Vec<pipeline::Wanted> {
    let rare = oversampling(samples, arguments.oversample);
    let wanted = |(sample, rare): (&Sample, u32)| pipeline::Wanted {
        path: sample.path.clone(),
        versions: arguments.augment.max(rare),
    };
    samples.iter().zip(rare).map(wanted).collect()
}

/// Refuses, before anything is changed, a data set none of whose pictures is there; and to forget
/// why pictures were rejected where most are not there to be tried again.
fn require_pictures(dataset: &Dataset, retry_rejected: bool) -> Result<()> {
    let absent = |sample: &&Sample| {
        let found = fs_err::metadata(dataset.root.join(&sample.path));
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let all = dataset.samples.len();
    let missing = dataset.samples.iter().filter(absent).count();
    if let Some(first) = dataset.samples.iter().find(absent)
        && (missing == all || (retry_rejected && most(missing, all)))
    {
        bail!(
            "{missing} of {all} pictures are not there, the first is `{}`: is the disk with the pictures \
             mounted? Nothing was changed",
            dataset.root.join(&first.path).display()
        );
    }
    Ok(())
}

fn most(some: usize, all: usize) -> bool {
    2 * some > all
}

/// Says which label rows stay as they were.
fn announce(taken_over: &TakenOver, store: &Path) {
    let TakenOver { pictures, rows } = taken_over;
    if *pictures > 0 {
        output::note(&format!(
            "{pictures} label rows keep the pictures that they had: those there now were not read, or are rejected"
        ));
    }
    if let Some(first) = rows.first() {
        output::note(&format!(
            "{} label rows stay though the data set no longer lists them, the first is {}: to remove one, \
             `facefold store forget {} --image PATH`",
            rows.len(),
            first.display(),
            store.display()
        ));
    }
}

/// Names the rejected pictures on stderr: the first few, and where the rest are listed.
fn list_rejected(store: &Path, listed: &[(String, &Rejection)]) {
    const SHOWN: usize = 20;
    for (path, rejection) in listed.iter().take(SHOWN) {
        output::note(&format!("rejected {path}: {} ({})", rejection.reason, rejection.detail));
    }
    if listed.len() > SHOWN {
        output::note(&format!(
            "and {} more: facefold store info {} --rejections",
            listed.len() - SHOWN,
            store.display()
        ));
    }
}

fn text(answer: &Answer) -> String {
    let total: u64 = answer.rejected.values().sum();
    let mut lines = vec![format!(
        "{} rows: {} pictures embedded now, {} known before, {total} rejected; {:.1} pictures/s in \
         {:.1} s ({})",
        answer.rows,
        answer.embedded,
        answer.known,
        answer.pictures_per_second,
        answer.seconds,
        answer.execution
    )];
    for (reason, count) in &answer.rejected {
        lines.push(format!("  {count:>7} {reason}"));
    }
    if answer.interrupted {
        lines.push("stopped before the end; the same command goes on from here".to_owned());
    }
    lines.push(format!("store {} (fingerprint {})", answer.store.display(), answer.fingerprint));
    lines.push(answer.licence.clone());
    lines.join("\n")
}
