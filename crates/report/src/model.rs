//! The data of a report: every number of the Markdown is here, and so in `report.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facefold_core::files::is_absent;
use facefold_evaluate::{
    Comparison, CvResult, MatrixResult, Metric, SearchResult, SetName, SliceReport,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::sealed;

/// The version of `report.json`; raised when a reader of the old one would misread the new.
pub const FORMAT: u32 = 1;

/// A report on one run, with one or more tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Warnings, shown before any number: `untrained network`, `synthetic faces`.
    pub warnings: Vec<String>,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// The samples.
    pub dataset: Dataset,
    /// One entry a task.
    pub tasks: Vec<TaskReport>,
}

/// Where the numbers come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The command line that repeats the run.
    pub command: String,
    /// facefold's version.
    pub version: String,
    /// The commit it was built from, where known.
    pub commit: Option<String>,
    /// When the run began, RFC 3339.
    pub date: String,
    /// Wall-clock seconds of the run.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What made the embeddings.
    pub network: Network,
    /// What the heads saw of the store: `embedding`, `taps` or `both`.
    pub features: String,
}

/// A computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Number of logical cores.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Operating system and architecture.
    pub system: String,
}

/// The extractor of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Name of the model: `buffalo_s`, `untrained`.
    pub name: String,
    /// The store's fingerprint.
    pub fingerprint: String,
    /// Precision class.
    pub precision: String,
    /// Terms of the weights.
    pub licence: String,
    /// Whether another program made the embeddings: nothing but the name is known of their network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

/// The samples of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// `adience`, `utkface`, `synthetic`, …
    pub kind: String,
    /// Last part of the root's name; never a whole path.
    pub root: String,
    /// The data sets, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetInfo>,
    /// How ages became age groups, where the policy matters to a task here.
    pub label_policy: Option<String>,
    /// The age groups, where a task here uses them.
    pub age_groups: Option<String>,
    /// Label rows.
    pub samples: usize,
    /// Label rows whose picture has an embedding.
    pub embedded: usize,
    /// Label rows whose picture has none, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// What else a reader must know: how subjects were estimated.
    pub notes: Vec<String>,
}

/// One of several data sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetInfo {
    /// The name of its store's directory.
    pub name: SetName,
    /// `adience`, `utkface`, …
    pub kind: String,
    /// `training`, `test`, or `training and test`.
    pub serves: String,
    /// Its label rows.
    pub samples: usize,
    /// Its label rows whose picture has an embedding.
    pub embedded: usize,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Which label rows served.
    pub rows: RowCounts,
    /// What came of it.
    pub result: CvResult,
    /// The comparison of the heads, where there are at least two.
    pub comparison: Option<Comparison>,
    /// The best head on parts of the test rows; none in reports from before there were slices.
    #[serde(default)]
    pub slices: Option<SliceReport>,
    /// Label-error candidates of the best head; `None` in older reports.
    #[serde(default)]
    pub label_error_candidates: Option<LabelErrorCount>,
    /// How settings were searched for; one entry a head whose settings were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<SearchResult>,
}

/// A report on the matrix of training and test sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixReport {
    /// [`FORMAT`].
    pub format: u32,
    /// What a reader must know before any number.
    pub warnings: Vec<String>,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// The samples.
    pub dataset: Dataset,
    /// One entry a task.
    pub tasks: Vec<TaskMatrix>,
}

/// One task of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMatrix {
    /// Which label rows served.
    pub rows: RowCounts,
    /// What came of it.
    pub result: MatrixResult,
}

/// The number of label-error candidates of a head. Their pictures are listed in a file next to the
/// report, never in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelErrorCount {
    /// The head.
    pub head: String,
    /// Pictures whose label may be wrong.
    pub found: usize,
    /// Pictures in the file, those with the highest score.
    pub listed: usize,
    /// The file, relative to the report.
    pub file: String,
}

/// Label rows of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// All label rows.
    pub samples: usize,
    /// Rows that were trained or tested on.
    pub used: usize,
    /// Rows left out, by reason; a row counts once.
    pub dropped: BTreeMap<String, usize>,
    /// The rows used of each data set, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub of_sets: BTreeMap<SetName, usize>,
}

impl TaskReport {
    /// The metrics that were measured, the one that decides first: that of the comparison, where there
    /// is one.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.result.metrics();
        if let Some(comparison) = &self.comparison {
            metrics.sort_by_key(|&metric| metric != comparison.metric);
        }
        metrics
    }

    /// The metric that decides.
    #[must_use]
    pub fn primary(&self) -> Metric {
        self.metrics().first().copied().unwrap_or(Metric::of(self.result.task)[0])
    }
}

impl RowCounts {
    /// Whether used and dropped rows add up to all rows.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        self.used + self.dropped.values().sum::<usize>() == self.samples
    }
}

impl Report {
    /// Reads `report.json`, or the one in a directory.
    ///
    /// # Errors
    /// [`ReportError`] naming the file, where it is absent or is no report of this [`FORMAT`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let (path, bytes) = read_json(path)?;
        Self::parse(&bytes).map_err(|message| ReportError::Invalid { path, message })
    }

    /// Reads the bytes of a `report.json`.
    ///
    /// # Errors
    /// What is wrong with them, where they are no report of this [`FORMAT`].
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        parse(bytes).map_err(|message| match MatrixReport::parse(bytes) {
            Ok(_) => "expected the report of `cv` or `tune`, found that of `matrix`".to_owned(),
            Err(_) => message,
        })
    }
}

impl MatrixReport {
    /// Reads the bytes of a `report.json`.
    ///
    /// # Errors
    /// What is wrong with them, where they are no report on a matrix of this [`FORMAT`].
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        parse(bytes)
    }
}

/// The bytes of `report.json`, or of the one in a directory, and its path.
pub(crate) fn read_json(path: &Path) -> Result<(PathBuf, Vec<u8>), ReportError> {
    let file = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    match fs_err::read(&file) {
        Ok(bytes) => Ok((file, bytes)),
        Err(error) if is_absent(&error) => Err(ReportError::NoReport { path: path.to_owned() }),
        Err(error) => Err(error.into()),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<serde_json::Value>,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match head.format {
        Some(format) if format == FORMAT => {}
        Some(format) => return Err(format!("expected format {FORMAT}, found {format}")),
        None => return Err(format!("expected format {FORMAT}, found none")),
    }
    sealed::check(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
