//! The dataset that a head is fitted on: rows of a feature matrix, their targets, and labels of
//! auxiliary tasks.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::age::AgeGroups;
use crate::feature_matrix::FeatureMatrix;
use crate::head::HeadError;
use crate::targets::Targets;
use crate::task::AuxiliaryKind;

/// Some rows of a feature matrix with their targets: `targets[i]` belongs to row `rows[i]`. (As
/// `linfa::Dataset`; a dataset of labelled pictures is another type.)
#[derive(Debug, Clone)]
pub struct FeatureDataset<'a> {
    matrix: &'a FeatureMatrix,
    rows: Vec<usize>,
    targets: Targets,
    /// A number for the subject of each row; `None` where none was given.
    subjects: Option<Vec<usize>>,
    auxiliary_tasks: Vec<AuxiliaryTask>,
    age_groups: Option<AgeGroups>,
}

/// Labels of another task for rows of the same matrix, for heads that learn tasks together.
///
/// Its rows need not be those of the main task: a row may lack this label, or have this one only.
/// They are of the same split, though: those of a training set are training rows, those of a
/// validation set validation rows.
#[derive(Debug, Clone, PartialEq)]
pub struct AuxiliaryTask {
    /// What the labels are of.
    pub kind: AuxiliaryKind,
    /// Row numbers in the matrix.
    pub rows: Vec<usize>,
    /// The target of each of these rows.
    pub targets: Targets,
}

impl<'a> FeatureDataset<'a> {
    /// A dataset of these rows and targets.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the counts differ, or a row or class index is out of range.
    pub fn new(
        matrix: &'a FeatureMatrix,
        rows: Vec<usize>,
        targets: Targets,
    ) -> Result<Self, HeadError> {
        check(matrix, &rows, &targets)?;
        let (subjects, auxiliary_tasks, age_groups) = (None, Vec::new(), None);
        Ok(Self { matrix, rows, targets, subjects, auxiliary_tasks, age_groups })
    }

    /// The same dataset with the subject of each row, as a number. Training and validation rows are
    /// numbered together: the same number is the same subject.
    ///
    /// Heads that divide the rows they are given, such as for out-of-fold predictions, put no
    /// subject on both sides.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where there are not as many as rows.
    pub fn with_subjects(mut self, subjects: Vec<usize>) -> Result<Self, HeadError> {
        if subjects.len() != self.rows.len() {
            return Err(HeadError::Shape(format!(
                "{} rows with {} subjects",
                self.rows.len(),
                subjects.len()
            )));
        }
        self.subjects = Some(subjects);
        Ok(self)
    }

    /// The same dataset with labels of auxiliary tasks.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_auxiliary_tasks(
        mut self,
        auxiliary_tasks: Vec<AuxiliaryTask>,
    ) -> Result<Self, HeadError> {
        for auxiliary in &auxiliary_tasks {
            check(self.matrix, &auxiliary.rows, &auxiliary.targets)?;
        }
        self.auxiliary_tasks = auxiliary_tasks;
        Ok(self)
    }

    /// The same dataset, whose classes are these age groups.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where there are not as many groups as classes.
    pub fn with_age_groups(mut self, groups: AgeGroups) -> Result<Self, HeadError> {
        match self.targets {
            Targets::Classes { count, .. } if count == groups.ranges().len() => {
                self.age_groups = Some(groups);
                Ok(self)
            }
            _ => Err(HeadError::Shape(format!(
                "{} age groups for targets of kind {:?}",
                groups.ranges().len(),
                self.targets.kind()
            ))),
        }
    }

    /// This dataset followed by another of the same matrix, with the subjects and the auxiliary
    /// labels of both. Where one has no subjects, its rows are subjects that the other does not have.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the targets are of different kinds.
    pub fn concat(&self, other: &FeatureDataset<'_>) -> Result<Self, HeadError> {
        let rows = |one: &[usize], two: &[usize]| [one, two].concat();
        let mut auxiliary_tasks = self.auxiliary_tasks.clone();
        for more in &other.auxiliary_tasks {
            match auxiliary_tasks.iter_mut().find(|known| known.kind == more.kind) {
                Some(known) => {
                    known.rows.extend(&more.rows);
                    known.targets = known.targets.concat(&more.targets)?;
                }
                None => auxiliary_tasks.push(more.clone()),
            }
        }
        let both = Self {
            matrix: self.matrix,
            rows: rows(&self.rows, &other.rows),
            targets: self.targets.concat(&other.targets)?,
            subjects: self.concat_subjects(other),
            auxiliary_tasks,
            age_groups: self.age_groups.clone(),
        };
        check(both.matrix, &both.rows, &both.targets)?;
        Ok(both)
    }

    fn concat_subjects(&self, other: &FeatureDataset<'_>) -> Option<Vec<usize>> {
        let unnamed = |dataset: &FeatureDataset<'_>, known: &[usize]| -> Vec<usize> {
            let first = known.iter().max().map_or(0, |last| last + 1);
            dataset.subjects().iter().map(|number| first + number).collect()
        };
        match (&self.subjects, &other.subjects) {
            (None, None) => None,
            (Some(one), Some(two)) => Some([&one[..], two].concat()),
            (Some(one), None) => Some([&one[..], &unnamed(other, one)].concat()),
            (None, Some(two)) => Some([&unnamed(self, two)[..], two].concat()),
        }
    }

    /// The same dataset with the augmented versions of its rows added, each with its row's target
    /// and subject; likewise for the auxiliary labels. For training only.
    #[must_use]
    pub fn augmented(mut self) -> Self {
        let mut versions: HashMap<usize, Vec<usize>> = HashMap::new();
        for (row, original) in self.matrix.augmented() {
            versions.entry(original).or_default().push(row);
        }
        if versions.is_empty() {
            return self;
        }
        let extend = |rows: &mut Vec<usize>, targets: &mut Targets| -> Vec<usize> {
            let mut positions: Vec<usize> = (0..rows.len()).collect();
            for position in 0..rows.len() {
                let more = versions.get(&rows[position]).map_or(&[][..], Vec::as_slice);
                rows.extend(more);
                positions.extend(more.iter().map(|_| position));
            }
            *targets = targets.select(&positions);
            positions
        };
        let positions = extend(&mut self.rows, &mut self.targets);
        if let Some(subjects) = &mut self.subjects {
            *subjects = positions.iter().map(|&position| subjects[position]).collect();
        }
        for auxiliary in &mut self.auxiliary_tasks {
            extend(&mut auxiliary.rows, &mut auxiliary.targets);
        }
        self
    }

    /// A dataset of the same kind without rows.
    #[must_use]
    pub fn empty(&self) -> Self {
        let auxiliary = |known: &AuxiliaryTask| AuxiliaryTask {
            kind: known.kind,
            rows: Vec::new(),
            targets: known.targets.select(&[]),
        };
        Self {
            matrix: self.matrix,
            rows: Vec::new(),
            targets: self.targets.select(&[]),
            subjects: self.subjects.as_ref().map(|_| Vec::new()),
            auxiliary_tasks: self.auxiliary_tasks.iter().map(auxiliary).collect(),
            age_groups: self.age_groups.clone(),
        }
    }

    /// The matrix that the rows are taken from.
    #[must_use]
    pub fn matrix(&self) -> &'a FeatureMatrix {
        self.matrix
    }

    /// Row numbers in the matrix.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Targets, in the order of [`Self::rows`].
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The subject of each row, as a number, in the order of [`Self::rows`]. Where none were given,
    /// each row of the matrix is a subject of its own, as are its augmented versions with it.
    #[must_use]
    pub fn subjects(&self) -> Cow<'_, [usize]> {
        if let Some(subjects) = &self.subjects {
            return Cow::Borrowed(subjects);
        }
        let originals: HashMap<usize, usize> = self.matrix.augmented().collect();
        self.rows.iter().map(|row| *originals.get(row).unwrap_or(row)).collect()
    }

    /// Labels of auxiliary tasks, at most one entry a task.
    #[must_use]
    pub fn auxiliary_tasks(&self) -> &[AuxiliaryTask] {
        &self.auxiliary_tasks
    }

    /// The ages of each class, where the classes are age groups.
    #[must_use]
    pub fn age_groups(&self) -> Option<&AgeGroups> {
        self.age_groups.as_ref()
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
}

fn check(matrix: &FeatureMatrix, rows: &[usize], targets: &Targets) -> Result<(), HeadError> {
    if rows.len() != targets.len() {
        return Err(HeadError::Shape(format!(
            "{} rows with {} targets",
            rows.len(),
            targets.len()
        )));
    }
    if let Some(row) = rows.iter().find(|&&row| row >= matrix.rows()) {
        return Err(HeadError::Shape(format!("row {row} of a matrix of {}", matrix.rows())));
    }
    if let Targets::Classes { indices, count } = targets
        && let Some(index) = indices.iter().find(|&index| index >= count)
    {
        return Err(HeadError::Shape(format!("class {index} of {count}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AuxiliaryTask, FeatureDataset};
    use crate::age::AgeGroups;
    use crate::feature_matrix::FeatureMatrix;
    use crate::targets::Targets;
    use crate::task::Task;
    use ndarray::Array2;

    #[test]
    fn auxiliary_rows_and_age_groups_are_checked() {
        let matrix = FeatureMatrix::new(Array2::zeros((3, 2)), None).unwrap();
        let classes = Targets::Classes { indices: vec![0, 8], count: 9 };
        let dataset = FeatureDataset::new(&matrix, vec![0, 2], classes).unwrap();
        let ages = |rows: Vec<usize>, years: Vec<f32>| {
            let targets = Targets::exact_years(years);
            dataset.clone().with_auxiliary_tasks(vec![AuxiliaryTask {
                kind: Task::Age.into(),
                rows,
                targets,
            }])
        };
        assert_eq!(ages(vec![1, 2], vec![3.0, 4.0]).unwrap().auxiliary_tasks().len(), 1);
        assert!(ages(vec![3], vec![3.0]).is_err());
        assert!(ages(vec![1, 2], vec![3.0]).is_err());
        let (one, other) = (ages(vec![2], vec![3.0]).unwrap(), ages(vec![1], vec![4.0]).unwrap());
        let both = one.concat(&other).unwrap();
        assert_eq!(both.rows(), [0, 2, 0, 2]);
        assert_eq!(both.targets(), &Targets::Classes { indices: vec![0, 8, 0, 8], count: 9 });
        let auxiliary = &both.auxiliary_tasks()[0];
        assert_eq!(
            (&auxiliary.rows, &auxiliary.targets),
            (&vec![2, 1], &Targets::exact_years(vec![3.0, 4.0]))
        );
        let years = FeatureDataset::new(&matrix, vec![0], Targets::exact_years(vec![1.0])).unwrap();
        assert!(one.concat(&years).is_err());
        assert!(dataset.clone().with_age_groups(AgeGroups::nine()).is_ok());
        assert!(dataset.with_age_groups(AgeGroups::adience()).is_err());
    }

    #[test]
    fn augmented_rows_have_the_target_of_their_original() {
        let matrix = FeatureMatrix::new(Array2::zeros((6, 2)), None).unwrap();
        assert!(matrix.clone().with_augmented(vec![0, 4]).is_err(), "row 4 is itself a version");
        let matrix = matrix.with_augmented(vec![1, 1, 2]).unwrap();
        assert_eq!(matrix.augmented().collect::<Vec<_>>(), [(3, 1), (4, 1), (5, 2)]);
        let dataset =
            FeatureDataset::new(&matrix, vec![1, 0], Targets::exact_years(vec![7.0, 8.0])).unwrap();
        let targets = Targets::Classes { indices: vec![1], count: 2 };
        let dataset = dataset
            .with_auxiliary_tasks(vec![AuxiliaryTask {
                kind: Task::Gender.into(),
                rows: vec![2],
                targets,
            }])
            .unwrap()
            .augmented();
        assert_eq!(dataset.rows(), [1, 0, 3, 4]);
        assert_eq!(dataset.targets(), &Targets::exact_years(vec![7.0, 8.0, 7.0, 7.0]));
        assert_eq!(dataset.auxiliary_tasks()[0].rows, [2, 5]);
        assert_eq!(dataset.auxiliary_tasks()[0].targets.len(), 2);
    }

    #[test]
    fn subjects_stay_with_their_rows() {
        let matrix = FeatureMatrix::new(Array2::zeros((6, 2)), None).unwrap();
        let matrix = matrix.with_augmented(vec![1, 1, 2]).unwrap();
        let dataset = |rows: Vec<usize>| {
            let years = Targets::exact_years(vec![7.0; rows.len()]);
            FeatureDataset::new(&matrix, rows, years).unwrap()
        };
        assert!(dataset(vec![0, 1]).with_subjects(vec![4]).is_err());
        let named = dataset(vec![1, 0]).with_subjects(vec![4, 2]).unwrap();
        let unnamed = dataset(vec![0, 2]);
        assert_eq!(*named.subjects(), [4, 2]);
        assert_eq!(*named.clone().augmented().subjects(), [4, 2, 4, 4]);
        // Without numbers, a row and its augmented versions are one subject.
        assert_eq!(*unnamed.subjects(), [0, 2]);
        assert_eq!(unnamed.clone().augmented().rows(), [0, 2, 5]);
        assert_eq!(*unnamed.clone().augmented().subjects(), [0, 2, 2]);
        assert_eq!(*named.concat(&named).unwrap().subjects(), [4, 2, 4, 2]);
        assert_eq!(*unnamed.concat(&unnamed).unwrap().subjects(), [0, 2, 0, 2]);
        assert_eq!(*named.concat(&unnamed).unwrap().subjects(), [4, 2, 5, 7]);
        assert_eq!(*unnamed.concat(&named).unwrap().subjects(), [5, 7, 4, 2]);
        assert_eq!(*named.concat(&named.empty()).unwrap().subjects(), [4, 2]);
    }

    #[test]
    fn select_columns_keeps_the_chosen_columns_in_order() {
        let values = Array2::from_shape_fn((3, 4), |(row, column)| (10 * row + column) as f32);
        let matrix = FeatureMatrix::new(values.clone(), Some(values + 100.0)).unwrap();
        let matrix = matrix.with_augmented(vec![1]).unwrap();
        let matrix = matrix.with_embedding(2).unwrap();
        assert_eq!(matrix.select_columns(&[0, 1, 3], true).unwrap().embedding(), 2);
        let narrow = matrix.select_columns(&[3, 1], true).unwrap();
        assert_eq!(narrow.embedding(), 0);
        assert!(matrix.clone().with_embedding(5).is_err());
        assert_eq!(narrow.plain().row(1), [13.0, 11.0]);
        assert_eq!(narrow.mirrored().unwrap().row(2), [123.0, 121.0]);
        assert_eq!(narrow.augmented().collect::<Vec<_>>(), [(2, 1)]);
        assert!(matrix.select_columns(&[0], false).unwrap().mirrored().is_none());
        assert!(matrix.select_columns(&[4], true).is_err());
    }

    #[test]
    fn concat_puts_augmented_rows_after_the_rows_of_all_pictures() {
        let matrix = |first: u16, mirrored: bool| {
            let values = Array2::from_shape_fn((3, 1), |(row, _)| f32::from(first) + row as f32);
            let other = mirrored.then(|| values.clone() + 100.0);
            FeatureMatrix::new(values, other).unwrap()
        };
        let (one, other) = (matrix(0, true), matrix(10, true));
        let (one, other) =
            (one.with_augmented(vec![1]).unwrap(), other.with_augmented(vec![0]).unwrap());
        let both = FeatureMatrix::concat(&[one.clone(), other]).unwrap();
        let values: Vec<f32> = (0..6).map(|row| both.plain().row(row)[0]).collect();
        assert_eq!(values, [0.0, 1.0, 10.0, 11.0, 2.0, 12.0]);
        assert_eq!(both.mirrored().unwrap().row(5), [112.0]);
        assert_eq!(both.augmented().collect::<Vec<_>>(), [(4, 1), (5, 2)]);
        let without = FeatureMatrix::concat(&[one, matrix(20, false)]).unwrap();
        assert!(without.mirrored().is_none(), "not every matrix has mirrored rows");
        assert!(FeatureMatrix::concat(&[]).is_err());
    }
}
