//! A report as tables for the terminal: warnings, one table a task, and the comparison.

use facefold_core::Task;
use facefold_evaluate::{CvResult, Metric};

use crate::contents::thresholds;
use crate::format::{self, NONE};
use crate::model::{Report, TaskReport};
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
        blocks.push(heads(task).terminal());
        blocks.extend(by_age(task).map(|table| table.terminal()));
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

/// Heads by metrics, over all test rows; the metric that decides with its interval and its standard
/// deviation over folds.
pub(crate) fn heads(task: &TaskReport) -> Table {
    let metrics = task.metrics();
    let ages = task.result.task == Task::Age;
    let mut header = vec!["head".to_owned()];
    for (index, &metric) in metrics.iter().enumerate() {
        header.push(format::heading(metric));
        if index == 0 {
            header.extend(["95 % interval by subject", "sd over folds"].map(str::to_owned));
            header.extend(ages.then(|| format::heading(BIAS)));
        }
    }
    let mut table = Table::new(header);
    for head in &task.result.heads {
        let mut cells = vec![head.name.clone()];
        for (index, &metric) in metrics.iter().enumerate() {
            let line = head.summary.iter().find(|line| line.metric == metric);
            cells.push(format::optional(metric, line.map(|line| line.pooled)));
            if index == 0 {
                let interval = line.and_then(|line| line.interval);
                let interval = interval.map(|interval| format::interval(metric, interval));
                cells.push(interval.unwrap_or_else(|| NONE.to_owned()));
                let deviation = line.and_then(|line| line.deviation_over_folds);
                cells.push(format::optional(metric, deviation));
                cells.extend(ages.then(|| format::optional(BIAS, head.pooled.get(BIAS))));
            }
        }
        table.row(cells);
    }
    table
}

/// Errors on children and on old people, whom the mean over all ages hides; none where no test row
/// is of such an age.
pub(crate) fn by_age(task: &TaskReport) -> Option<Table> {
    let metrics = task.metrics();
    let header = ["head and ages".to_owned(), "rows".to_owned(), format::heading(BIAS)];
    let names = metrics.iter().map(|&metric| format::heading(metric));
    let mut table = Table::new(header.into_iter().chain(names));
    for head in &task.result.heads {
        for band in &head.by_age {
            let value = |metric| format::optional(metric, band.metrics.get(metric));
            let first = [format!("{}, {}", head.name, band.name), format::count(band.rows)];
            let metrics = std::iter::once(BIAS).chain(metrics.iter().copied());
            table.row(first.into_iter().chain(metrics.map(value)));
        }
    }
    (!table.rows().is_empty()).then_some(table)
}
