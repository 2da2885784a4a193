//! The inner splits of a split: parts of its training and validation rows, never test rows.

use facefold_core::Head;
use facefold_core::rng::seeded;
use rand::seq::SliceRandom;

use super::InnerValidation;
use crate::cross_validate::CvPlan;
use crate::error::EvaluateError;
use crate::protocol::Protocol;
use crate::row_info::{RowInfo, subject_numbers};
use crate::split::{CvSplit, plan as divide};

/// A split of a plan, without its test rows.
pub(super) struct InnerSplits {
    pub(super) name: String,
    /// Training rows, rows to choose the epoch by, and rows to score, of each inner split.
    inner: Vec<[Vec<usize>; 3]>,
}

impl InnerSplits {
    /// Divides the training side of a split; its test rows are not read.
    pub(super) fn new(
        plan: &CvPlan<'_>,
        split: &CvSplit,
        inner: InnerValidation,
    ) -> Result<Self, EvaluateError> {
        let CvSplit { name, train, validation, .. } = split;
        let inner = match inner {
            InnerValidation::HoldOut if validation.is_empty() => {
                return Err(EvaluateError::TooFew(format!(
                    "split `{name}` has no validation rows to choose settings by"
                )));
            }
            InnerValidation::HoldOut => {
                vec![[train.clone(), validation.clone(), validation.clone()]]
            }
            InnerValidation::Folds(folds) => {
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

    /// Number of inner splits.
    pub(super) fn inner(&self) -> usize {
        self.inner.len()
    }

    /// The splits of a trial with a fraction of the budget, of which `of_subjects` is taken in
    /// training subjects. Their names have the head's settings and the fraction, for the journal.
    pub(super) fn splits(
        &self,
        plan: &CvPlan<'_>,
        head: &dyn Head,
        share: f64,
        of_subjects: f64,
    ) -> Vec<CvSplit> {
        let settings = blake3::hash(head.settings().to_string().as_bytes()).to_hex();
        self.inner
            .iter()
            .enumerate()
            .map(|(number, [train, validation, scored])| CvSplit {
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
