//! Reports of past runs: the list, the summary of one, its plots, and the comparison of two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path as Segments, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use facefold_core::Task;
use facefold_evaluate::{Comparison, MetricSummary};
use facefold_report::{
    Dataset, Provenance, Report, compare_results, html, plots, predictions_file,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::api_error::ApiError;
use crate::report_cache::{ReportCache, Shown, is_within};
use crate::state::Shared;

/// Reports and plots have their styles in them, run no script and load nothing.
const DOCUMENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// A report in the list.
#[derive(Serialize)]
struct ReportLine {
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
struct ReportSummary {
    name: String,
    warnings: Vec<String>,
    provenance: Provenance,
    dataset: Dataset,
    tasks: Vec<TaskSummary>,
    /// File names of the plots.
    plots: Vec<String>,
}

#[derive(Serialize)]
struct TaskSummary {
    task: String,
    protocol: String,
    rows: usize,
    subjects: usize,
    heads: Vec<HeadSummary>,
    /// Which head is better, in words.
    words: Option<String>,
}

#[derive(Serialize)]
struct HeadSummary {
    name: String,
    metrics: Vec<MetricValue>,
}

#[derive(Serialize)]
struct MetricValue {
    /// With its unit.
    name: &'static str,
    /// Whether the numbers are fractions; else they are years.
    share: bool,
    #[serde(flatten)]
    summary: MetricSummary,
}

#[derive(Serialize)]
struct ComparisonResponse {
    /// In words.
    summary: String,
    #[serde(flatten)]
    comparison: Comparison,
}

/// How these routes show reports.
pub(crate) const SHOWN: Shown = Shown {
    line: |name, report| {
        serde_json::to_vec(&ReportLine {
            name: name.to_owned(),
            date: report.provenance.date.clone(),
            dataset: report.dataset.kind.clone(),
            network: report.provenance.network.name.clone(),
            features: report.provenance.features.clone(),
            tasks: report.tasks.iter().map(|t| t.result.task.to_string()).collect(),
            warnings: report.warnings.clone(),
        })
    },
    page: |name, report| {
        let plots = plots(&report).into_iter().map(|(file, _)| file).collect();
        serde_json::to_vec(&summary(name.to_owned(), report, plots))
    },
    html,
    plots,
};

/// `GET /v1/results`; an empty list where the server shows none.
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    match &shared.results {
        Some(cache) => Ok(json(shared.in_time(cache.list()).await?)),
        None => Ok(json(Bytes::from_static(b"[]"))),
    }
}

/// `GET /v1/results/{name}`.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
) -> Result<Response, ApiError> {
    Ok(json(shared.in_time(shared.reports()?.page(name)).await?))
}

/// `GET /v1/results/{name}/report.html`.
pub(crate) async fn whole(
    State(shared): State<Arc<Shared>>,
    Segments(name): Segments<String>,
) -> Result<Response, ApiError> {
    let page = shared.in_time(shared.reports()?.html(name)).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, DOCUMENT_POLICY),
    ];
    Ok((headers, page).into_response())
}

/// `GET /v1/results/{name}/plots/{file}`.
pub(crate) async fn plot(
    State(shared): State<Arc<Shared>>,
    Segments((name, file)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let plot = shared.in_time(shared.reports()?.plot(name, file)).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_SECURITY_POLICY, DOCUMENT_POLICY),
    ];
    Ok((headers, plot).into_response())
}

/// `GET /v1/compare?first=…&second=…`: the heads of two reports on the rows they share.
pub(crate) async fn compare(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<String, String> = query.into_owned().collect();
    let names = ["first", "second"].map(|key| query.get(key).cloned());
    let [Some(first), Some(second)] = names else {
        return Err(ApiError::unusable("expected `first` and `second` in the query"));
    };
    let reports = shared.reports()?;
    let name = format!("{first} and {second}");
    let first = shared.in_time(reports.find(first)).await?;
    let two = [first, shared.in_time(reports.find(second)).await?];
    let files = compared_files(&two);
    if let Some(made) = shared.in_time(reports.made(&name, &files)).await? {
        return Ok(json(made));
    }
    let turn = Arc::clone(&shared.comparisons).try_acquire_owned();
    let turn = turn.map_err(|_| ApiError::busy("another comparison is being made", 2))?;
    let work = move || {
        // Also held where the client gives up: the work goes on to its end.
        let _turn = turn;
        compared(&two)
    };
    let made =
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ApiError::failed()))?;
    shared.in_time(reports.keep(&name, &files, made.clone())).await?;
    Ok(json(made))
}

/// The files that a comparison of two reports reads, where they are there.
fn compared_files(two: &[PathBuf; 2]) -> Vec<PathBuf> {
    let tasks = [Task::Gender, Task::AgeGroup, Task::Age, Task::Class];
    let files = ["report.json".to_owned()].into_iter().chain(tasks.map(predictions_file));
    files.flat_map(|file| two.each_ref().map(|directory| directory.join(&file))).collect()
}

fn compared(two: &[PathBuf; 2]) -> Result<Bytes, ApiError> {
    let incomparable = || {
        ApiError::unusable(
            "these two cannot be compared row by row: that needs two reports on the same rows, each \
             with the predictions that `facefold cv` writes next to it",
        )
    };
    let is_own = |path: &PathBuf| {
        let of = two.iter().find(|directory| path.starts_with(directory));
        let below = of.and_then(|directory| Some((directory, path.strip_prefix(directory).ok()?)));
        below.is_some_and(|(directory, file)| is_within(directory, &file.to_string_lossy()))
    };
    if !compared_files(two).iter().all(|path| is_own(path) || !path.exists()) {
        return Err(incomparable());
    }
    let comparisons = compare_results(two, 0).map_err(|error| {
        tracing::warn!("{error}");
        incomparable()
    })?;
    let compared: Vec<ComparisonResponse> = comparisons
        .into_iter()
        .map(|comparison| ComparisonResponse { summary: comparison.summary(), comparison })
        .collect();
    let written = serde_json::to_vec(&compared).map(Bytes::from);
    written.map_err(|error| {
        tracing::error!("a comparison cannot be written as JSON: {error}");
        ApiError::failed()
    })
}

fn json(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

impl Shared {
    fn reports(&self) -> Result<&ReportCache, ApiError> {
        self.results.as_ref().ok_or_else(ApiError::not_found)
    }

    /// What is read from files, where that takes no longer than a request may.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        timeout(self.limits.time, read).await.unwrap_or_else(|_| Err(ApiError::timeout(1)))
    }
}

fn summary(name: String, report: Report, plots: Vec<String>) -> ReportSummary {
    let tasks = report
        .tasks
        .into_iter()
        .map(|task| TaskSummary {
            task: task.result.task.to_string(),
            protocol: task.result.protocol.to_string(),
            rows: task.result.rows,
            subjects: task.result.subjects,
            heads: task
                .result
                .heads
                .into_iter()
                .map(|head| HeadSummary {
                    name: head.name,
                    metrics: head.summary.into_iter().map(MetricValue::from).collect(),
                })
                .collect(),
            words: task.comparison.map(|comparison| comparison.summary()),
        })
        .collect();
    ReportSummary {
        name,
        warnings: report.warnings,
        provenance: report.provenance,
        dataset: report.dataset,
        tasks,
        plots,
    }
}

impl From<MetricSummary> for MetricValue {
    fn from(summary: MetricSummary) -> Self {
        Self { name: summary.metric.name(), share: summary.metric.is_fraction(), summary }
    }
}
