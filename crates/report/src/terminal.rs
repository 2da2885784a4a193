//! A report as tables for the terminal: warnings, one table a task, and the verdict.

use facefold_evaluate::CvResult;

use crate::format;
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

/// Heads by metrics: mean ± standard deviation over folds, and the interval of the metric that
/// decides.
pub(crate) fn summary(result: &CvResult) -> Table {
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
            let line = head.summary.iter().find(|line| line.metric == metric);
            cells.push(line.map_or_else(|| format::NONE.to_owned(), format::mean));
            if index == 0 {
                let interval = line.and_then(|line| line.interval);
                cells.push(interval.map_or_else(
                    || format::NONE.to_owned(),
                    |interval| format::interval(metric, interval),
                ));
            }
        }
        table.row(cells);
    }
    table
}
