//! What a head is fitted on: rows of a matrix, what is right for each, and what else is known of
//! them.

use std::collections::HashMap;

use crate::age::AgeGroups;
use crate::head::{FeatureMatrix, HeadError, Targets};
use crate::task::CompanionKind;

/// Some rows of a feature matrix with their targets: `targets[i]` belongs to row `rows[i]`.
#[derive(Debug, Clone)]
pub struct Examples<'a> {
    matrix: &'a FeatureMatrix,
    rows: Vec<usize>,
    targets: Targets,
    companions: Vec<Companion>,
    age_groups: Option<AgeGroups>,
}

/// Labels of another task for rows of the same matrix, for heads that learn tasks together.
///
/// Its rows need not be those of the examples beside which it stands: a row may lack this label,
/// or have none but this one. They come from the same side of a division, though: training rows
/// beside training rows, validation rows beside validation rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Companion {
    /// What the labels tell.
    pub kind: CompanionKind,
    /// Row numbers in the matrix.
    pub rows: Vec<usize>,
    /// What is right for each of them.
    pub targets: Targets,
}

impl<'a> Examples<'a> {
    /// Ties rows to targets.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the counts differ, or a row or class index is out of range.
    pub fn new(
        matrix: &'a FeatureMatrix,
        rows: Vec<usize>,
        targets: Targets,
    ) -> Result<Self, HeadError> {
        check(matrix, &rows, &targets)?;
        Ok(Self { matrix, rows, targets, companions: Vec::new(), age_groups: None })
    }

    /// The same examples with labels of other tasks beside them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_companions(mut self, companions: Vec<Companion>) -> Result<Self, HeadError> {
        for companion in &companions {
            check(self.matrix, &companion.rows, &companion.targets)?;
        }
        self.companions = companions;
        Ok(self)
    }

    /// The same examples, whose classes are these age groups.
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

    /// These examples and others of the same matrix together, with the labels beside both.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the two are of different kinds.
    pub fn joined(&self, other: &Examples<'_>) -> Result<Self, HeadError> {
        let rows = |one: &[usize], two: &[usize]| [one, two].concat();
        let mut companions = self.companions.clone();
        for more in &other.companions {
            match companions.iter_mut().find(|known| known.kind == more.kind) {
                Some(known) => {
                    known.rows.extend(&more.rows);
                    known.targets = known.targets.joined(&more.targets)?;
                }
                None => companions.push(more.clone()),
            }
        }
        let joined = Self {
            matrix: self.matrix,
            rows: rows(&self.rows, &other.rows),
            targets: self.targets.joined(&other.targets)?,
            companions,
            age_groups: self.age_groups.clone(),
        };
        check(joined.matrix, &joined.rows, &joined.targets)?;
        Ok(joined)
    }

    /// The same examples and the augmented versions of their rows, each with its row's target; the
    /// same for the labels beside them. For training only.
    #[must_use]
    pub fn augmented(mut self) -> Self {
        let mut versions: HashMap<usize, Vec<usize>> = HashMap::new();
        for (row, original) in self.matrix.augmented() {
            versions.entry(original).or_default().push(row);
        }
        if versions.is_empty() {
            return self;
        }
        let extend = |rows: &mut Vec<usize>, targets: &mut Targets| {
            let mut positions: Vec<usize> = (0..rows.len()).collect();
            for position in 0..rows.len() {
                let more = versions.get(&rows[position]).map_or(&[][..], Vec::as_slice);
                rows.extend(more);
                positions.extend(more.iter().map(|_| position));
            }
            *targets = targets.pick(&positions);
        };
        extend(&mut self.rows, &mut self.targets);
        for companion in &mut self.companions {
            extend(&mut companion.rows, &mut companion.targets);
        }
        self
    }

    /// No example of the same kind.
    #[must_use]
    pub fn none(&self) -> Self {
        let companion = |known: &Companion| Companion {
            kind: known.kind,
            rows: Vec::new(),
            targets: known.targets.pick(&[]),
        };
        Self {
            matrix: self.matrix,
            rows: Vec::new(),
            targets: self.targets.pick(&[]),
            companions: self.companions.iter().map(companion).collect(),
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

    /// Labels of other tasks, at most one companion a task.
    #[must_use]
    pub fn companions(&self) -> &[Companion] {
        &self.companions
    }

    /// The ages of each class, where the classes are age groups.
    #[must_use]
    pub fn age_groups(&self) -> Option<&AgeGroups> {
        self.age_groups.as_ref()
    }

    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no example.
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
    use super::{Companion, Examples};
    use crate::age::AgeGroups;
    use crate::head::{FeatureMatrix, Targets};
    use crate::task::Task;
    use ndarray::Array2;

    #[test]
    fn companions_and_groups_must_fit() {
        let matrix = FeatureMatrix::new(Array2::zeros((3, 2)), None).unwrap();
        let classes = Targets::Classes { indices: vec![0, 8], count: 9 };
        let examples = Examples::new(&matrix, vec![0, 2], classes).unwrap();
        let ages = |rows: Vec<usize>, years: Vec<f32>| {
            let targets = Targets::exact_years(years);
            examples.clone().with_companions(vec![Companion {
                kind: Task::Age.into(),
                rows,
                targets,
            }])
        };
        assert_eq!(ages(vec![1, 2], vec![3.0, 4.0]).unwrap().companions().len(), 1);
        assert!(ages(vec![3], vec![3.0]).is_err());
        assert!(ages(vec![1, 2], vec![3.0]).is_err());
        let (one, other) = (ages(vec![2], vec![3.0]).unwrap(), ages(vec![1], vec![4.0]).unwrap());
        let both = one.joined(&other).unwrap();
        assert_eq!(both.rows(), [0, 2, 0, 2]);
        assert_eq!(both.targets(), &Targets::Classes { indices: vec![0, 8, 0, 8], count: 9 });
        let companion = &both.companions()[0];
        assert_eq!(
            (&companion.rows, &companion.targets),
            (&vec![2, 1], &Targets::exact_years(vec![3.0, 4.0]))
        );
        let years = Examples::new(&matrix, vec![0], Targets::exact_years(vec![1.0])).unwrap();
        assert!(one.joined(&years).is_err());
        assert!(examples.clone().with_age_groups(AgeGroups::nine()).is_ok());
        assert!(examples.with_age_groups(AgeGroups::adience()).is_err());
    }

    #[test]
    fn versions_of_a_row_have_its_target() {
        let matrix = FeatureMatrix::new(Array2::zeros((6, 2)), None).unwrap();
        assert!(matrix.clone().with_augmented(vec![0, 4]).is_err(), "row 4 is itself a version");
        let matrix = matrix.with_augmented(vec![1, 1, 2]).unwrap();
        assert_eq!(matrix.augmented().collect::<Vec<_>>(), [(3, 1), (4, 1), (5, 2)]);
        let examples =
            Examples::new(&matrix, vec![1, 0], Targets::exact_years(vec![7.0, 8.0])).unwrap();
        let targets = Targets::Classes { indices: vec![1], count: 2 };
        let examples = examples
            .with_companions(vec![Companion { kind: Task::Gender.into(), rows: vec![2], targets }])
            .unwrap()
            .augmented();
        assert_eq!(examples.rows(), [1, 0, 3, 4]);
        assert_eq!(examples.targets(), &Targets::exact_years(vec![7.0, 8.0, 7.0, 7.0]));
        assert_eq!(examples.companions()[0].rows, [2, 5]);
        assert_eq!(examples.companions()[0].targets.len(), 2);
    }

    #[test]
    fn a_narrowed_matrix_has_the_columns_asked_for() {
        let values = Array2::from_shape_fn((3, 4), |(row, column)| (10 * row + column) as f32);
        let matrix = FeatureMatrix::new(values.clone(), Some(values + 100.0)).unwrap();
        let matrix = matrix.with_augmented(vec![1]).unwrap();
        let matrix = matrix.with_embedding(2).unwrap();
        assert_eq!(matrix.narrowed(&[0, 1, 3], true).unwrap().embedding(), 2);
        let narrow = matrix.narrowed(&[3, 1], true).unwrap();
        assert_eq!(narrow.embedding(), 0);
        assert!(matrix.clone().with_embedding(5).is_err());
        assert_eq!(narrow.plain().row(1), [13.0, 11.0]);
        assert_eq!(narrow.mirrored().unwrap().row(2), [123.0, 121.0]);
        assert_eq!(narrow.augmented().collect::<Vec<_>>(), [(2, 1)]);
        assert!(matrix.narrowed(&[0], false).unwrap().mirrored().is_none());
        assert!(matrix.narrowed(&[4], true).is_err());
    }
    #[test]
    fn joined_matrices_keep_versions_behind_all_pictures() {
        let matrix = |first: u16, mirrored: bool| {
            let values = Array2::from_shape_fn((3, 1), |(row, _)| f32::from(first) + row as f32);
            let other = mirrored.then(|| values.clone() + 100.0);
            FeatureMatrix::new(values, other).unwrap()
        };
        let (one, other) = (matrix(0, true), matrix(10, true));
        let (one, other) =
            (one.with_augmented(vec![1]).unwrap(), other.with_augmented(vec![0]).unwrap());
        let both = FeatureMatrix::joined(&[one.clone(), other]).unwrap();
        let values: Vec<f32> = (0..6).map(|row| both.plain().row(row)[0]).collect();
        assert_eq!(values, [0.0, 1.0, 10.0, 11.0, 2.0, 12.0]);
        assert_eq!(both.mirrored().unwrap().row(5), [112.0]);
        assert_eq!(both.augmented().collect::<Vec<_>>(), [(4, 1), (5, 2)]);
        let without = FeatureMatrix::joined(&[one, matrix(20, false)]).unwrap();
        assert!(without.mirrored().is_none(), "not every matrix has mirrored rows");
        assert!(FeatureMatrix::joined(&[]).is_err());
    }
}
