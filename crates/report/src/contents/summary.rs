//! The summary: a line a task that says which head is better, by how much, with interval and p; then the
//! metric that decides of every head, as a plot and a table.

use facefold_evaluate::{HeadResult, Metric};

use super::task_name;
use crate::figures;
use crate::format::{self, NONE};
use crate::model::{Report, TaskReport};
use crate::page::{Block, Page};
use crate::table::Table;

pub(crate) fn write(page: &mut Page, report: &Report) {
    page.section("Summary");
    page.push(Block::List(report.tasks.iter().filter_map(decision).collect()));
    let plots: Vec<_> = report.tasks.iter().filter_map(figures::heads_of).collect();
    let without_baseline = plots.iter().any(|plot| plot.without_baseline);
    for plot in plots {
        page.figure(plot.figure);
    }
    page.table(heads(report));
    let mut words = "Every value is over all test rows, averaged over seeds; in brackets is its 95 % \
                     interval by a bootstrap that draws subjects, as pictures of one person are not \
                     independent; where a proportion is equal for all subjects, as where no error was \
                     seen, it is the exact one of Clopper and Pearson with subjects as trials."
        .to_owned();
    if without_baseline {
        words.push_str(" The plots leave the majority baseline out.");
    }
    page.paragraph(words);
}

/// The decision on the two best heads, or what the only one reaches.
fn decision(task: &TaskReport) -> Option<String> {
    if let Some(comparison) = &task.comparison {
        return Some(comparison.summary());
    }
    let (head, metric) = (task.result.heads.first()?, task.primary());
    let value = with_interval(head, metric, " (95 % interval ");
    Some(format!(
        "`{}` on {}: {} {value}.",
        head.name,
        task_name(task.result.task),
        format::heading(metric)
    ))
}

/// Heads by tasks.
fn heads(report: &Report) -> Table {
    let columns = report
        .tasks
        .iter()
        .map(|task| format!("{}: {}", task.result.task, format::heading(task.primary())));
    let mut table = Table::new(std::iter::once("head".to_owned()).chain(columns));
    let mut names: Vec<&str> = Vec::new();
    for head in report.tasks.iter().flat_map(|task| &task.result.heads) {
        if !names.contains(&head.name.as_str()) {
            names.push(&head.name);
        }
    }
    for name in names {
        let cells = report.tasks.iter().map(|task| {
            let head = task.result.head(name);
            head.map_or_else(|| NONE.to_owned(), |head| with_interval(head, task.primary(), " ("))
        });
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}

/// `4.05 (3.97 to 4.13)`, with what stands before the interval.
fn with_interval(head: &HeadResult, metric: Metric, before: &str) -> String {
    let Some(line) = head.summary.iter().find(|line| line.metric == metric) else {
        return NONE.to_owned();
    };
    let value = format::value(metric, line.pooled);
    match line.interval {
        Some(interval) => format!("{value}{before}{})", format::interval(metric, interval)),
        None => value,
    }
}
