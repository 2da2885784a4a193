//! The inner partitions of a division: parts of its training and validation rows, never test rows.

use facefold_core::Head;
use facefold_core::rng::seeded;
use rand::seq::SliceRandom;

use super::Inner;
use crate::cross_validate::CvPlan;
use crate::error::EvaluateError;
use crate::protocol::{Partition, Protocol, RowInfo, plan as divide, subject_numbers};

/// A partition of a plan, without its test rows.
pub(super) struct Division {
    pub(super) name: String,
    /// Training rows, rows to choose the epoch by, and rows to score, of each inner division.
    inner: Vec<[Vec<usize>; 3]>,
}

impl Division {
    /// Divides the training side of a partition; its test rows are not read.
    pub(super) fn new(
        plan: &CvPlan<'_>,
        partition: &Partition,
        inner: Inner,
    ) -> Result<Self, EvaluateError> {
        let Partition { name, train, validation, .. } = partition;
        let inner = match inner {
            Inner::HoldOut if validation.is_empty() => {
                return Err(EvaluateError::TooFew(format!(
                    "partition `{name}` has no validation rows to choose settings by"
                )));
            }
            Inner::HoldOut => vec![[train.clone(), validation.clone(), validation.clone()]],
            Inner::Folds(folds) => {
                let mut rows: Vec<usize> = train.iter().chain(validation).copied().collect();
                rows.sort_unstable();
                let known: Vec<RowInfo> = rows.iter().map(|&row| plan.rows[row].clone()).collect();
                let targets = plan.targets.select(&rows);
                let original = |part: &[usize]| part.iter().map(|&at| rows[at]).collect();
                divide(&Protocol::KFold(folds), &known, &targets, plan.seed)?
                    .iter()
                    .map(|fold| {
                        [&fold.train, &fold.validation, &fold.test].map(|part| original(part))
                    })
                    .collect()
            }
        };
        Ok(Self { name: name.clone(), inner })
    }

    /// Number of inner partitions.
    pub(super) fn inner(&self) -> usize {
        self.inner.len()
    }

    /// The partitions of a trial with a share of the budget, of which `of_subjects` is taken in
    /// training subjects. Their names tell the head's settings and the share, for the journal.
    pub(super) fn partitions(
        &self,
        plan: &CvPlan<'_>,
        head: &dyn Head,
        share: f64,
        of_subjects: f64,
    ) -> Vec<Partition> {
        let settings = blake3::hash(head.settings().to_string().as_bytes()).to_hex();
        self.inner
            .iter()
            .enumerate()
            .map(|(number, [train, validation, scored])| Partition {
                name: format!(
                    "{} trial {} share {share:.3} inner {number}",
                    self.name,
                    &settings[..12]
                ),
                train: self.subjects(plan, number, train, of_subjects),
                validation: validation.clone(),
                test: scored.clone(),
                shared_test_rows: 0,
                notes: Vec::new(),
            })
            .collect()
    }

    /// The rows of so many subjects that they are `share` of `rows`; a larger share has those of a
    /// smaller one too.
    fn subjects(&self, plan: &CvPlan<'_>, inner: usize, rows: &[usize], share: f64) -> Vec<usize> {
        if share >= 1.0 {
            return rows.to_vec();
        }
        let known: Vec<RowInfo> = rows.iter().map(|&row| plan.rows[row].clone()).collect();
        let numbers = subject_numbers(&known);
        let mut of_subject: Vec<Vec<usize>> = Vec::new();
        for (&row, number) in rows.iter().zip(numbers) {
            if of_subject.len() <= number {
                of_subject.resize_with(number + 1, Vec::new);
            }
            of_subject[number].push(row);
        }
        let purpose = format!("subjects of the trials of {} {inner}", self.name);
        of_subject.shuffle(&mut seeded(plan.seed, &purpose));
        let wanted = (share * rows.len() as f64).ceil() as usize;
        let mut taken = Vec::with_capacity(wanted);
        for subject in of_subject {
            if taken.len() >= wanted {
                break;
            }
            taken.extend(subject);
        }
        taken.sort_unstable();
        taken
    }
}
