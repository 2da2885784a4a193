//! Whole results side by side: the heads of several reports, compared on the rows they share.

use std::collections::BTreeMap;
use std::path::Path;

use facefold_core::Task;
use facefold_evaluate::{Comparison, Contender, RowPredictions, compare};

use crate::error::ReportError;
use crate::model::{Report, TaskReport};

/// Where a result keeps every row's predictions of a task, relative to its directory.
#[must_use]
pub fn predictions_file(task: Task) -> String {
    format!("{task}/predictions.csv")
}

/// One task of one result.
struct Entry {
    name: String,
    report: TaskReport,
    predictions: RowPredictions,
}

/// Compares the heads of the results in these directories, task by task, without the majority
/// baseline. A head that is in one result only is compared too: on the same rows it says as much.
///
/// # Errors
/// A result that cannot be read or has no predictions beside it, or no task with two heads.
pub fn compare_results<P: AsRef<Path>>(
    directories: &[P],
    seed: u64,
) -> Result<Vec<Comparison>, ReportError> {
    let mut tasks: BTreeMap<Task, Vec<Entry>> = BTreeMap::new();
    for directory in directories {
        for entry in read(directory.as_ref())? {
            tasks.entry(entry.report.result.task).or_default().push(entry);
        }
    }
    let mut comparisons = Vec::new();
    for entries in tasks.values() {
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
            comparisons.push(compare(&contenders, seed)?);
        }
    }
    if comparisons.is_empty() { Err(ReportError::NothingToCompare) } else { Ok(comparisons) }
}

fn read(directory: &Path) -> Result<Vec<Entry>, ReportError> {
    let report = Report::read(directory)?;
    let name = directory
        .file_name()
        .map_or_else(|| directory.display().to_string(), |name| name.to_string_lossy().into());
    report
        .tasks
        .into_iter()
        .map(|task| {
            let path = directory.join(predictions_file(task.result.task));
            let predictions =
                RowPredictions::read_csv(&path, task.result.task, &task.result.classes).map_err(
                    |source| ReportError::Predictions { path, source: Box::new(source) },
                )?;
            Ok(Entry { name: name.clone(), report: task, predictions })
        })
        .collect()
}
