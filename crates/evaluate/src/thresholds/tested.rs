//! Decisions on the test rows of all splits, by the limits that each fit chose.

use std::sync::Arc;

use facefold_core::{AgeDecision, AgeTarget, AgeThreshold, DecisionAges, ErrorBound, Familiarity};

use super::strata::{AgeStrata, Outcome, band};
use super::{ChallengeAge, ChosenLimits, DecisionSlice, Rate, ThresholdResult, choose, true_ages};
use crate::attributes::Grouping;
use crate::cross_validate::CvPlan;
use crate::error::EvaluateError;
use crate::journal::{FitAges, FitRecord};
use crate::predictions::PredictedRow;
use crate::statistics::mean;
use crate::statistics::sums::numbers;

/// Challenge ages up to so many years above the threshold are listed.
const CHALLENGES: u32 = 15;

/// The test rows of all splits, with what one head predicts of them.
pub(super) struct Tested<'a> {
    fits: Vec<(&'a FitRecord, &'a FitAges)>,
    /// Of all rows of the plan.
    plan_truth: Vec<AgeTarget>,
    truth: Vec<AgeTarget>,
    subjects: Vec<usize>,
    groupings: Vec<Grouping>,
    /// What decisions rest on, under each seed.
    predicted: Vec<Vec<DecisionAges>>,
    /// Whether nothing is decided, as the face is unlike the training faces; under each seed.
    unfamiliar: Vec<Vec<bool>>,
}

impl<'a> Tested<'a> {
    pub(super) fn new(
        plan: &CvPlan<'_>,
        fits: Vec<(&'a FitRecord, &'a FitAges)>,
        rows: &[PredictedRow],
        groupings: Vec<Grouping>,
    ) -> Result<Self, EvaluateError> {
        let seeds = plan.seeds.len();
        for (number, (_, ages)) in fits.iter().enumerate() {
            let split = &plan.splits[number / seeds];
            let found = (ages.validation.len(), ages.test.len());
            let expected = (split.validation.len(), split.test.len());
            if found != expected {
                return Err(EvaluateError::Inconsistent(format!(
                    "predicted ages for {found:?} validation and test rows of `{}`, which has \
                     {expected:?}",
                    split.name
                )));
            }
        }
        let plan_truth = true_ages(&plan.targets).to_vec();
        let tested = plan.splits.iter().flat_map(|split| &split.test);
        let truth = tested.map(|&row| plan_truth[row]).collect();
        let of_seed = |seed: usize| -> Vec<DecisionAges> {
            let fits = fits.iter().skip(seed).step_by(seeds);
            fits.flat_map(|(_, ages)| ages.test.decision_ages()).collect()
        };
        let predicted = (0..seeds).map(of_seed).collect();
        let unfamiliar = |seed: usize| -> Vec<bool> {
            let fits = fits.iter().skip(seed).step_by(seeds);
            fits.flat_map(|(fit, ages)| unfamiliar_rows(fit, ages.test.len())).collect()
        };
        let unfamiliar = (0..seeds).map(unfamiliar).collect();
        let subjects = numbers(rows);
        Ok(Self { fits, plan_truth, truth, subjects, groupings, predicted, unfamiliar })
    }

    pub(super) fn at(&self, age: u32, max_error: ErrorBound, plan: &CvPlan<'_>) -> ThresholdResult {
        let strata = AgeStrata::new(&self.truth, age);
        let limits = self.limits(age, max_error, plan);
        let deciles: Vec<Vec<f32>> = self
            .predicted
            .iter()
            .map(|column| column.iter().map(|ages| ages.lower_decile).collect())
            .collect();
        let probabilities = self.probabilities_over(age);
        let scores = probabilities.as_ref().unwrap_or(&deciles);
        let last = limits.iter().filter_map(|limits| limits.over_from).max();
        let last = last.unwrap_or_default().max(age + CHALLENGES);
        let outcomes = self.outcomes(&limits, plan);
        let area = |columns: &[Vec<f32>]| {
            let areas: Option<Vec<f64>> = columns.iter().map(|scores| strata.auc(scores)).collect();
            areas.map(|areas| mean(&areas))
        };
        ThresholdResult {
            age,
            max_error,
            has_distribution: probabilities.is_some(),
            minors: strata.minors.len(),
            adults: strata.adults.len(),
            not_counted: self.truth.len() - strata.minors.len() - strata.adults.len(),
            auc: area(scores),
            auc_of_age: area(&deciles),
            roc: strata.roc(scores),
            challenges: (age..=last).map(|limit| self.challenge(limit, &strata)).collect(),
            chosen: self.chosen(&limits),
            decisions: strata.decisions(&outcomes).drawn(
                &outcomes,
                &strata,
                &self.subjects,
                plan.seed,
            ),
            slices: self.slices(age, &outcomes),
        }
    }

    /// What each fit chooses on its validation rows.
    fn limits(&self, age: u32, max_error: ErrorBound, plan: &CvPlan<'_>) -> Vec<AgeThreshold> {
        let seeds = plan.seeds.len();
        let of_fit = |(number, (_, ages)): (usize, &(&FitRecord, &FitAges))| {
            let rows = &plan.splits[number / seeds].validation;
            let truth: Vec<AgeTarget> = rows.iter().map(|&row| self.plan_truth[row]).collect();
            let subjects: Vec<&str> =
                rows.iter().map(|&row| plan.rows[row].subject_name()).collect();
            choose(age, max_error, &ages.validation.decision_ages(), &truth, &subjects)
        };
        self.fits.iter().enumerate().map(of_fit).collect()
    }

    fn chosen(&self, limits: &[AgeThreshold]) -> Vec<ChosenLimits> {
        let of_fit = |((fit, _), &limits): (&(&FitRecord, &FitAges), &AgeThreshold)| ChosenLimits {
            split: fit.id.split.clone(),
            seed: fit.id.seed,
            limits,
        };
        self.fits.iter().zip(limits).map(of_fit).collect()
    }

    /// Probabilities of being at least this old, under each seed.
    fn probabilities_over(&self, age: u32) -> Option<Vec<Vec<f32>>> {
        let seeds = self.predicted.len();
        let of_seed = |seed: usize| -> Option<Vec<f32>> {
            let fits = self.fits.iter().skip(seed).step_by(seeds);
            let parts: Option<Vec<_>> =
                fits.map(|(_, ages)| ages.test.probabilities_over(age)).collect();
            Some(parts?.concat())
        };
        (0..seeds).map(of_seed).collect()
    }

    /// How often each row is called over and under by the limits of its fits.
    fn outcomes(&self, limits: &[AgeThreshold], plan: &CvPlan<'_>) -> Vec<Outcome> {
        let seeds = plan.seeds.len();
        let weight = 1.0 / seeds as f64;
        let fit_of_row = plan.splits.iter().enumerate();
        let splits: Vec<usize> = fit_of_row
            .flat_map(|(number, split)| std::iter::repeat_n(number, split.test.len()))
            .collect();
        let outcome = |(row, split): (usize, &usize)| {
            let mut outcome = Outcome::default();
            for (seed, predicted) in self.predicted.iter().enumerate() {
                if self.unfamiliar[seed][row] {
                    continue;
                }
                match limits[split * seeds + seed].decide(predicted[row]) {
                    AgeDecision::Over => outcome.over += weight,
                    AgeDecision::Under => outcome.under += weight,
                    AgeDecision::Undecided => {}
                }
            }
            outcome
        };
        splits.iter().enumerate().map(outcome).collect()
    }

    fn challenge(&self, age: u32, strata: &AgeStrata) -> ChallengeAge {
        let passes = |row: usize| {
            let seeds = self.predicted.iter().zip(&self.unfamiliar);
            let passed = seeds.filter(|(ages, unfamiliar)| {
                !unfamiliar[row] && ages[row].lower_decile >= age as f32
            });
            passed.count() as f64 / self.predicted.len() as f64
        };
        ChallengeAge {
            age,
            minors_passed: Rate::of(&strata.minors, passes),
            adults_refused: Rate::of(&strata.adults, |row| 1.0 - passes(row)),
            older_passed: Rate::of(&strata.older, passes),
        }
    }

    /// The decisions by band of minors' ages, and by every attribute with names that parts the
    /// rows.
    fn slices(&self, age: u32, outcomes: &[Outcome]) -> Vec<DecisionSlice> {
        let bands = Grouping {
            name: "true age".to_owned(),
            of_row: self.truth.iter().map(|truth| band(*truth, age).map(Arc::from)).collect(),
            crossed: true,
        };
        let mut found = Vec::new();
        for grouping in
            [&bands].into_iter().chain(&self.groupings).filter(|grouping| grouping.crossed)
        {
            let mut names: Vec<&str> =
                grouping.of_row.iter().flatten().map(|name| &**name).collect();
            names.sort_unstable();
            names.dedup();
            if names.len() < 2 {
                continue;
            }
            for name in names {
                let rows = (0..self.truth.len())
                    .filter(|&row| grouping.of_row[row].as_deref() == Some(name));
                let strata = AgeStrata::among(rows, &self.truth, age);
                found.push(DecisionSlice {
                    attribute: grouping.name.clone(),
                    name: name.to_owned(),
                    decisions: strata.decisions(outcomes).exact(),
                });
            }
        }
        found
    }
}

/// Whether each test row of a fit is unfamiliar; none is where familiarity was not calibrated.
fn unfamiliar_rows(fit: &FitRecord, rows: usize) -> Vec<bool> {
    match &fit.familiarity {
        Some(scores) => scores.iter().map(|&score| score < Familiarity::UNFAMILIAR_BELOW).collect(),
        None => vec![false; rows],
    }
}
