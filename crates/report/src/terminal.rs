//! A report as tables for the terminal: warnings, one table a task, and the comparison.

use facefold_core::Task;
use facefold_evaluate::{CvResult, HeadResult, Metric, MetricSummary};

use crate::contents::thresholds;
use crate::format::{self, NONE};
use crate::model::Report;
use crate::table::Table;

/// What stands behind the interval of an age task.
const BIAS: Metric = Metric::MeanError;

/// The report in short, for a terminal.
#[must_use]
pub fn terminal(report: &Report) -> String {
    let mut blocks: Vec<String> =
        report.warnings.iter().map(|warning| format!("! {warning}\n")).collect();
    blocks.push(format!(
        "{} with network {}, features {}, {} of {} label rows embedded\n",
        report.dataset.kind,
        report.provenance.network.name,
        report.provenance.features,
        format::count(report.dataset.embedded),
        format::count(report.dataset.samples),
    ));
    for task in &report.tasks {
        blocks.push(format!(
            "\n{} · {} · {} of {} subjects · seeds {}\n",
            task.result.task,
            task.result.protocol,
            rows(&task.result),
            format::count(task.result.subjects),
            seeds(&task.result),
        ));
        blocks.push(summary(&task.result).terminal());
        blocks
            .extend(task.comparison.iter().map(|comparison| format!("{}\n", comparison.summary())));
        blocks.push(thresholds::terminal(&task.result));
    }
    blocks.concat()
}

/// `1,460 rows`, and how many of them have what kind of age where some are ranges.
pub(crate) fn rows(result: &CvResult) -> String {
    let rows = format!("{} rows", format::count(result.rows));
    if result.range_rows == 0 {
        return rows;
    }
    let exact = result.rows - result.range_rows;
    format!(
        "{rows} ({} with exact years, {} with an age range)",
        format::count(exact),
        format::count(result.range_rows)
    )
}

pub(crate) fn seeds(result: &CvResult) -> String {
    result.seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The metrics of a task's heads; of ages, also those on children and old people.
pub(crate) fn summary(result: &CvResult) -> Table {
    match result.task {
        Task::Age => of_ages(result),
        _ => of_classes(result),
    }
}

/// A line for all ages, then one a band of ages: rows, and errors on them.
fn of_ages(result: &CvResult) -> Table {
    let metrics = result.metrics();
    let mut header = vec!["head".to_owned(), "rows".to_owned()];
    for (index, &metric) in metrics.iter().enumerate() {
        header.push(format::heading(metric));
        if index == 0 {
            header.extend(["95 % interval by subject".to_owned(), format::heading(BIAS)]);
        }
    }
    let mut table = Table::new(header);
    for head in &result.heads {
        let rows = head.pooled.rows() / result.seeds.len().max(1);
        let mut cells = vec![head.name.clone(), format::count(rows)];
        for (index, &metric) in metrics.iter().enumerate() {
            let line = line(head, metric);
            cells.push(line.map_or_else(|| NONE.to_owned(), format::mean));
            if index == 0 {
                cells.extend([interval(line), format::optional(BIAS, head.pooled.get(BIAS))]);
            }
        }
        table.row(cells);
        for band in &head.by_age {
            let of_band = |metric| format::optional(metric, band.metrics.get(metric));
            let mut cells = vec![format!("{}, {}", head.name, band.name), format::count(band.rows)];
            for (index, &metric) in metrics.iter().enumerate() {
                cells.push(of_band(metric));
                if index == 0 {
                    cells.extend([NONE.to_owned(), of_band(BIAS)]);
                }
            }
            table.row(cells);
        }
    }
    table
}

fn line(head: &HeadResult, metric: Metric) -> Option<&MetricSummary> {
    head.summary.iter().find(|line| line.metric == metric)
}

fn interval(line: Option<&MetricSummary>) -> String {
    let known = line.and_then(|line| Some(format::interval(line.metric, line.interval?)));
    known.unwrap_or_else(|| NONE.to_owned())
}

/// Heads by metrics: mean ± standard deviation over folds, and the interval of the metric that
/// decides.
fn of_classes(result: &CvResult) -> Table {
    let metrics = result.metrics();
    let mut header = vec!["head".to_owned()];
    for (index, &metric) in metrics.iter().enumerate() {
        header.push(format::heading(metric));
        if index == 0 {
            header.push("95 % interval by subject".to_owned());
        }
    }
    let mut table = Table::new(header);
    for head in &result.heads {
        let mut cells = vec![head.name.clone()];
        for (index, &metric) in metrics.iter().enumerate() {
            let line = line(head, metric);
            cells.push(line.map_or_else(|| NONE.to_owned(), format::mean));
            if index == 0 {
                cells.push(interval(line));
            }
        }
        table.row(cells);
    }
    table
}
