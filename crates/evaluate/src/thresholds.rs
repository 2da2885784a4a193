//! Decisions at an age threshold: the false-positive rate of minors, and the pass rate of adults.
//!
//! A row is a *minor* where its true age is below the threshold and an *adult* where it is not; an
//! age known as a range counts where the whole range lies on one side. A person passes at a
//! *challenge age* where the lower decile of the predicted distribution is at least that. Each fit
//! chooses its challenge age, and the limit below which people are called under, on its validation
//! rows alone ([`AgeThreshold::choose`]); all rates here are of test rows.

use facefold_core::{AgeDecision, AgeTarget, AgeThreshold, DecisionAges, ErrorBound, Targets};
use serde::{Deserialize, Serialize};

use crate::attributes::{Attributes, Grouping};
use crate::cross_validate::CvPlan;
use crate::curves;
use crate::error::EvaluateError;
use crate::journal::{FitAges, FitRecord};
use crate::predictions::PredictedRow;
use crate::statistics::bootstrap::{Interval, bootstrap};
use crate::statistics::classical::clopper_pearson;
use crate::statistics::mean;
use crate::statistics::sums::{SubjectSums, numbers};

/// Adults older than the threshold by more than this are those who should almost never be refused.
pub const MARGIN: u32 = 12;
/// Challenge ages up to so many years above the threshold are listed.
const CHALLENGES: u32 = 15;
/// False adult rates at which the ROC is given.
const ROC_RATES: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// Minors are parted so many years below the threshold: 0-12, 13-15 and 16-17 of those under 18.
const BAND_STARTS: [u32; 2] = [5, 2];

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
#[must_use]
pub fn choose_thresholds(
    ages: &[u32],
    max_error: ErrorBound,
    predicted: &[DecisionAges],
    truth: &Targets,
) -> Vec<AgeThreshold> {
    let truth = true_ages(truth);
    ages.iter().map(|&age| choose(age, max_error, predicted, truth)).collect()
}

fn choose(
    age: u32,
    max_error: ErrorBound,
    predicted: &[DecisionAges],
    truth: &[AgeTarget],
) -> AgeThreshold {
    let of_class = |wanted: AgeClass, get: fn(&DecisionAges) -> f32| -> Vec<f32> {
        let rows = predicted.iter().zip(truth);
        rows.filter(|(_, truth)| age_class(**truth, age) == Some(wanted))
            .map(|(ages, _)| get(ages))
            .collect()
    };
    let minors = of_class(AgeClass::Minor, |ages| ages.lower_decile);
    let adults = of_class(AgeClass::Adult, |ages| ages.median);
    AgeThreshold::choose(age, max_error, &minors, &adults)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgeClass {
    Minor,
    Adult,
}

/// The true ages behind targets; none for classes.
fn true_ages(targets: &Targets) -> &[AgeTarget] {
    match targets {
        Targets::Regression(ages) => ages,
        Targets::Classes { .. } => &[],
    }
}

/// Minor or adult; `None` for a range across the threshold.
fn age_class(age: AgeTarget, threshold: u32) -> Option<AgeClass> {
    if age.high() < threshold as f32 {
        Some(AgeClass::Minor)
    } else if age.low() >= threshold as f32 {
        Some(AgeClass::Adult)
    } else {
        None
    }
}

/// The band of minors that all of an age lies in: `13-15`.
fn band(age: AgeTarget, threshold: u32) -> Option<String> {
    let inner = BAND_STARTS.iter().filter_map(|years| threshold.checked_sub(*years));
    let mut starts: Vec<u32> = std::iter::once(0).chain(inner).collect();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([threshold]);
    let inside = |&(start, end): &(u32, u32)| age.low() >= start as f32 && age.high() < end as f32;
    let (start, end) = starts.iter().copied().zip(ends).find(inside)?;
    Some(format!("{start}-{}", end - 1))
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

/// The test rows of all splits, with what one head predicts of them.
struct Tested<'a> {
    fits: Vec<(&'a FitRecord, &'a FitAges)>,
    /// Of all rows of the plan.
    plan_truth: Vec<AgeTarget>,
    truth: Vec<AgeTarget>,
    subjects: Vec<usize>,
    groupings: Vec<Grouping>,
    /// What decisions rest on, under each seed.
    predicted: Vec<Vec<DecisionAges>>,
}

impl<'a> Tested<'a> {
    fn new(
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
        Ok(Self { fits, plan_truth, truth, subjects: numbers(rows), groupings, predicted })
    }

    fn at(&self, age: u32, max_error: ErrorBound, plan: &CvPlan<'_>) -> ThresholdResult {
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
            decisions: strata.decisions(&outcomes).drawn(&outcomes, &strata, self, plan.seed),
            slices: self.slices(age, &outcomes),
        }
    }

    /// What each fit chooses on its validation rows.
    fn limits(&self, age: u32, max_error: ErrorBound, plan: &CvPlan<'_>) -> Vec<AgeThreshold> {
        let seeds = plan.seeds.len();
        let of_fit = |(number, (_, ages)): (usize, &(&FitRecord, &FitAges))| {
            let rows = &plan.splits[number / seeds].validation;
            let truth: Vec<AgeTarget> = rows.iter().map(|&row| self.plan_truth[row]).collect();
            choose(age, max_error, &ages.validation.decision_ages(), &truth)
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
            let passed =
                self.predicted.iter().filter(|column| column[row].lower_decile >= age as f32);
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
            of_row: self.truth.iter().map(|truth| band(*truth, age)).collect(),
            crossed: true,
        };
        let mut found = Vec::new();
        for grouping in
            [&bands].into_iter().chain(&self.groupings).filter(|grouping| grouping.crossed)
        {
            let mut names: Vec<&str> =
                grouping.of_row.iter().flatten().map(String::as_str).collect();
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

/// How often a row is called over and under, over seeds.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    over: f64,
    under: f64,
}

/// Which rows are minors, adults, and older than the threshold by more than the margin.
struct AgeStrata {
    minors: Vec<usize>,
    adults: Vec<usize>,
    older: Vec<usize>,
}

impl AgeStrata {
    fn new(truth: &[AgeTarget], threshold: u32) -> Self {
        Self::among(0..truth.len(), truth, threshold)
    }

    fn among(rows: impl Iterator<Item = usize>, truth: &[AgeTarget], threshold: u32) -> Self {
        let (mut minors, mut adults) = (Vec::new(), Vec::new());
        for row in rows {
            match age_class(truth[row], threshold) {
                Some(AgeClass::Minor) => minors.push(row),
                Some(AgeClass::Adult) => adults.push(row),
                None => {}
            }
        }
        let old = |row: &usize| truth[*row].low() > (threshold + MARGIN) as f32;
        let older = adults.iter().copied().filter(old).collect();
        Self { minors, adults, older }
    }

    fn decisions(&self, outcomes: &[Outcome]) -> Decisions {
        let over = |row: usize| outcomes[row].over;
        let under = |row: usize| outcomes[row].under;
        Decisions {
            minors_passed: Rate::of(&self.minors, over),
            minors_under: Rate::of(&self.minors, under),
            adults_passed: Rate::of(&self.adults, over),
            adults_under: Rate::of(&self.adults, under),
            older_passed: Rate::of(&self.older, over),
        }
    }

    /// The area under the ROC curve.
    fn auc(&self, scores: &[f32]) -> Option<f64> {
        let of = |rows: &[usize]| -> Vec<f32> { rows.iter().map(|&row| scores[row]).collect() };
        curves::auc(of(&self.minors), &of(&self.adults))
    }

    /// The largest fraction of adults that pass with at most each rate of minors, averaged over
    /// seeds.
    fn roc(&self, columns: &[Vec<f32>]) -> Vec<RocPoint> {
        if self.minors.is_empty() || self.adults.is_empty() {
            return Vec::new();
        }
        let passed = |scores: &Vec<f32>, rate: f64| {
            let mut minors: Vec<f32> = self.minors.iter().map(|&row| scores[row]).collect();
            minors.sort_unstable_by(|a, b| b.total_cmp(a));
            // Scores above that of the first minor who must not pass.
            let first =
                minors[((rate * minors.len() as f64).floor() as usize).min(minors.len() - 1)];
            let adults = self.adults.iter().filter(|&&row| scores[row] > first).count();
            adults as f64 / self.adults.len() as f64
        };
        let point = |&rate: &f64| {
            let fractions: Vec<f64> = columns.iter().map(|scores| passed(scores, rate)).collect();
            RocPoint { false_adult_rate: rate, adults_passed: mean(&fractions) }
        };
        ROC_RATES.iter().map(point).collect()
    }
}

impl Rate {
    fn of(rows: &[usize], value: impl Fn(usize) -> f64) -> Self {
        let hits: f64 = rows.iter().map(|&row| value(row)).sum();
        let share = (!rows.is_empty()).then(|| hits / rows.len() as f64);
        Self { rows: rows.len(), hits, share, interval: None }
    }

    /// With the exact interval for independent rows.
    fn exact(self) -> Self {
        let interval = self.share.map(|_| clopper_pearson(self.hits, self.rows));
        Self { interval, ..self }
    }

    /// With an interval that holds this one and the exact one.
    fn wide(self, drawn: Interval) -> Self {
        let exact = self.exact();
        let interval = exact.interval.map(|exact| Interval {
            low: exact.low.min(drawn.low),
            high: exact.high.max(drawn.high),
        });
        Self { interval, ..self }
    }
}

impl Decisions {
    fn exact(self) -> Self {
        Self {
            minors_passed: self.minors_passed.exact(),
            minors_under: self.minors_under.exact(),
            adults_passed: self.adults_passed.exact(),
            adults_under: self.adults_under.exact(),
            older_passed: self.older_passed.exact(),
        }
    }

    /// With intervals by drawing subjects.
    fn drawn(
        self,
        outcomes: &[Outcome],
        strata: &AgeStrata,
        tested: &Tested<'_>,
        seed: u64,
    ) -> Self {
        /// Of a row: 1 and its outcomes as a minor, as an adult, and as an older adult.
        const WIDTH: usize = 8;
        let mut values = vec![0.0; outcomes.len() * WIDTH];
        for (rows, at) in [(&strata.minors, 0), (&strata.adults, 3)] {
            for &row in rows {
                let outcome = outcomes[row];
                values[row * WIDTH + at..][..3].copy_from_slice(&[
                    1.0,
                    outcome.over,
                    outcome.under,
                ]);
            }
        }
        for &row in &strata.older {
            values[row * WIDTH + 6..][..2].copy_from_slice(&[1.0, outcomes[row].over]);
        }
        let sums = SubjectSums::of(&tested.subjects, WIDTH, &values);
        let rates = |sums: &[f64]| {
            vec![
                sums[1] / sums[0],
                sums[2] / sums[0],
                sums[4] / sums[3],
                sums[5] / sums[3],
                sums[7] / sums[6],
            ]
        };
        let drawn = bootstrap(&sums, &rates, seed);
        Self {
            minors_passed: self.minors_passed.wide(drawn[0].interval),
            minors_under: self.minors_under.wide(drawn[1].interval),
            adults_passed: self.adults_passed.wide(drawn[2].interval),
            adults_under: self.adults_under.wide(drawn[3].interval),
            older_passed: self.older_passed.wide(drawn[4].interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeTarget, DecisionAges, Targets};

    use super::{AgeClass, AgeStrata, Outcome, Rate, age_class, band, choose_thresholds};

    #[test]
    fn a_range_counts_unless_it_extends_across_the_threshold() {
        let range = |text: &str| text.parse::<AgeTarget>().unwrap();
        assert_eq!(age_class(AgeTarget::exact(17.9), 18), Some(AgeClass::Minor));
        assert_eq!(age_class(AgeTarget::exact(18.0), 18), Some(AgeClass::Adult));
        let sides = ["15-17", "15-20", "18-24", "70+"].map(|age| age_class(range(age), 18));
        let adult = Some(AgeClass::Adult);
        assert_eq!(sides, [Some(AgeClass::Minor), None, adult, adult]);
        let bands = ["13-15", "10-14", "3", "17"].map(|age| band(range(age), 18));
        let expected = [Some("13-15"), None, Some("0-12"), Some("16-17")];
        assert_eq!(bands, expected.map(|band| band.map(str::to_owned)));
        assert_eq!(band(AgeTarget::exact(18.0), 18), None);
        assert_eq!(["0", "3"].map(|age| band(range(age), 4).unwrap()), ["0-1", "2-3"]);
    }

    #[test]
    fn rates_and_auc_match_manual_counts() {
        let truth = [10.0, 17.0, 16.0, 18.0, 25.0, 30.0, 31.0, 60.0].map(AgeTarget::exact);
        let strata = AgeStrata::new(&truth, 18);
        assert_eq!(strata.minors, [0, 1, 2]);
        assert_eq!(strata.adults, [3, 4, 5, 6, 7]);
        assert_eq!(strata.older, [6, 7], "older than 30");
        // sklearn.metrics.roc_auc_score([0, 0, 0, 1, 1, 1, 1, 1], [.1, .6, .2, .5, .6, .9, 1, 1])
        let scores = [0.1, 0.6, 0.2, 0.5, 0.6, 0.9, 1.0, 1.0];
        assert!((strata.auc(&scores).unwrap() - 0.9).abs() < 1e-12);
        // With no minor passed, who has more than 0.6 passes; with one of three, more than 0.2.
        let roc = strata.roc(&[scores.to_vec()]);
        let at = |rate: f64| roc.iter().find(|point| point.false_adult_rate == rate).unwrap();
        assert_eq!((at(0.01).adults_passed, at(0.5).adults_passed), (0.6, 1.0));
        let mut outcomes = [Outcome::default(); 8];
        (outcomes[1].over, outcomes[0].under, outcomes[6].over) = (0.5, 1.0, 1.0);
        let decisions = strata.decisions(&outcomes);
        let fractions = [
            decisions.minors_passed,
            decisions.minors_under,
            decisions.adults_passed,
            decisions.adults_under,
            decisions.older_passed,
        ]
        .map(|rate| rate.share.unwrap());
        assert_eq!(fractions, [0.5 / 3.0, 1.0 / 3.0, 0.2, 0.0, 0.5]);
        let none = Rate::of(&[], |_| 1.0).exact();
        assert_eq!((none.share, none.interval), (None, None));
    }

    #[test]
    fn limits_of_several_thresholds_are_chosen_on_the_same_rows() {
        let truth = Targets::exact_years((0..400).map(|row| (row % 40) as f32).collect());
        let predicted: Vec<DecisionAges> =
            (0..400).map(|row| ((row % 40) as f32 + 1.5).into()).collect();
        let bound = "5%".parse().unwrap();
        let chosen = choose_thresholds(&[18, 25], bound, &predicted, &truth);
        // Those one year below a threshold are predicted half a year above it, 10 of 180 and of
        // 250; 11 are more than 5 % of 181, and not of 251.
        let limits: Vec<_> =
            chosen.iter().map(|limits| (limits.over_from, limits.minors)).collect();
        assert_eq!(limits, [(Some(19), 180), (Some(25), 250)]);
    }
}
