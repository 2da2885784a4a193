//! Compares the heads of several reports on the rows that they have in common.

use std::collections::BTreeMap;
use std::path::Path;

use facefold_core::Task;
use facefold_evaluate::{Candidate, Comparison, RowPredictions, compare};

use crate::error::ReportError;
use crate::model::{Dataset, Report, RowCounts, TaskReport};

/// Where a result keeps every row's predictions of a task, relative to its directory.
#[must_use]
pub fn predictions_file(task: Task) -> String {
    format!("{task}/predictions.csv")
}

/// One task of one result.
struct Entry {
    name: String,
    dataset: Dataset,
    report: TaskReport,
    predictions: RowPredictions,
    /// Test rows of the report that the predictions have no more.
    missing: usize,
}

/// Compares the heads of the results in these directories, task by task, without the majority
/// baseline. A head that is in one result only is compared too.
/// Warnings come first in a comparison where its results differ in more than their heads; where
/// they name different subjects, [`compare()`] says so.
///
/// # Errors
/// A result that cannot be read or has no predictions, or no task with two heads.
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
        let candidates: Vec<Candidate<'_>> = entries
            .iter()
            .flat_map(|entry| {
                entry.report.result.heads.iter().map(|head| Candidate {
                    label: format!("{} ({})", head.name, entry.name),
                    head: head.name.clone(),
                    predictions: &entry.predictions,
                    splits: &entry.report.result.splits,
                })
            })
            .filter(|candidate| candidate.head != "majority")
            .collect();
        if candidates.len() > 1 {
            let mut comparison = compare(&candidates, seed)?;
            comparison.warnings.splice(..0, differences(entries));
            comparisons.push(comparison);
        }
    }
    if comparisons.is_empty() { Err(ReportError::NothingToCompare) } else { Ok(comparisons) }
}

/// How the results of a task differ in more than their heads, a sentence each.
fn differences(entries: &[Entry]) -> Vec<String> {
    let groups_matter = entries.iter().any(|entry| entry.report.result.task == Task::AgeGroup);
    let not_used = || "none".to_owned();
    let policy = |entry: &Entry| entry.dataset.label_policy.clone().unwrap_or_else(not_used);
    let groups = |entry: &Entry| entry.dataset.age_groups.clone().unwrap_or_else(not_used);
    let of_groups = [
        ("were made under different label policies", entries.iter().map(policy).collect()),
        ("have different age groups", entries.iter().map(groups).collect::<Vec<String>>()),
    ];
    let data = |entry: &Entry| format!("{} in `{}`", entry.dataset.kind, entry.dataset.root);
    let rows = |entry: &Entry| {
        let RowCounts { samples, used, dropped, .. } = &entry.report.rows;
        let reasons = dropped.iter().map(|(reason, count)| format!(", {count} {reason}"));
        format!("{used} of {samples} label rows used{}", reasons.collect::<String>())
    };
    let protocol = |entry: &Entry| entry.report.result.protocol.to_string();
    let of_all = [
        ("are of different data", entries.iter().map(data).collect()),
        ("use different rows", entries.iter().map(rows).collect()),
        ("were split by different protocols", entries.iter().map(protocol).collect()),
    ];
    let of_groups = of_groups.into_iter().filter(|_| groups_matter);
    let differences = of_groups.chain(of_all);
    let differences = differences.filter_map(|(how, values)| difference(how, entries, &values));
    differences.chain(entries.iter().filter_map(removed_rows)).collect()
}

/// The warning where rows were removed from a result's predictions.
fn removed_rows(entry: &Entry) -> Option<String> {
    (entry.missing > 0).then(|| {
        format!(
            "{} test rows of `{}` were removed from its predictions after it was made, as `store forget` does: \
             its report still counts them, and here they are left out.",
            entry.missing, entry.name
        )
    })
}

/// A sentence on what differs between results; none where it is the same in all.
fn difference(how: &str, entries: &[Entry], values: &[String]) -> Option<String> {
    let differ = values.iter().any(|value| *value != values[0]);
    let each =
        entries.iter().zip(values).map(|(entry, value)| format!("`{}`: {value}", entry.name));
    differ.then(|| format!("The results {how}: {}.", each.collect::<Vec<_>>().join("; ")))
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
                RowPredictions::read_csv(&path, task.result.task, &task.result.classes);
            let checked = predictions.and_then(|predictions| {
                let missing = predictions.check(&task.result, &path)?;
                Ok((predictions, missing))
            });
            let (predictions, missing) =
                checked.map_err(|error| ReportError::Predictions(Box::new(error)))?;
            let dataset = report.dataset.clone();
            Ok(Entry { name: name.clone(), dataset, report: task, predictions, missing })
        })
        .collect()
}
