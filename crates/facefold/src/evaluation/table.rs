//! A report's figures as the rows of one table, for programs that look at tables.

use std::collections::BTreeMap;

use facefold_core::Task;
use facefold_evaluate::{CvResult, HeadResult, Metric, MetricSummary};
use facefold_report::Report;
use serde::Serialize;

/// A row of the table of a cross-validation: the metrics of one head, of one fit or over all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// The task.
    pub task: Task,
    /// The head.
    pub head: String,
    /// What the figures are: `fold` (one fit on its test rows), `mean` (over folds, of the mean over
    /// seeds), `std` (standard deviation over folds), `pooled` (all test rows together, averaged over
    /// seeds), `ci_low` and `ci_high` (95 % interval of `pooled`).
    pub statistic: &'static str,
    /// The split of a fit.
    pub split: Option<String>,
    /// The seed of a fit.
    pub seed: Option<u64>,
    /// Rows that were fitted.
    pub train_rows: Option<usize>,
    /// Rows that were tested; of all fits of a seed together, where it is not one fit.
    pub test_rows: usize,
    /// Wall-clock seconds of a fit and its predictions.
    pub seconds: Option<f64>,
    /// The metrics that were measured, by their names in `report.json`.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

impl ResultRow {
    /// The rows of a report: of each task and head one a fit, then the summary.
    #[must_use]
    pub fn of(report: &Report) -> Vec<Self> {
        let results = report.tasks.iter().map(|task| &task.result);
        results.flat_map(|result| result.heads.iter().flat_map(|head| rows(result, head))).collect()
    }
}

/// The rows of a head.
fn rows(result: &CvResult, head: &HeadResult) -> Vec<ResultRow> {
    let row = |statistic| ResultRow {
        task: result.task,
        head: head.name.clone(),
        statistic,
        split: None,
        seed: None,
        train_rows: None,
        test_rows: result.splits.iter().map(|split| split.test).sum(),
        seconds: None,
        metrics: BTreeMap::new(),
    };
    let fits = head.fits.iter().map(|fit| {
        let split = result.splits.iter().find(|split| split.name == fit.split);
        let values = Metric::of(result.task).iter();
        let values = values.filter_map(|&metric| Some((name(metric), fit.test.get(metric)?)));
        ResultRow {
            split: Some(fit.split.clone()),
            seed: Some(fit.seed),
            train_rows: split.map(|split| split.train),
            test_rows: split.map_or(0, |split| split.test),
            seconds: Some(fit.seconds),
            metrics: values.collect(),
            ..row("fold")
        }
    });
    let summary = |statistic, value: fn(&MetricSummary) -> Option<f64>| {
        let lines = head.summary.iter();
        let values = lines.filter_map(|line| Some((name(line.metric), value(line)?)));
        ResultRow { metrics: values.collect(), ..row(statistic) }
    };
    let summaries = [
        summary("mean", |line| Some(line.mean)),
        summary("std", |line| line.deviation_over_folds),
        summary("pooled", |line| Some(line.pooled)),
        summary("ci_low", |line| Some(line.interval.as_ref()?.low)),
        summary("ci_high", |line| Some(line.interval.as_ref()?.high)),
    ];
    fits.chain(summaries).collect()
}

/// The name of a metric in `report.json`.
fn name(metric: Metric) -> String {
    match serde_json::to_value(metric) {
        Ok(serde_json::Value::String(name)) => name,
        _ => metric.name().to_owned(),
    }
}
