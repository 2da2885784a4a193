//! `facefold compare`: the results of several runs side by side, on the rows they share.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use facefold_core::Task;
use facefold_evaluate::{Comparison, Contender, RowPredictions, compare};
use facefold_report::{Report, TaskReport};

use super::cv::predictions_file;
use crate::Outcome;
use crate::arguments::CompareArguments;
use crate::output::Output;

/// One task of one result.
struct Entry {
    name: String,
    report: TaskReport,
    predictions: RowPredictions,
}

/// Runs `compare`.
///
/// # Errors
/// If a result cannot be read, or no task is in two of them.
pub fn run(arguments: &CompareArguments, output: Output) -> Result<Outcome> {
    let mut tasks: BTreeMap<Task, Vec<Entry>> = BTreeMap::new();
    for directory in &arguments.results {
        for entry in read(directory)? {
            tasks.entry(entry.report.result.task).or_default().push(entry);
        }
    }
    let mut comparisons: Vec<Comparison> = Vec::new();
    for entries in tasks.values() {
        // A head that is in one result only is compared too: on the same rows it says as much.
        let contenders: Vec<Contender<'_>> = entries
            .iter()
            .flat_map(|entry| {
                entry.report.result.heads.iter().map(|head| Contender {
                    label: format!("{} ({})", head.name, entry.name),
                    head: head.name.clone(),
                    predictions: &entry.predictions,
                    partitions: &entry.report.result.partitions,
                })
            })
            .filter(|contender| contender.head != "majority")
            .collect();
        if contenders.len() > 1 {
            comparisons.push(compare(&contenders, arguments.seed)?);
        }
    }
    if comparisons.is_empty() {
        bail!("nothing to compare: no task has two heads in these results");
    }
    output.answer(&comparisons, || {
        let blocks = comparisons.iter().map(|comparison| {
            format!("{}\n{}", comparison.task, facefold_report::comparison::terminal(comparison))
        });
        blocks.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Outcome::Done)
}

fn read(directory: &Path) -> Result<Vec<Entry>> {
    let report = Report::read(directory)?;
    let name = directory
        .file_name()
        .map_or_else(|| directory.display().to_string(), |name| name.to_string_lossy().into());
    report
        .tasks
        .into_iter()
        .map(|task| {
            let path = directory.join(predictions_file(task.result.task.as_str()));
            let predictions =
                RowPredictions::read_csv(&path, task.result.task, &task.result.classes)
                    .with_context(|| {
                        format!(
                            "comparing needs every row's predictions, and `{}` cannot be read; run \
                             the report's `facefold cv` again",
                            path.display()
                        )
                    })?;
            Ok(Entry { name: name.clone(), report: task, predictions })
        })
        .collect()
}
