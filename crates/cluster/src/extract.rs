//! `facefold-cluster extract`: a data set's pictures become embeddings in a store, made by executors.
//!
//! The client holds the store. It sends the paths of a few hundred pictures at a time as a job of one task,
//! and appends what comes back; a job that fails is sent again. A picture's key decides whether it is stored, so
//! that no job, however often it ran, is stored twice.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ballista::datafusion::arrow::array::ArrayRef;
use clap::Args;
use facefold::core::{Extraction, Extractor as _, RejectReason};
use facefold::datasets::Dataset;
use facefold::extract::store_header;
use facefold::store::{Attempts, SampleRow, Store, StoreError, StoreWriter};
use facefold::{ExtractOptions, Stage};
use facefold_terminal::{line, note};

use crate::columns::{self, Outcome};
use crate::functions;
use crate::jobs::{Input, JobArguments, Pictures};
use crate::models::EmbedOptions;

/// The kind of a data set in Parquet files.
const PARQUET: &str = "parquet";

/// How often what was reached is made durable, label rows included.
const COMMIT_EVERY: Duration = Duration::from_secs(30);

/// Options of `extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
Executors read the pictures under the same absolute paths as this client, or from object storage (credentials, region and
endpoint are those of each executor's environment). The store is what `facefold extract` of the
same data set makes, to the bit where all processors are alike, and that command goes on with it. Parquet files have a
column `path` with the pictures' names, `content` with their bytes, and any of subject, age, gender, fold, split, race and
class; their store is that of the same pictures and labels as `manifest`.

Examples:
  facefold-cluster extract utkface /data/utkface --taps --store stores/utkface --scheduler 10.0.0.1:50050
  facefold-cluster extract pictures s3://faces/2026 --store stores/2026 --scheduler 10.0.0.1:50050
  facefold-cluster extract parquet /data/faces.parquet --store stores/faces --scheduler 10.0.0.1:50050")]
pub struct ExtractArguments {
    /// Kind of data set, as for `facefold extract`: adience, utkface, fairface, imdb-wiki, folder, manifest or pictures;
    /// or parquet.
    kind: String,
    /// Its directory (for `manifest`, the CSV file; for `parquet`, a file or a directory of them); for `pictures` also an address of object storage, such as
    /// `s3://bucket/prefix`, which the executors then read.
    root: PathBuf,
    /// Label file with subjects and folds, where it does not lie in its usual place.
    #[arg(long, value_name = "CSV")]
    labels: Option<PathBuf>,
    /// Directory of the store; made if it is not there. The same command resumes.
    #[arg(long)]
    store: PathBuf,
    /// Model pack.
    #[arg(long, default_value = "buffalo_s")]
    model: String,
    /// Keep pooled intermediate maps with the embedding, of the crop and of its mirror image.
    #[arg(long)]
    taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    #[arg(long)]
    aligned: bool,
    #[command(flatten)]
    jobs: JobArguments,
}

/// Runs an extraction.
///
/// # Errors
/// If the label files, the model or the store cannot be used, or a job fails for longer than `--patience`;
/// what was extracted until then is kept.
pub async fn run(arguments: &ExtractArguments) -> Result<()> {
    let Input { source, dataset, places } = arguments.input().await?;
    let EmbedOptions { model, taps, aligned } = &arguments.embed_options();
    let extractor = arguments.embed_options().load()?;
    note(&format!(
        "{model}{}, fingerprint {}",
        if *aligned { ", aligned" } else { "" },
        extractor.fingerprint()
    ));
    let options =
        ExtractOptions { taps: *taps, aligned: *aligned, ..ExtractOptions::new(&arguments.store) };
    let header = store_header(&source, &dataset, &extractor, &options)?;
    drop(extractor);
    let store = Store::create_or_open(&arguments.store, header)?;
    if store.removal_is_unfinished() {
        bail!(
            "a removal from `{}` is not finished: {}",
            arguments.store.display(),
            store.remedy_for_lost_rows()
        );
    }
    let mut extraction = Running::new(store, &dataset)?;
    let known = extraction.reached();
    let finished = extraction.run(arguments, places).await;
    // Also where a job failed for good.
    let summary = extraction.finish(known);
    let interrupted = finished?;
    line(&summary?)?;
    if interrupted {
        bail!("stopped before the end; the same command goes on from here");
    }
    Ok(())
}

impl ExtractArguments {
    async fn input(&self) -> Result<Input> {
        if self.kind != PARQUET {
            return Input::load(self.kind.parse()?, &self.root, self.labels.as_deref()).await;
        }
        if self.labels.is_some() {
            bail!("--labels: the labels of `{PARQUET}` are columns of its files; leave it out");
        }
        Input::of_tables(&self.root, true)
    }

    fn embed_options(&self) -> EmbedOptions {
        EmbedOptions { model: self.model.clone(), taps: self.taps, aligned: self.aligned }
    }
}

/// The store and the label rows of a running extraction.
struct Running {
    store: StoreWriter,
    /// There until all is done: no merge takes the store for whole before.
    attempts: Attempts,
    rows: Vec<SampleRow>,
    committed: Instant,
    started: Instant,
}

impl Running {
    /// The label rows, with the pictures that an earlier run reached.
    fn new(store: StoreWriter, dataset: &Dataset) -> Result<Self> {
        let mut known = HashMap::new();
        match store.samples() {
            Ok(rows) => known.extend(rows.into_iter().map(|row| (row.sample.path.clone(), row))),
            Err(StoreError::NoSamples { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let row = |sample: &facefold::core::Sample| {
            let earlier = known.remove(&sample.path);
            let key = earlier.and_then(|row| row.key).filter(|key| store.contains(key));
            // A picture that could not be read is tried again.
            SampleRow { sample: sample.clone(), key, rejection: None }
        };
        let rows = dataset.samples.iter().map(row).collect();
        let now = Instant::now();
        let attempts = store.attempts()?;
        Ok(Self { store, attempts, rows, committed: now, started: now })
    }

    fn reached(&self) -> usize {
        self.rows.iter().filter(|row| row.key.is_some() || row.rejection.is_some()).count()
    }

    /// Has all pictures embedded that are missing; whether it was interrupted.
    async fn run(&mut self, arguments: &ExtractArguments, places: Vec<PathBuf>) -> Result<bool> {
        let places = places.into_iter().enumerate();
        let missing: Pictures =
            places.filter(|(place, _)| self.rows[*place].key.is_none()).collect();
        let options = arguments.embed_options().to_text();
        let take = |job: &Pictures, outcomes: Vec<Outcome>| {
            for ((place, path), outcome) in job.iter().zip(outcomes) {
                self.take(*place, path, outcome)?;
            }
            if self.committed.elapsed() > COMMIT_EVERY { self.commit() } else { Ok(()) }
        };
        let function = (functions::embed_file(), Some(options.as_str()));
        let read = |column: &ArrayRef| Ok(columns::read(column)?);
        arguments.jobs.run(Stage::Extracting, &missing, function, read, take).await
    }

    /// Stores the outcome of a picture.
    fn take(&mut self, place: usize, path: &Path, outcome: Outcome) -> Result<()> {
        let expected = &self.store.header().fingerprint;
        if outcome.fingerprint != expected.as_str() {
            bail!(
                "an executor has other networks: expected the fingerprint {expected}, found {}; give all executors \
                 the same weights and the same version of this program",
                outcome.fingerprint
            );
        }
        let row = &mut self.rows[place];
        match (outcome.key, outcome.extraction) {
            (Some(key), extraction) => {
                self.store.append(key, &extraction)?;
                row.key = Some(key);
            }
            (None, Extraction::Rejected(rejection)) => row.rejection = Some(rejection),
            (None, Extraction::Embedded { .. }) => {
                bail!("`{}`: an executor gave embeddings without a key", path.display());
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.store.commit()?;
        self.store.write_samples(&self.rows)?;
        self.committed = Instant::now();
        // A log has no bar.
        if !std::io::stderr().is_terminal() {
            let (reached, all) = (self.reached(), self.rows.len());
            let seconds = self.started.elapsed().as_secs_f64();
            note(&format!("{reached} of {all} pictures after {seconds:.0} s"));
        }
        Ok(())
    }

    /// Writes what is there to the end; gives what it is, in words.
    fn finish(mut self, known: usize) -> Result<String> {
        let reached = self.reached();
        if reached == self.rows.len() {
            self.attempts.close()?;
        }
        self.store.commit()?;
        let taken_over = self.store.write_samples(&self.rows)?;
        if reached == self.rows.len() {
            self.store.remove_replaced(&taken_over)?;
        }
        let store = self.store.finish()?;
        let stored = store.rejections()?;
        let mut rejected: BTreeMap<RejectReason, usize> = BTreeMap::new();
        for row in &self.rows {
            let rejection =
                row.key.as_ref().and_then(|key| stored.get(key)).or(row.rejection.as_ref());
            if let Some(rejection) = rejection {
                *rejected.entry(rejection.reason).or_default() += 1;
            }
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let mut lines = vec![format!(
            "{} rows: {} pictures done now, {known} known before, {} rejected; {:.1} pictures/s in {seconds:.1} s",
            self.rows.len(),
            reached - known,
            rejected.values().sum::<usize>(),
            (reached - known) as f64 / seconds.max(1e-9),
        )];
        lines.extend(rejected.iter().map(|(reason, count)| format!("  {count:>7} {reason}")));
        let fingerprint = &store.header().fingerprint;
        lines.push(format!("store {} (fingerprint {fingerprint})", store.directory().display()));
        Ok(lines.join("\n"))
    }
}
