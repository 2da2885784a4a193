//! The rows of one task: features, labels, subjects and folds, in one type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use facefold_core::{FeatureMatrix, Targets, Task};
use facefold_evaluate::{
    AuxiliaryLabels, CvPlan, MainTaskRows, Protocol, RowInfo, SetName, TaskLabels,
};

use crate::error::{Error, Result};

/// The number of a row of a feature matrix. A task has rows of its own, numbered from 0: the two are
/// not the same where a task leaves rows of the matrix out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub usize);

/// The rows of one task.
///
/// [`crate::JoinedStores::task`] makes it from stores; [`TaskData::new`] from anything else.
#[derive(Debug, Clone)]
pub struct TaskData {
    /// The task.
    pub task: Task,
    /// Names of the classes in the order of their indices; empty for ages in years.
    pub classes: Vec<String>,
    /// Features; may have rows that this task does not use. A clone shares the values.
    pub features: FeatureMatrix,
    /// Path, subject, fold, split and data set of each row.
    pub rows: Vec<RowInfo>,
    /// The label of each row.
    pub labels: Targets,
    /// Labels of other tasks, for heads that learn several together.
    pub auxiliary: AuxiliaryLabels,
    /// Label rows that the task does not use, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// The number of rows of each data set, where there are several.
    pub set_rows: BTreeMap<SetName, usize>,
    /// What a reader must know before any number on these rows.
    pub warnings: Vec<String>,
    /// The feature row of each row.
    feature_rows: Vec<usize>,
}

impl TaskData {
    /// The rows of a task, each with the row of the features that is its own.
    ///
    /// # Errors
    /// [`Error::Data`] where the numbers of rows, labels and class names do not fit together, or a
    /// row of the features is not there.
    pub fn new(
        (task, classes): (Task, Vec<String>),
        features: FeatureMatrix,
        row_ids: &[RowId],
        rows: Vec<RowInfo>,
        labels: Targets,
    ) -> Result<Self> {
        if rows.len() != labels.len() || rows.len() != row_ids.len() {
            return Err(Error::data(format!(
                "task `{task}`: expected as many rows as labels and feature rows, found {} rows, {} labels \
                 and {} feature rows",
                rows.len(),
                labels.len(),
                row_ids.len()
            )));
        }
        if let Targets::Classes { count, .. } = labels
            && count != classes.len()
        {
            return Err(Error::data(format!(
                "task `{task}`: expected {count} names of classes, found {}",
                classes.len()
            )));
        }
        if let Some(RowId(row)) = row_ids.iter().find(|id| id.0 >= features.rows()) {
            return Err(Error::data(format!(
                "task `{task}`: expected feature rows below {}, found {row}",
                features.rows()
            )));
        }
        Ok(Self {
            task,
            classes,
            features,
            rows,
            labels,
            auxiliary: AuxiliaryLabels::default(),
            dropped: BTreeMap::new(),
            set_rows: BTreeMap::new(),
            warnings: Vec::new(),
            feature_rows: row_ids.iter().map(|id| id.0).collect(),
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The feature row of a row; `None` where there is no such row.
    #[must_use]
    pub fn row_id(&self, row: usize) -> Option<RowId> {
        self.feature_rows.get(row).copied().map(RowId)
    }

    /// The sentence that says how many rows are used, of which sets, and why others are not.
    #[must_use]
    pub fn description(&self) -> String {
        let list = |counts: Vec<String>| counts.join(", ");
        let dropped = self.dropped.iter().map(|(reason, count)| format!("{count} {reason}"));
        let dropped = list(dropped.collect());
        let dropped = if dropped.is_empty() { "none".to_owned() } else { dropped };
        let sets = self.set_rows.iter().map(|(set, count)| format!("{set} {count}"));
        let sets = list(sets.collect());
        let sets = if sets.is_empty() { sets } else { format!(" ({sets})") };
        let (all, ranges) = (self.len(), self.labels.ranges());
        let scored = match self.labels {
            Targets::Regression(_) => {
                format!(": {} can be scored in years, {ranges} by an age range", all - ranges)
            }
            Targets::Classes { .. } => String::new(),
        };
        format!("{}: {all} rows used{sets}{scored}; dropped: {dropped}", self.task)
    }

    /// The rows as heads and calibration take them.
    #[must_use]
    pub fn view(&self) -> MainTaskRows<'_> {
        MainTaskRows {
            matrix: &self.features,
            matrix_rows: &self.feature_rows,
            rows: &self.rows,
            targets: &self.labels,
        }
    }

    /// Keeps these rows, ascending; the others count as dropped for a reason.
    pub(crate) fn keep(&mut self, rows: &[usize], reason: &str) {
        let left_out = self.len() - rows.len();
        if left_out > 0 {
            *self.dropped.entry(reason.to_owned()).or_default() += left_out;
        }
        self.labels = self.labels.select(rows);
        self.feature_rows = rows.iter().map(|&row| self.feature_rows[row]).collect();
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
    }

    /// The labels alone, for heads that learn another task.
    pub(crate) fn into_labels(self) -> TaskLabels {
        let Self { task, rows, labels, feature_rows, .. } = self;
        TaskLabels { kind: task.into(), matrix_rows: feature_rows, rows, targets: labels }
    }

    /// A plan on these rows that has no head, partition or further seed yet. `stamp` names the
    /// features: fits of another one are not resumed.
    pub(crate) fn plan(&self, seed: u64, stamp: String) -> CvPlan<'_> {
        CvPlan {
            task: self.task,
            auxiliary_labels: self.auxiliary.clone(),
            classes: self.classes.clone(),
            matrix: &self.features,
            matrix_rows: Cow::from(&self.feature_rows),
            targets: self.labels.clone(),
            rows: Cow::from(&self.rows),
            protocol: Protocol::LeaveOneSetOut,
            splits: Vec::new(),
            heads: Vec::new(),
            seed,
            seeds: Vec::new(),
            thresholds: None,
            stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{FeatureMatrix, Targets, Task};
    use facefold_evaluate::RowInfo;
    use ndarray::Array2;

    use super::{RowId, TaskData};

    fn row(path: &str) -> RowInfo {
        RowInfo { path: path.into(), subject: None, fold: None, split: None, set: None }
    }

    fn made(row_ids: &[RowId], count: usize, classes: &[&str]) -> Result<TaskData, String> {
        let features = FeatureMatrix::new(Array2::zeros((3, 2)), None).unwrap();
        let classes = classes.iter().map(ToString::to_string).collect();
        let labels = Targets::Classes { indices: vec![0, 1], count };
        TaskData::new((Task::Gender, classes), features, row_ids, vec![row("a"), row("b")], labels)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() {
        let data = made(&[RowId(2), RowId(0)], 2, &["female", "male"]).unwrap();
        assert_eq!((data.len(), data.row_id(0), data.row_id(2)), (2, Some(RowId(2)), None));
        for (row_ids, count, classes, expected) in [
            (&[RowId(0)][..], 2, &["female", "male"][..], "2 labels and 1 feature rows"),
            (&[RowId(0), RowId(3)], 2, &["female", "male"], "feature rows below 3, found 3"),
            (&[RowId(0), RowId(1)], 2, &["female"], "expected 2 names of classes, found 1"),
        ] {
            let message = made(row_ids, count, classes).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
