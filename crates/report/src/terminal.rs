//! A report as tables for the terminal: warnings, one table a task, and the verdict.

use facefold_core::Task;
use facefold_evaluate::{
    AgeBand, CvResult, HeadResult, Metric, MetricSummary, Metrics, YearsMetrics,
};

use crate::contents::thresholds;
use crate::format::{self, NONE};
use crate::model::Report;
use crate::table::Table;

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
            "\n{} · {} · {} rows of {} subjects · seeds {}\n",
            task.result.task,
            task.result.protocol,
            format::count(task.rows.used),
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
    let [error, bias, score] =
        [Metric::MeanAbsoluteError, Metric::MeanError, Metric::CumulativeScore5];
    let mut table = Table::new(
        ["head", "rows", error.name(), "95 % interval by subject", bias.name()]
            .map(str::to_owned)
            .into_iter()
            .chain([format::heading(score)]),
    );
    for head in &result.heads {
        let Metrics::Years(all) = &head.pooled else { continue };
        let rows = all.rows / result.seeds.len().max(1);
        let mean = |metric| line(head, metric).map_or_else(|| NONE.to_owned(), format::mean);
        table.row([
            head.name.clone(),
            format::count(rows),
            mean(error),
            interval(line(head, error)),
            format::value(bias, all.mean_error),
            mean(score),
        ]);
        for AgeBand { name, rows, metrics } in &head.by_age {
            let YearsMetrics { mean_absolute_error, mean_error, cumulative_score, .. } = metrics;
            table.row([
                format!("{}, {name}", head.name),
                format::count(*rows),
                format::value(error, *mean_absolute_error),
                NONE.to_owned(),
                format::value(bias, *mean_error),
                format::optional(score, cumulative_score.get(5).copied()),
            ]);
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
    let metrics = Metric::of(result.task);
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
