//! Decisions at an age threshold: the false-positive rate of minors, and the pass rate of adults.
//!
//! A row is a *minor* where its true age is below the threshold and an *adult* where it is not; an
//! age known as a range counts where the whole range lies on one side. A person passes at a
//! *challenge age* where the lower decile of the predicted distribution is at least that. Each fit
//! chooses its challenge age, and the limit below which people are called under, on its validation
//! rows alone ([`AgeThreshold::choose`]); all rates here are of test rows.

mod strata;
mod tested;

use std::collections::BTreeMap;

use facefold_core::{AgeTarget, AgeThreshold, DecisionAges, ErrorBound, Targets};
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::cross_validate::CvPlan;
use crate::error::EvaluateError;
use crate::journal::FitRecord;
use crate::predictions::PredictedRow;
use crate::statistics::bootstrap::Interval;

use strata::{AgeClass, age_class};
use tested::Tested;

/// Adults older than the threshold by more than this are those who should almost never be refused.
pub const MARGIN: u32 = 12;

/// What decisions to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds<'a> {
    /// The thresholds, in years.
    pub ages: Vec<u32>,
    /// Largest fraction of minors called over, and of adults called under.
    pub max_error: ErrorBound,
    /// What is known of the rows, for slices by everything that has names.
    pub attributes: &'a Attributes,
}

/// One head's decisions at one threshold. Rates are averaged over seeds first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// The threshold, in years.
    pub age: u32,
    /// Bound on the error rate that the limits were chosen for.
    pub max_error: ErrorBound,
    /// Whether the head predicts a distribution over years, whose quantiles decide; else its
    /// predicted years do.
    pub has_distribution: bool,
    /// Test rows below the threshold.
    pub minors: usize,
    /// Test rows at or above it.
    pub adults: usize,
    /// Test rows that count as neither: ages known as a range on both sides of the threshold.
    pub not_counted: usize,
    /// Area under the ROC curve of the probability of being that old, or of the predicted years:
    /// how often an adult has more of it than a minor.
    pub auc: Option<f64>,
    /// The same of the age that decides who passes.
    pub auc_of_age: Option<f64>,
    /// Points of the ROC curve that [`Self::auc`] is the area under.
    pub roc: Vec<RocPoint>,
    /// What each challenge age gives, if all fits used it.
    pub challenges: Vec<ChallengeAge>,
    /// What each fit chose, splits first.
    pub chosen: Vec<ChosenLimits>,
    /// Rates at the chosen limits.
    pub decisions: Decisions,
    /// The same on parts of the rows.
    pub slices: Vec<DecisionSlice>,
}

/// A fraction of rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Number of rows.
    pub rows: usize,
    /// Rows that count, averaged over seeds.
    pub hits: f64,
    /// hits / rows; `None` without rows.
    pub share: Option<f64>,
    /// 95 % interval. Over all rows: by drawing subjects with replacement, and no narrower than the
    /// exact one for independent rows, as the bootstrap sees nothing where there is no error. In
    /// slices the exact one. `None` where it was not requested.
    pub interval: Option<Interval>,
}

/// A point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Largest fraction of minors that pass.
    pub false_adult_rate: f64,
    /// Fraction of adults that pass.
    pub adults_passed: f64,
}

/// What one challenge age gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChallengeAge {
    /// In years.
    pub age: u32,
    /// Minors whose lower decile is at least that: the false adult rate.
    pub minors_passed: Rate,
    /// Adults whose lower decile is below.
    pub adults_refused: Rate,
    /// Those older than the threshold by more than [`MARGIN`] years who pass.
    pub older_passed: Rate,
}

/// The limits that one fit chose on its validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenLimits {
    /// The split's name.
    pub split: String,
    /// The seed.
    pub seed: u64,
    /// What it chose.
    pub limits: AgeThreshold,
}

/// Decisions on some rows; the rows that are neither over nor under are undecided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// Minors called over.
    pub minors_passed: Rate,
    /// Minors called under.
    pub minors_under: Rate,
    /// Adults called over.
    pub adults_passed: Rate,
    /// Adults called under.
    pub adults_under: Rate,
    /// Those older than the threshold by more than [`MARGIN`] years who are called over.
    pub older_passed: Rate,
}

/// Decisions on a part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionSlice {
    /// `gender`, `true age`.
    pub attribute: String,
    /// What its rows have in common.
    pub name: String,
    /// What is decided about them.
    pub decisions: Decisions,
}

/// Limits for each threshold, chosen on predictions for people that the head was not fitted on.
/// `subjects` are names or numbers, one a row: rows of one subject count as one.
#[must_use]
pub fn choose_thresholds<S: Ord>(
    ages: &[u32],
    max_error: ErrorBound,
    predicted: &[DecisionAges],
    truth: &Targets,
    subjects: &[S],
) -> Vec<AgeThreshold> {
    let truth = true_ages(truth);
    ages.iter().map(|&age| choose(age, max_error, predicted, truth, subjects)).collect()
}

fn choose<S: Ord>(
    age: u32,
    max_error: ErrorBound,
    predicted: &[DecisionAges],
    truth: &[AgeTarget],
    subjects: &[S],
) -> AgeThreshold {
    let of_class = |wanted: AgeClass, get: fn(&DecisionAges) -> f32| -> Vec<Vec<f32>> {
        let mut found: BTreeMap<&S, Vec<f32>> = BTreeMap::new();
        for ((ages, truth), subject) in predicted.iter().zip(truth).zip(subjects) {
            if age_class(*truth, age) == Some(wanted) {
                found.entry(subject).or_default().push(get(ages));
            }
        }
        found.into_values().collect()
    };
    let minors = of_class(AgeClass::Minor, |ages| ages.lower_decile);
    let adults = of_class(AgeClass::Adult, |ages| ages.median);
    AgeThreshold::choose_by_subject(age, max_error, &minors, &adults)
}

/// The true ages behind targets; none for classes.
fn true_ages(targets: &Targets) -> &[AgeTarget] {
    match targets {
        Targets::Regression(ages) => ages,
        Targets::Classes { .. } => &[],
    }
}

impl Thresholds<'_> {
    /// The decisions of one head. `fits` are its fits, splits first, `rows` the test rows of all
    /// splits; empty for a classifier.
    ///
    /// # Errors
    /// [`EvaluateError::Inconsistent`] where a fit has predictions for another number of rows than
    /// its split.
    pub(crate) fn evaluate(
        &self,
        plan: &CvPlan<'_>,
        fits: &[FitRecord],
        rows: &[PredictedRow],
    ) -> Result<Vec<ThresholdResult>, EvaluateError> {
        let of_ages = fits.iter().map(|fit| Some((fit, fit.ages.as_ref()?)));
        let Some(fits) = of_ages.collect::<Option<Vec<_>>>() else { return Ok(Vec::new()) };
        let tested = Tested::new(plan, fits, rows, self.attributes.groupings(rows))?;
        Ok(self.ages.iter().map(|&age| tested.at(age, self.max_error, plan)).collect())
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{DecisionAges, Targets};

    use super::choose_thresholds;

    #[test]
    fn limits_of_several_thresholds_are_chosen_on_the_same_rows() {
        let truth = Targets::exact_years((0..400).map(|row| (row % 40) as f32).collect());
        let predicted: Vec<DecisionAges> =
            (0..400).map(|row| ((row % 40) as f32 + 1.5).into()).collect();
        let bound = "5%".parse().unwrap();
        let alone: Vec<usize> = (0..400).collect();
        let chosen = choose_thresholds(&[18, 25], bound, &predicted, &truth, &alone);
        // Those one year below a threshold are predicted half a year above it, 10 of 180 and of
        // 250; 11 are more than 5 % of 181, and not of 251.
        let limits: Vec<_> =
            chosen.iter().map(|limits| (limits.over_from, limits.minors)).collect();
        assert_eq!(limits, [(Some(19), 180), (Some(25), 250)]);
        // Two pictures of each are half as many people, who are too few for the same limit: 5 of 90 and a new one.
        let pairs: Vec<usize> = (0..400).map(|row| row % 200).collect();
        let chosen = choose_thresholds(&[18], bound, &predicted, &truth, &pairs);
        assert_eq!((chosen[0].over_from, chosen[0].minors), (Some(19), 90));
    }
}
