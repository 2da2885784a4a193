//! Reports of past runs: a list, one in short, its plots, and two side by side.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as Segments, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use facefold_evaluate::{Comparison, MetricSummary};
use facefold_report::{Dataset, Provenance, Report, compare_results, plot_files};
use fs_err as fs;
use serde::Serialize;

use crate::json::Json;
use crate::problem::Problem;
use crate::state::Shared;

/// The directory of the reports.
///
/// A name from a client is only ever compared with names that the directory lists; it never
/// becomes part of a path.
pub(crate) struct Results(PathBuf);

/// A report in the list.
#[derive(Serialize)]
struct Line {
    name: String,
    date: String,
    dataset: String,
    network: String,
    features: String,
    tasks: Vec<String>,
    warnings: Vec<String>,
}

/// A report without its single fits.
#[derive(Serialize)]
struct Short {
    name: String,
    warnings: Vec<String>,
    provenance: Provenance,
    dataset: Dataset,
    tasks: Vec<ShortTask>,
    /// File names of the plots.
    plots: Vec<String>,
}

#[derive(Serialize)]
struct ShortTask {
    task: String,
    protocol: String,
    rows: usize,
    subjects: usize,
    heads: Vec<ShortHead>,
    /// Which head is better, in words.
    words: Option<String>,
}

#[derive(Serialize)]
struct ShortHead {
    name: String,
    metrics: Vec<ShortMetric>,
}

#[derive(Serialize)]
struct ShortMetric {
    /// With its unit.
    name: &'static str,
    /// Whether the numbers are shares; else they are years.
    share: bool,
    #[serde(flatten)]
    summary: MetricSummary,
}

#[derive(Serialize)]
struct Compared {
    /// In words.
    summary: String,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Results {
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Directories that hold a report, by name, without links.
    fn names(&self) -> Vec<(String, PathBuf)> {
        let mut names = listed(&self.0, FileType::is_dir);
        names.retain(|(_, path)| path.join("report.json").is_file());
        names
    }

    fn directory(&self, name: &str) -> Result<PathBuf, Problem> {
        find(self.names(), name)
    }
}

/// The entries of a directory that are of a kind, by name; nothing where it cannot be read.
fn listed(directory: &Path, kind: fn(&FileType) -> bool) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|of| kind(&of)))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    names.sort();
    names
}

/// The plots of the report in this directory.
fn plots(directory: &Path) -> Vec<(String, PathBuf)> {
    let mut plots = listed(&directory.join("plots"), FileType::is_file);
    plots.retain(|(_, path)| path.extension().is_some_and(|extension| extension == "svg"));
    plots
}

fn find(entries: Vec<(String, PathBuf)>, name: &str) -> Result<PathBuf, Problem> {
    let found = entries.into_iter().find(|(entry, _)| entry == name);
    found.map(|(_, path)| path).ok_or_else(Problem::not_found)
}

/// `GET /v1/results`; an empty list where the server shows none.
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    blocking(move || {
        let names = shared.results.as_ref().map(Results::names).unwrap_or_default();
        let lines: Vec<Line> = names
            .into_iter()
            .filter_map(|(name, path)| {
                let report = read(&path).ok()?;
                Some(Line {
                    name,
                    date: report.provenance.date,
                    dataset: report.dataset.kind,
                    network: report.provenance.network.name,
                    features: report.provenance.features,
                    tasks: report.tasks.iter().map(|t| t.result.task.to_string()).collect(),
                    warnings: report.warnings,
                })
            })
            .collect();
        Ok(Json(lines).into_response())
    })
    .await
}

/// `GET /v1/results/{name}`.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    blocking(move || {
        let directory = shared.reports()?.directory(&name)?;
        let report = read(&directory)?;
        // Not what another run left there.
        let own = plot_files(&report);
        let plots = plots(&directory).into_iter().map(|(file, _)| file);
        let plots = plots.filter(|file| own.contains(file)).collect();
        let short = short(name, report, plots);
        Ok(Json(short).into_response())
    })
    .await
}

/// `GET /v1/results/{name}/plots/{file}`.
pub(crate) async fn plot(
    State(shared): State<Arc<Shared>>,
    Segments((name, file)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    blocking(move || {
        let directory = shared.reports()?.directory(&name)?;
        let path = find(plots(&directory), &file)?;
        let bytes = fs::read(path).map_err(|_| Problem::not_found())?;
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        let headers =
            [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, policy)];
        Ok((headers, bytes).into_response())
    })
    .await
}

/// `GET /v1/compare?first=…&second=…`: the heads of two reports on the rows they share.
pub(crate) async fn compare(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<String, String> = query.into_owned().collect();
    let names = ["first", "second"].map(|key| query.get(key).cloned());
    let [Some(first), Some(second)] = names else {
        return Err(Problem::unusable("expected `first` and `second` in the query"));
    };
    blocking(move || {
        let reports = shared.reports()?;
        let two = [reports.directory(&first)?, reports.directory(&second)?];
        let _turn = shared
            .comparisons
            .try_acquire()
            .map_err(|_| Problem::busy("another comparison is being made", 2))?;
        let comparisons = compare_results(&two, 0).map_err(|error| {
            tracing::warn!("{error}");
            let message = "these two cannot be compared row by row: that needs two reports on the \
                           same rows, each with the predictions that `facefold cv` leaves beside it";
            Problem::unusable(message)
        })?;
        let compared: Vec<Compared> = comparisons
            .into_iter()
            .map(|comparison| Compared { summary: comparison.summary(), comparison })
            .collect();
        Ok(Json(compared).into_response())
    })
    .await
}

impl Shared {
    fn reports(&self) -> Result<&Results, Problem> {
        self.results.as_ref().ok_or_else(Problem::not_found)
    }
}

fn read(directory: &Path) -> Result<Report, Problem> {
    Report::read(directory).map_err(|error| {
        tracing::warn!("{error}");
        Problem::unusable("this report cannot be read; the server's log says why")
    })
}

fn short(name: String, report: Report, plots: Vec<String>) -> Short {
    let tasks = report
        .tasks
        .into_iter()
        .map(|task| ShortTask {
            task: task.result.task.to_string(),
            protocol: task.result.protocol.to_string(),
            rows: task.result.rows,
            subjects: task.result.subjects,
            heads: task
                .result
                .heads
                .into_iter()
                .map(|head| ShortHead {
                    name: head.name,
                    metrics: head.summary.into_iter().map(ShortMetric::from).collect(),
                })
                .collect(),
            words: task.comparison.map(|comparison| comparison.summary()),
        })
        .collect();
    Short {
        name,
        warnings: report.warnings,
        provenance: report.provenance,
        dataset: report.dataset,
        tasks,
        plots,
    }
}

impl From<MetricSummary> for ShortMetric {
    fn from(summary: MetricSummary) -> Self {
        Self { name: summary.metric.name(), share: summary.metric.is_share(), summary }
    }
}

/// Runs what reads files or computes for long where it holds up nobody.
async fn blocking(
    work: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Problem::failed()))
}
