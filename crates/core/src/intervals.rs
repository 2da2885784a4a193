//! Intervals around predicted ages, calibrated on rows that the head was not fitted on.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::censored::{AgeInterval, age_probabilities};
use crate::targets::{PredictedTargets, Prediction};
use crate::threshold::quantile_age;

/// Share of true ages that is left outside at either end.
const TAIL: f64 = 0.1;
/// Rows of each bin of predicted ages, where a head predicts no distribution; fewer rows in all
/// make one bin.
const BIN_ROWS: usize = 150;
/// With fewer rows than this the outer tenths hold none.
const LEAST_ROWS: usize = 20;
/// A distribution narrower than this is not believed: labels are whole years.
const LEAST_DEVIATION: f32 = 0.5;
/// Steps in which the exponent of the widening is searched for.
const EXPONENT_STEP: f32 = 0.25;
/// The largest exponent of the widening.
const MOST_EXPONENT: f32 = 3.0;
/// The oldest age that an interval reaches.
const OLDEST: f32 = 116.0;
/// The exponent where too few unfamiliar rows are known: an interval widens as the distance grows.
const EXPONENT: f32 = 1.0;

/// A predicted age before it is rounded, and how sure the head is of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgeEstimate {
    /// The median of the predicted distribution in years, or the predicted number.
    pub median: f32,
    /// Standard deviation of the predicted distribution in years, at least half a year; none for a
    /// head that predicts a number only.
    pub deviation: Option<f32>,
}

impl AgeEstimate {
    /// The estimate that a distribution over the ages 0, 1, 2, … gives.
    ///
    /// ```
    /// use facefold_core::AgeEstimate;
    /// // Half each at the ages 20 and 30.
    /// let mut probabilities = [0.0; 117];
    /// (probabilities[20], probabilities[30]) = (0.5, 0.5);
    /// let estimate = AgeEstimate::of_distribution(&probabilities);
    /// assert_eq!((estimate.median, estimate.deviation), (20.5, Some(5.0)));
    /// ```
    #[must_use]
    pub fn of_distribution(probabilities: &[f32]) -> Self {
        let deviation = age_deviation(probabilities).max(LEAST_DEVIATION);
        Self { median: quantile_age(probabilities, 0.5), deviation: Some(deviation) }
    }

    /// The estimate of a head that predicts a number and no distribution.
    #[must_use]
    pub fn of_years(years: f32) -> Self {
        Self { median: years, deviation: None }
    }

    /// Estimates of some rows, from their distributions where the head predicts those, else from
    /// the predicted years; none where it predicts classes.
    #[must_use]
    pub fn of_prediction(prediction: &Prediction) -> Vec<Self> {
        match (&prediction.targets, &prediction.age_distribution) {
            (PredictedTargets::Classes(_), _) => Vec::new(),
            (PredictedTargets::Regression(_), Some(rows)) => {
                rows.rows().into_iter().map(|row| Self::of_distribution(&row.to_vec())).collect()
            }
            (PredictedTargets::Regression(years), None) => {
                years.iter().map(|&years| Self::of_years(years)).collect()
            }
        }
    }

    /// The unit in which residuals are measured.
    fn scale(&self) -> f32 {
        self.deviation.unwrap_or(1.0)
    }

    fn is_valid(&self) -> bool {
        self.median.is_finite() && self.scale().is_finite() && self.scale() > 0.0
    }
}

/// Standard deviation of a distribution over the ages 0, 1, 2, …, in years.
#[must_use]
pub fn age_deviation(probabilities: &[f32]) -> f32 {
    let years =
        || (0..).zip(probabilities).map(|(year, &share)| (f64::from(year), f64::from(share)));
    let mean: f64 = years().map(|(year, share)| year * share).sum();
    years().map(|(year, share)| share * (year - mean).powi(2)).sum::<f64>().sqrt() as f32
}

/// A row that the head was not fitted on, to calibrate intervals with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationRow {
    /// The prediction.
    pub estimate: AgeEstimate,
    /// The youngest and the oldest whole years that the true age may be; equal where it is exact.
    pub truth: (f32, f32),
    /// Sample weight, above 0: larger for rows of a small dataset, where datasets are balanced.
    pub weight: f64,
    /// Distance from the training faces, 1 at the border of the unfamiliar; 0 where not known.
    pub distance: f32,
    /// Number of the subject: rows with the same one show one person, whose residuals are alike.
    pub subject: usize,
}

impl CalibrationRow {
    fn is_valid(&self) -> bool {
        let (low, high) = self.truth;
        let weighs = self.weight.is_finite() && self.weight > 0.0;
        let numbers = [low, high, self.distance].iter().all(|value| value.is_finite());
        weighs && numbers && low <= high && self.estimate.is_valid()
    }
}

/// The whole years from a youngest on, each with its probability.
fn ages(youngest: f32, probabilities: &[f64]) -> impl Iterator<Item = (f32, f64)> {
    (0..).map(move |years: u16| youngest + f32::from(years)).zip(probabilities.iter().copied())
}

/// For each row the probability that its true age lies between two ends: 1 or 0 where it is exact.
/// For a range it is estimated from the errors of all rows, in units of half the width between
/// their ends (see [`age_probabilities`]). `None` for rows without a label.
#[must_use]
pub fn coverage_probabilities(
    truth: &[Option<(f32, f32)>],
    ends: &[(f32, f32)],
) -> Vec<Option<f64>> {
    let ranged = |(truth, &(low, high)): (&Option<(f32, f32)>, &(f32, f32))| {
        let unit = ((high - low) / 2.0).max(LEAST_DEVIATION);
        let predicted = f32::midpoint(low, high);
        truth.map(|truth| AgeInterval { truth, predicted, unit, weight: 1.0 })
    };
    let known: Vec<AgeInterval> = truth.iter().zip(ends).filter_map(ranged).collect();
    let mut probabilities = age_probabilities(&known).into_iter();
    let share = |(truth, &(low, high)): (&Option<(f32, f32)>, &(f32, f32))| {
        let ((youngest, _), probabilities) = ((*truth)?, probabilities.next()?);
        let inside = ages(youngest, &probabilities).filter(|(age, _)| (low..=high).contains(age));
        Some(inside.map(|(_, share)| share).sum())
    };
    truth.iter().zip(ends).map(share).collect()
}

/// Weights under which every group has the same total, of mean 1.
#[must_use]
pub fn balanced_weights(groups: &[usize]) -> Vec<f64> {
    let filled = groups.iter().filter(|&&rows| rows > 0).count() as f64;
    let all = groups.iter().sum::<usize>() as f64;
    groups.iter().flat_map(|&rows| std::iter::repeat_n(all / filled / rows as f64, rows)).collect()
}

/// Intervals in which eight of ten true ages lie, around the median of a predicted distribution.
///
/// Split conformal prediction with residuals in units of the distribution's standard deviation
/// (Lei et al., "Distribution-free predictive inference for regression", 2018, section 5.2), one
/// tail at a time. Where a head predicts no distribution, residuals are in years and bins of the
/// predicted age have intervals of their own (Mondrian; Boström and Johansson, 2020). Rows are
/// weighted (Tibshirani et al., "Conformal prediction under covariate shift", 2019), so that
/// datasets of unlike size can be balanced; a row known as a range counts for each of its years by
/// the probability of that (see [`age_probabilities`]).
///
/// Beyond the familiarity border, intervals widen by a power of the distance: the smallest with
/// which eight of ten unfamiliar calibration rows lie inside, or 1 where fewer than 20 are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeIntervals {
    /// Medians that part the bins, ascending; one less than there are bins.
    edges: Vec<f32>,
    /// Of each bin the ends of the interval below and above the median, in units of the standard
    /// deviation, or in years.
    factors: Vec<(f32, f32)>,
    /// Power of the distance by which intervals of unfamiliar faces widen.
    exponent: f32,
}

impl AgeIntervals {
    /// Intervals calibrated on rows that the head was not fitted on; none where there are fewer
    /// than 20, or a number is not finite.
    #[must_use]
    pub fn fit(rows: &[CalibrationRow]) -> Option<Self> {
        if rows.len() < LEAST_ROWS || !rows.iter().all(CalibrationRow::is_valid) {
            return None;
        }
        let mut rows = rows.to_vec();
        rows.sort_by(|a, b| a.estimate.median.total_cmp(&b.estimate.median));
        let unfamiliar: Vec<CalibrationRow> =
            rows.iter().copied().filter(|row| row.distance > 1.0).collect();
        if unfamiliar.len() < LEAST_ROWS {
            return Some(Self::with_exponent(&rows, EXPONENT));
        }
        let steps = (MOST_EXPONENT / EXPONENT_STEP) as u8;
        let exponents = (0..=steps).map(|step| f32::from(step) * EXPONENT_STEP);
        let mut fits = exponents.map(|exponent| Self::with_exponent(&rows, exponent));
        let enough = |fit: &Self| fit.coverage(&unfamiliar) >= 1.0 - 2.0 * TAIL;
        Some(fits.find(enough).unwrap_or_else(|| Self::with_exponent(&rows, MOST_EXPONENT)))
    }

    /// Intervals calibrated on rows in the order of their medians.
    fn with_exponent(rows: &[CalibrationRow], exponent: f32) -> Self {
        let starts = bins(rows);
        let ends = starts.iter().skip(1).copied().chain([rows.len()]);
        let edges = starts[1..].iter().map(|&start| rows[start].estimate.median).collect();
        let factors = starts.iter().zip(ends).map(|(&start, end)| {
            let mut residuals = residuals(&rows[start..end], exponent);
            residuals.sort_by(|a, b| a.0.total_cmp(&b.0));
            let spare = spare(&rows[start..end]);
            let low = outermost(residuals.iter().copied(), spare);
            let high = outermost(residuals.iter().rev().copied(), spare);
            // The median itself always lies inside.
            ((-low).max(0.0), high.max(0.0))
        });
        Self { factors: factors.collect(), edges, exponent }
    }

    /// Both ends of the interval around an estimate, in years; none below 0. `distance` is the
    /// face's from the training faces, 1 at the border of the unfamiliar; 0 where it is not known.
    #[must_use]
    pub fn around(&self, estimate: &AgeEstimate, distance: f32) -> (f32, f32) {
        let bin = self.edges.partition_point(|&edge| edge <= estimate.median);
        let (low, high) = self.factors.get(bin).copied().unwrap_or_default();
        let unit = widening(self.exponent, distance) * estimate.scale();
        let end = |years: f32| (estimate.median + years).clamp(0.0, OLDEST);
        (end(-low * unit), end(high * unit))
    }

    /// Weighted share of rows whose true age lies inside; of a range the probability that it does.
    #[must_use]
    pub fn coverage(&self, rows: &[CalibrationRow]) -> f64 {
        let truth: Vec<_> = rows.iter().map(|row| Some(row.truth)).collect();
        let ends: Vec<_> =
            rows.iter().map(|row| self.around(&row.estimate, row.distance)).collect();
        let probabilities = coverage_probabilities(&truth, &ends);
        let inside =
            probabilities.into_iter().flatten().zip(rows).map(|(share, row)| row.weight * share);
        inside.sum::<f64>() / rows.iter().map(|row| row.weight).sum::<f64>()
    }

    /// Whether the parts fit together, as those of [`Self::fit`] do.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let positive = |value: f32| value.is_finite() && value >= 0.0;
        let factors = self.factors.iter().all(|&(low, high)| positive(low) && positive(high));
        let parted = self.factors.len() == self.edges.len() + 1 && self.edges.is_sorted();
        parted && factors && positive(self.exponent)
    }
}

/// By how much an interval widens at a distance, 1 at the border of the unfamiliar.
fn widening(exponent: f32, distance: f32) -> f32 {
    distance.max(1.0).powf(exponent)
}

/// How far the ages that the true ones may be lie from the medians, each with its part of its row's
/// weight.
fn residuals(rows: &[CalibrationRow], exponent: f32) -> Vec<(f32, f64)> {
    let ranged: Vec<AgeInterval> = rows
        .iter()
        .map(|row| AgeInterval {
            truth: row.truth,
            predicted: row.estimate.median,
            unit: widening(exponent, row.distance) * row.estimate.scale(),
            weight: row.weight,
        })
        .collect();
    let mut residuals = Vec::with_capacity(rows.len());
    for (row, probabilities) in ranged.iter().zip(age_probabilities(&ranged)) {
        let of_age = |(age, share)| ((age - row.predicted) / row.unit, row.weight * share);
        residuals.extend(ages(row.truth.0, &probabilities).map(of_age));
    }
    residuals
}

/// Where bins of rows in the order of their medians begin, each of at least [`LEAST_ROWS`]; one bin
/// where heads predict a distribution.
///
/// Rows of one median stay together: where ages are predicted in whole years, many are equal. A bin
/// ends before them or after them.
fn bins(rows: &[CalibrationRow]) -> Vec<usize> {
    let scaled = rows.iter().all(|row| row.estimate.deviation.is_some());
    let bins = if scaled { 1 } else { (rows.len() / BIN_ROWS).max(1) };
    let around = |bin: usize| {
        let median = rows[rows.len() * bin / bins].estimate.median;
        [
            rows.partition_point(|row| row.estimate.median < median),
            rows.partition_point(|row| row.estimate.median <= median),
        ]
    };
    let mut starts = vec![0];
    for start in (1..bins).flat_map(around) {
        let apart = start >= starts[starts.len() - 1] + LEAST_ROWS;
        if apart && start + LEAST_ROWS <= rows.len() {
            starts.push(start);
        }
    }
    starts
}

/// The weight that may lie outside at one end: a tenth of all, with the new row's own. That weighs what a row
/// drawn by weight does; of n equal ones, one of n + 1.
///
/// Rows of one subject miss together, by as much as their residuals are correlated: the new row then stands
/// for 1 + (m - 1) rho rows of the m of its subject (the design effect of Kish, "Survey Sampling", 1965), which
/// must not lie outside either; [`outermost`] leaves out one of them.
fn spare(rows: &[CalibrationRow]) -> f64 {
    let sum: f64 = rows.iter().map(|row| row.weight).sum();
    let mut of_subjects: HashMap<usize, f64> = HashMap::new();
    for row in rows {
        *of_subjects.entry(row.subject).or_default() += row.weight;
    }
    let mean_of = |weight: &dyn Fn(&CalibrationRow) -> f64| {
        rows.iter().map(|row| row.weight * weight(row)).sum::<f64>() / sum
    };
    let new_row = mean_of(&|row| row.weight);
    let others = mean_of(&|row| of_subjects[&row.subject]) - new_row;
    let others = if others > 0.0 { others * intraclass_correlation(rows) } else { 0.0 };
    TAIL * (sum + new_row) - (1.0 - TAIL) * others
}

/// How much of the variance of residuals lies between subjects, 0 to 1: the intraclass correlation by analysis
/// of variance for groups of unlike size (Donner, "A review of inference procedures for the intraclass
/// correlation coefficient", 1986). 1 where all rows are of one subject.
fn intraclass_correlation(rows: &[CalibrationRow]) -> f64 {
    let residual = |row: &CalibrationRow| {
        let truth = f32::midpoint(row.truth.0, row.truth.1);
        f64::from((truth - row.estimate.median) / row.estimate.scale())
    };
    // Rows, sum and sum of squares of each subject, in a fixed order.
    let mut subjects: BTreeMap<usize, [f64; 3]> = BTreeMap::new();
    for row in rows {
        let sums = subjects.entry(row.subject).or_default();
        let residual = residual(row);
        for (sum, value) in sums.iter_mut().zip([1.0, residual, residual * residual]) {
            *sum += value;
        }
    }
    let (n, k) = (rows.len() as f64, subjects.len() as f64);
    let total = |column: usize| subjects.values().map(|sums| sums[column]).sum::<f64>();
    let explained: f64 = subjects.values().map(|sums| sums[1] * sums[1] / sums[0]).sum();
    let between = (explained - total(1).powi(2) / n) / (k - 1.0);
    let within = (total(2) - explained) / (n - k);
    let size = (n - subjects.values().map(|sums| sums[0] * sums[0]).sum::<f64>() / n) / (k - 1.0);
    let correlation = (between - within) / (between + (size - 1.0) * within);
    if correlation.is_finite() { correlation.clamp(0.0, 1.0) } else { 1.0 }
}

/// Of residuals from the outermost inwards, with their weights, the last up to which no more than
/// the spare weight lies: a new row lies beyond it with at most the probability of a tail.
fn outermost(residuals: impl Iterator<Item = (f32, f64)>, spare: f64) -> f32 {
    let (mut reached, mut outermost) = (0.0, None);
    for (residual, weight) in residuals {
        reached += weight;
        // Sums of equal weights miss their product by a rounding error.
        if outermost.is_some() && reached > spare * (1.0 + 1e-9) {
            break;
        }
        outermost = Some(residual);
    }
    outermost.unwrap_or_default()
}

#[cfg(test)]
mod tests;
