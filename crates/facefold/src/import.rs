//! Import: embeddings that another program made become a store.

mod matching;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint, IMPORTED, ImageKey,
    Precision, RejectReason, Rejection,
};
use facefold_datasets::{Dataset, DatasetKind};
use facefold_store::{
    DatasetInfo, IMPORT, ImportError, ImportFiles, ImportedRow, ImportedRows, SampleRow, Store,
    StoreHeader, StoreWriter,
};
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::extract::Source;
use crate::progress::{Progress, Stage, Step};
use crate::remote;
use crate::run_file::RunFile;
use matching::match_rows;

/// Longest name of a network.
const LONGEST_NAME: usize = 200;

/// What is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// The embeddings.
    pub files: ImportFiles,
    /// The labels: a CSV list with the columns of a manifest ([`DatasetKind::Manifest`]).
    pub labels: PathBuf,
    /// The name of the network that made the embeddings. Embeddings of two names, or of two lengths,
    /// are never compared with each other.
    pub network: String,
    /// Directory of the store; made if it is not there. It belongs to one list of labels.
    pub store: PathBuf,
    /// What is written into the store as `run.toml`, the file that repeats the run.
    pub run_file: Option<RunFile>,
}

/// The result of an import.
#[derive(Debug, Clone, Serialize)]
pub struct ImportSummary {
    /// The store.
    pub store: PathBuf,
    /// The name of the network.
    pub network: String,
    /// The fingerprint of the store.
    pub fingerprint: String,
    /// Values of an embedding.
    pub embedding_length: usize,
    /// Further features of a row.
    pub taps_length: usize,
    /// Whether the embeddings of the mirrored pictures were imported too.
    pub mirrored: bool,
    /// Label rows.
    pub rows: usize,
    /// Label rows with an embedding.
    pub embedded: usize,
    /// Label rows whose row in the file has no values, or zeros alone.
    pub empty: usize,
    /// Label rows that the file has no row for.
    pub without_row: usize,
    /// Rows of the file that no label row names.
    pub unlabelled: usize,
    /// Label rows with the values of an earlier one: together they count as one picture.
    pub identical: usize,
    /// Label rows whose path has further rows with other labels: which are right is unknown, so that no
    /// task uses them.
    pub contradictory: usize,
    /// Embeddings of an earlier import that no label row has any more. They were removed.
    pub superseded: usize,
    /// Label rows that name no subject.
    pub without_subject: usize,
    /// Whether it was cancelled before its end.
    pub interrupted: bool,
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} label rows have an embedding of {} values of `{}`",
            self.embedded, self.rows, self.embedding_length, self.network
        )?;
        if self.taps_length > 0 {
            writeln!(f, "with {} further features", self.taps_length)?;
        }
        if self.mirrored {
            writeln!(f, "with those of the mirrored pictures")?;
        }
        if self.interrupted {
            writeln!(f, "stopped before the end; the same command goes on from here")?;
        }
        write!(f, "store {} (fingerprint {})", self.store.display(), self.fingerprint)
    }
}

/// Imports embeddings and labels into a store, on which everything works but what needs pictures.
///
/// A row is known by its values: rows with the same ones are one picture, as files with the same bytes
/// are. Called again with the same options it goes on where it was stopped; with changed files the label rows
/// are those of the new ones, each with the values that it has there. Nothing is written before every row was
/// read and found finite.
///
/// # Errors
/// Files that do not fit together, a value that is not finite, or a store of something else.
pub fn import(options: &ImportOptions, progress: &dyn Progress) -> Result<ImportSummary> {
    remote::writing(&options.store, progress, |directory| {
        let options = ImportOptions { store: directory.to_owned(), ..options.clone() };
        import_into(&options, progress)
    })
}

/// [`import`], into a directory.
fn import_into(options: &ImportOptions, progress: &dyn Progress) -> Result<ImportSummary> {
    let network = network_name(&options.network)?;
    let rows = ImportedRows::open(&options.files)?;
    let dataset = Source::new(DatasetKind::Manifest, &options.labels).load(progress)?;
    let matched = match_rows(&rows, &dataset, options, progress)?;
    rows.for_each(|_| Ok::<(), ImportError>(()))?;
    let info = extractor_info(network, &rows, &options.files.embeddings);
    let fingerprint = fingerprint(&info);
    let header =
        StoreHeader::new(fingerprint.clone(), info.clone(), dataset_info(&dataset, options)?);
    let mut store = Store::create_or_open(&options.store, header)?;
    options.run_file.iter().try_for_each(|file| file.write_into(&options.store))?;
    let mut run = Run {
        store: &mut store,
        fingerprint: &fingerprint,
        progress,
        total: rows.len() as u64,
        outcomes: vec![None; dataset.samples.len()],
        seen: HashSet::new(),
        identical: 0,
    };
    let cancelled = rows.for_each(|row| match matched[row.number] {
        Some(sample) => run.add(sample, &row),
        None => Ok(()),
    });
    let Run { outcomes, identical, seen, .. } = run;
    let interrupted = match cancelled {
        Err(Stop::Cancelled) => true,
        Err(Stop::Failed(error)) => return Err(error),
        Ok(()) => false,
    };
    if !interrupted {
        // What an earlier import knew is not kept: these files are all that the store is made of.
        store.overwrite_samples(dataset.samples.iter().zip(&outcomes).map(
            |(sample, outcome)| {
                let (key, rejection) = match outcome {
                    Some(Ok(key)) => (Some(*key), None),
                    Some(Err(rejection)) => (None, Some(rejection.clone())),
                    None => (None, Some(no_row())),
                };
                SampleRow { sample: sample.clone(), key, rejection }
            },
        ))?;
    }
    // No label row names them any more, by which their removal could be asked for.
    let superseded =
        if interrupted { 0 } else { store.retain_pictures(|key| seen.contains(key))? };
    store.finish()?;
    let of = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|found| wanted(found)).count();
    Ok(ImportSummary {
        store: options.store.clone(),
        network: network.to_owned(),
        fingerprint: fingerprint.to_string(),
        embedding_length: info.embedding_length,
        taps_length: info.taps_length,
        mirrored: rows.has_mirrored(),
        rows: outcomes.len(),
        embedded: of(|found| matches!(found, Some(Ok(_)))),
        empty: of(|found| matches!(found, Some(Err(_)))),
        without_row: if interrupted { 0 } else { of(Option::is_none) },
        unlabelled: matched.iter().filter(|sample| sample.is_none()).count(),
        identical,
        contradictory: dataset.samples.iter().filter(|sample| sample.label_conflict).count(),
        superseded,
        without_subject: dataset.samples.iter().filter(|sample| sample.subject.is_none()).count(),
        interrupted,
    })
}

/// The picture of a label row, or why it has none; `None` where there was no row of it.
type Outcome = Option<Result<ImageKey, Rejection>>;

/// Why an import stops.
enum Stop {
    Cancelled,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An import under way.
struct Run<'a> {
    store: &'a mut StoreWriter,
    fingerprint: &'a Fingerprint,
    progress: &'a dyn Progress,
    total: u64,
    outcomes: Vec<Outcome>,
    seen: HashSet<ImageKey>,
    identical: usize,
}

impl Run<'_> {
    /// Appends the row of a sample.
    fn add(&mut self, sample: usize, row: &ImportedRow<'_>) -> Result<(), Stop> {
        if self.progress.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let outcome = match row.embedding {
            None => Err("the file has no values for it"),
            Some(values) if values.iter().all(|&value| value == 0.0) => Err("all values are zero"),
            Some(values) => Ok(self.append(values, row)?),
        };
        let rejected = |detail| Rejection::new(RejectReason::BadEmbedding, detail);
        self.outcomes[sample] = Some(outcome.map_err(rejected));
        let (done, total) = (row.number as u64 + 1, Some(self.total));
        self.progress.step(Step::new(Stage::Importing, done, total));
        Ok(())
    }

    fn append(&mut self, values: &[f32], row: &ImportedRow<'_>) -> Result<ImageKey, Stop> {
        let key = key(self.fingerprint, values, row);
        if !self.seen.insert(key) {
            self.identical += 1;
            return Ok(key);
        }
        let mut faces = vec![face(FaceVariant::PLAIN, values, row.taps)?];
        if let Some(mirrored) = row.mirrored {
            faces.push(face(FaceVariant::MIRRORED, mirrored, row.mirrored_taps)?);
        }
        self.store.append(key, &Extraction::Embedded { faces, found: 1 })?;
        Ok(key)
    }
}

/// A face of which nothing is known but its embedding: no picture was seen.
fn face(variant: FaceVariant, values: &[f32], taps: &[f32]) -> Result<Face> {
    let embedding = Embedding::new(values.to_vec()).map_err(Error::data)?;
    Ok(Face {
        index: 0,
        variant,
        norm: Some(embedding.norm()),
        embedding,
        taps: taps.to_vec(),
        bounding_box: [f32::NAN; 4].into(),
        landmarks: [[f32::NAN; 2]; 5],
        score: f32::NAN,
        luminance: f32::NAN,
        sharpness: f32::NAN,
    })
}

/// The identity of a row: its values, those of the mirrored picture and further features included, so that
/// none of an earlier import stands for another one.
fn key(fingerprint: &Fingerprint, values: &[f32], row: &ImportedRow<'_>) -> ImageKey {
    let mut bytes = format!("facefold import {fingerprint}\n").into_bytes();
    // The fingerprint has the lengths, by which the parts cannot be taken for each other.
    for part in [values, row.mirrored.unwrap_or_default(), row.taps, row.mirrored_taps] {
        bytes.extend(part.iter().flat_map(|value| value.to_le_bytes()));
    }
    ImageKey::of(&bytes)
}

fn no_row() -> Rejection {
    Rejection::new(RejectReason::BadEmbedding, "the embeddings' file has no row of it")
}

/// The name of a network, checked.
fn network_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Error::options(format!(
            "--network: expected the name of the network that made the embeddings, such as `clip-vit-l14`, found \
             `{}`",
            name.escape_debug()
        )));
    }
    Ok(name)
}

fn extractor_info(network: &str, rows: &ImportedRows, file: &Path) -> ExtractorInfo {
    let (embedding_length, taps_length) = rows.lengths();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    ExtractorInfo {
        backend: IMPORTED.to_owned(),
        model: network.to_owned(),
        detector: "unknown".to_owned(),
        network: network.to_owned(),
        precision: Precision::F32Equivalent,
        execution: format!("another program, imported from {name}"),
        embedding_length,
        taps_length,
        taps_layout: if taps_length > 0 { IMPORTED.to_owned() } else { String::new() },
        licence: format!(
            "Embeddings of `{network}`: the terms of that network and of the pictures."
        ),
    }
}

/// What makes imported embeddings comparable: the name that the user gives their network, and their
/// lengths.
fn fingerprint(info: &ExtractorInfo) -> Fingerprint {
    Fingerprint::builder()
        .text("imported from network", &info.network)
        .text("embedding length", &info.embedding_length.to_string())
        .text("taps length", &info.taps_length.to_string())
        .finish()
}

/// What the store says of the labels.
fn dataset_info(dataset: &Dataset, options: &ImportOptions) -> Result<DatasetInfo> {
    let mut info = DatasetInfo::new(dataset.kind.as_str(), std::path::absolute(&dataset.root)?);
    let ImportFiles { embeddings, mirrored, taps, mirrored_taps, key } = &options.files;
    let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
    // By these a message names the command that makes lost rows anew.
    let import = json!({
        "embeddings": std::path::absolute(embeddings)?,
        "mirrored": absolute(mirrored)?,
        "taps": absolute(taps)?,
        "mirrored_taps": absolute(mirrored_taps)?,
        "key": key,
    });
    info.options = json!({ "source": std::path::absolute(&options.labels)?, IMPORT: import });
    info.counts.insert("rows".to_owned(), dataset.rows as u64);
    info.counts.insert("duplicates".to_owned(), dataset.duplicates as u64);
    Ok(info)
}

/// Says what a person should know of an import.
impl ImportSummary {
    /// What a person should know before any figure: rows without an embedding, and rows without a
    /// subject.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Self {
            rows,
            empty,
            without_row,
            unlabelled,
            identical,
            contradictory,
            superseded,
            without_subject,
            ..
        } = self;
        let mut warnings = Vec::new();
        let mut say = |count: usize, what: String| {
            if count > 0 {
                warnings.push(what);
            }
        };
        say(*without_row, format!("{without_row} of {rows} label rows have no row in the file"));
        say(
            *empty,
            format!(
                "{empty} of {rows} label rows have no embedding: their values are missing, or all zero"
            ),
        );
        say(
            *unlabelled,
            format!("{unlabelled} rows of the file are named by no label row: left out"),
        );
        say(
            *identical,
            format!(
                "{identical} rows have the very values of an earlier one: they count as the same picture and \
                 subject"
            ),
        );
        say(
            *contradictory,
            format!(
                "{contradictory} of {rows} label rows have a path that a later row repeats with other labels: no task \
                 uses them"
            ),
        );
        say(
            *superseded,
            format!(
                "{superseded} embeddings of an earlier import, which no label row has any more, were removed from the \
                 store"
            ),
        );
        say(*without_subject, format!("{without_subject} of {rows} {}", crate::data::NO_LIKENESS));
        warnings
    }
}
