//! Labels of auxiliary tasks, for multi-task heads, without leaking test rows.

use std::collections::{BTreeMap, BTreeSet};

use facefold_core::{
    AgeGroups, AuxiliaryKind, AuxiliaryTask, FeatureDataset, FeatureMatrix, HeadError, Targets,
};

use crate::row_info::{RowInfo, subject_numbers};

/// Labels of rows of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskLabels {
    /// What they are labels of.
    pub kind: AuxiliaryKind,
    /// The row in the matrix of each row here.
    pub matrix_rows: Vec<usize>,
    /// Path, subject, fold and split of each row.
    pub rows: Vec<RowInfo>,
    /// True labels of the rows.
    pub targets: Targets,
}

/// Labels of auxiliary tasks for the rows of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuxiliaryLabels {
    /// The labels of other tasks, at most once a task.
    pub tasks: Vec<TaskLabels>,
    /// The ages of each class, where the classes are age groups.
    pub age_groups: Option<AgeGroups>,
}

/// The rows of the main task.
#[derive(Debug, Clone, Copy)]
pub struct MainTaskRows<'a> {
    /// The matrix.
    pub matrix: &'a FeatureMatrix,
    /// The row in the matrix of each row here.
    pub matrix_rows: &'a [usize],
    /// Path, subject, fold and split of each row.
    pub rows: &'a [RowInfo],
    /// True labels of the rows.
    pub targets: &'a Targets,
}

impl AuxiliaryLabels {
    /// Training set and validation set, with subjects and auxiliary labels.
    ///
    /// A row of another task serves training if it is a training row here; or, where it has no
    /// label here, if its subject has no row outside the training rows, and its set, its fold and
    /// its split are ones that training rows have. Any other could leak
    /// test labels. Validation rows have their own auxiliary labels only. Augmented versions are
    /// training rows only.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the parts do not fit together.
    pub fn datasets<'a>(
        &self,
        own: MainTaskRows<'a>,
        training: &[usize],
        validation: &[usize],
    ) -> Result<(FeatureDataset<'a>, FeatureDataset<'a>), HeadError> {
        let trained: BTreeSet<usize> = training.iter().copied().collect();
        let mut seen_elsewhere = BTreeSet::new();
        let mut places = BTreeSet::new();
        for (row, info) in own.rows.iter().enumerate() {
            if trained.contains(&row) {
                places.insert((info.set.as_ref(), info.fold, info.split));
            } else {
                seen_elsewhere.insert(info.subject_name());
            }
        }
        let numbers: BTreeMap<usize, usize> =
            own.matrix_rows.iter().enumerate().map(|(row, &at)| (at, row)).collect();
        let is_training = |at: usize, info: &RowInfo| match numbers.get(&at) {
            Some(row) => trained.contains(row),
            None => {
                !seen_elsewhere.contains(info.subject_name())
                    && places.contains(&(info.set.as_ref(), info.fold, info.split))
            }
        };
        let subjects = subject_numbers(own.rows);
        let kept: BTreeSet<usize> = validation.iter().map(|&row| own.matrix_rows[row]).collect();
        Ok((
            self.dataset_of(own, &subjects, training, is_training)?.augmented(),
            self.dataset_of(own, &subjects, validation, |at, _| kept.contains(&at))?,
        ))
    }

    fn dataset_of<'a>(
        &self,
        own: MainTaskRows<'a>,
        subjects: &[usize],
        chosen: &[usize],
        belongs: impl Fn(usize, &RowInfo) -> bool,
    ) -> Result<FeatureDataset<'a>, HeadError> {
        let matrix_rows = chosen.iter().map(|&row| own.matrix_rows[row]).collect();
        let dataset = FeatureDataset::new(own.matrix, matrix_rows, own.targets.select(chosen))?;
        let dataset = dataset.with_subjects(chosen.iter().map(|&row| subjects[row]).collect())?;
        let dataset = match &self.age_groups {
            Some(groups) => dataset.with_age_groups(groups.clone())?,
            None => dataset,
        };
        let auxiliary = |labels: &TaskLabels| {
            let rows = labels.matrix_rows.iter().zip(&labels.rows).enumerate();
            let positions: Vec<usize> = rows
                .filter(|(_, (at, info))| belongs(**at, info))
                .map(|(position, _)| position)
                .collect();
            AuxiliaryTask {
                kind: labels.kind,
                rows: positions.iter().map(|&position| labels.matrix_rows[position]).collect(),
                targets: labels.targets.select(&positions),
            }
        };
        dataset.with_auxiliary_tasks(self.tasks.iter().map(auxiliary).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{AuxiliaryLabels, MainTaskRows, TaskLabels};
    use crate::row_info::RowInfo;
    use crate::sets::SetName;
    use facefold_core::{AgeGroups, FeatureMatrix, Fold, SubjectId, Targets, Task};
    use ndarray::Array2;

    fn row(subject: &str, fold: u16) -> RowInfo {
        RowInfo {
            path: format!("{subject}-{fold}").into(),
            subject: Some(SubjectId::new(subject)),
            fold: Some(Fold(fold)),
            split: None,
            set: None,
        }
    }

    #[test]
    fn rows_of_a_subject_have_its_number() {
        let matrix = FeatureMatrix::new(Array2::zeros((7, 1)), None).unwrap();
        let matrix = matrix.with_augmented(vec![4, 0]).unwrap();
        let mut rows = ["a", "b", "a", "c", "b"].map(|subject| row(subject, 0));
        rows[3].subject = None;
        let targets = Targets::Classes { indices: vec![0; 5], count: 2 };
        let own = MainTaskRows {
            matrix: &matrix,
            matrix_rows: &[0, 1, 2, 3, 4],
            rows: &rows,
            targets: &targets,
        };
        let none = AuxiliaryLabels::default();
        let (training, validation) = none.datasets(own, &[4, 0, 2, 3], &[1]).unwrap();
        assert_eq!(training.rows(), [4, 0, 2, 3, 5, 6]);
        assert_eq!(*training.subjects(), [1, 0, 0, 2, 1, 0]);
        assert_eq!(*validation.subjects(), [1]);
    }

    #[test]
    fn auxiliary_labels_are_of_training_rows_only() {
        let matrix = FeatureMatrix::new(Array2::zeros((8, 1)), None).unwrap();
        // Rows 0 and 1 train, 2 validates, 3 tests; the others have an age only: of a training
        // subject, of the validation and of the test subject, of an unlabelled subject in the
        // training folds, and of one in the test fold.
        let own_rows = [row("a", 0), row("b", 0), row("c", 0), row("d", 1)];
        let only_aged = [row("a", 0), row("c", 0), row("e", 0), row("e", 1)];
        let targets = Targets::Classes { indices: vec![0, 1, 0, 1], count: 2 };
        let own = MainTaskRows {
            matrix: &matrix,
            matrix_rows: &[0, 1, 2, 3],
            rows: &own_rows,
            targets: &targets,
        };
        let labels = TaskLabels {
            kind: Task::Age.into(),
            matrix_rows: vec![1, 2, 3, 4, 5, 6, 7],
            rows: own_rows[1..].iter().chain(&only_aged).cloned().collect(),
            targets: Targets::exact_years((1..8_u8).map(f32::from).collect()),
        };
        let groups: AgeGroups = "0-3,4-9".parse().unwrap();
        let auxiliary_labels =
            AuxiliaryLabels { tasks: vec![labels], age_groups: Some(groups.clone()) };
        let (training, validation) = auxiliary_labels.datasets(own, &[0, 1], &[2]).unwrap();
        assert_eq!((training.rows(), validation.rows()), (&[0, 1][..], &[2][..]));
        assert_eq!(training.age_groups(), Some(&groups));
        let auxiliary = &training.auxiliary_tasks()[0];
        assert_eq!((auxiliary.kind, &auxiliary.rows), (Task::Age.into(), &vec![1, 4, 6]));
        assert_eq!(auxiliary.targets, Targets::exact_years(vec![1.0, 4.0, 6.0]));
        assert_eq!(validation.auxiliary_tasks()[0].rows, [2]);

        // A subject in the training folds of a set that is not trained on.
        let mut auxiliary_labels = auxiliary_labels;
        auxiliary_labels.tasks[0].rows[5].set = Some(SetName::new("tested"));
        let (training, _) = auxiliary_labels.datasets(own, &[0, 1], &[2]).unwrap();
        assert_eq!(training.auxiliary_tasks()[0].rows, [1, 4]);
    }
}
