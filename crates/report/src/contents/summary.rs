//! The summary: which head is best, by how much, with interval and p, then the primary metric of
//! every head and task.

use facefold_evaluate::Metric;

use super::slices;
use crate::format::{self, NONE};
use crate::model::{Report, TaskReport};
use crate::page::{Block, Page};
use crate::table::Table;

pub(crate) fn write(page: &mut Page, report: &Report) {
    page.section("Summary");
    let words: Vec<String> = report.tasks.iter().filter_map(of_task).collect();
    if !words.is_empty() {
        page.push(Block::List(words));
    }
    page.table(heads(report));
    page.paragraph(
        "Over all test rows, with the 95 % bootstrap interval by subject: pictures of one person are \
         not independent.",
    );
}

/// The decision on the best head, and its comparison with the next best one.
fn of_task(task: &TaskReport) -> Option<String> {
    let comparison = task.comparison.as_ref()?;
    let mut sentences = vec![format!("**{}:** {}", task.result.task, comparison.summary())];
    sentences.extend(comparison.leading_pair().map(|pair| pair.summary.clone()));
    sentences.extend(task.slices.as_ref().and_then(slices::worst_in_words));
    Some(sentences.join(" "))
}

/// Heads by tasks.
fn heads(report: &Report) -> Table {
    let primary = |task: &TaskReport| {
        let measured = task.result.metrics();
        measured.first().copied().unwrap_or(Metric::of(task.result.task)[0])
    };
    let columns = report
        .tasks
        .iter()
        .map(|task| format!("{}: {}", task.result.task, format::heading(primary(task))));
    let mut table = Table::new(std::iter::once("head".to_owned()).chain(columns));
    let mut names: Vec<&str> = Vec::new();
    for head in report.tasks.iter().flat_map(|task| &task.result.heads) {
        if !names.contains(&head.name.as_str()) {
            names.push(&head.name);
        }
    }
    for name in names {
        let cells = report.tasks.iter().map(|task| {
            let metric = primary(task);
            let lines = task.result.head(name).map_or(&[][..], |head| &head.summary);
            let line = lines.iter().find(|line| line.metric == metric);
            line.map_or_else(
                || NONE.to_owned(),
                |line| {
                    let value = format::value(metric, line.pooled);
                    match line.interval {
                        Some(interval) => {
                            format!("{value} ({})", format::interval(metric, interval))
                        }
                        None => value,
                    }
                },
            )
        });
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}
