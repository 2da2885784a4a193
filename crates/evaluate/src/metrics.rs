//! Metrics: accuracies, recall, calibration, and errors in years.

mod metric;
mod predicted_values;

use facefold_core::{AgeTarget, Targets, exact_rows};
use serde::{Deserialize, Serialize};

use crate::curves::mean_auc;
use crate::error::EvaluateError;

pub use metric::Metric;
pub use predicted_values::PredictedValues;

/// Number of confidence bins of the calibration error.
const BINS: usize = 15;

/// The cumulative score is kept for 0 to this many years.
pub const CURVE_YEARS: usize = 20;

/// Everything measured on one list of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metrics {
    /// Of a classification.
    Classes(ClassMetrics),
    /// Of an age regression.
    Regression(AgeMetrics),
}

/// Metrics of a classification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Fraction of rows predicted with their class.
    pub accuracy: f64,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: f64,
    /// Fraction of rows predicted with their class or an adjacent one; only where classes have an
    /// order.
    pub one_off_accuracy: Option<f64>,
    /// Fraction of each class's rows predicted with it; none for a class without rows.
    pub recall: Vec<Option<f64>>,
    /// Rows of class `i` predicted with class `j`, at `[i][j]`.
    pub confusion: Vec<Vec<u64>>,
    /// How far confidence and accuracy lie apart.
    pub calibration: Calibration,
    /// Area under the ROC curve ([`Metric::RocAuc`]); none without rows of two classes, and in reports
    /// from before it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
}

/// Expected calibration error (Guo et al. 2017): 15 bins of equal width, each weighted by its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The weighted mean of |accuracy - confidence| over bins.
    pub error: f64,
    /// The bins that have rows, by rising confidence.
    pub bins: Vec<ReliabilityBin>,
}

/// Rows whose prediction had about the same probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower bound of the probability, excluded.
    pub low: f64,
    /// Upper bound, included.
    pub high: f64,
    /// Number of rows.
    pub rows: usize,
    /// Mean probability.
    pub confidence: f64,
    /// Share predicted with their class.
    pub accuracy: f64,
}

/// Metrics of a regression of years, of at least one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeMetrics {
    /// Of the rows with an exact age.
    #[serde(flatten)]
    pub exact: Option<ExactAgeMetrics>,
    /// Of the rows whose age is known as a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<AgeRangeMetrics>,
}

/// Metrics of rows whose age is known as a range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AgeRangeMetrics {
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Fraction of rows predicted inside their range.
    pub inside: f64,
    /// Mean distance in years to the range, 0 inside it.
    pub mean_distance: f64,
}

/// Metrics of rows with an exact age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExactAgeMetrics {
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Mean of |predicted - true| in years.
    pub mean_absolute_error: f64,
    /// Root of the mean of (predicted - true)² in years; none in reports from before it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_mean_squared_error: Option<f64>,
    /// Mean of predicted - true in years: above 0 where people are taken for older.
    pub mean_error: f64,
    /// Pearson's correlation of predicted and true years; none where either is the same everywhere.
    pub correlation: Option<f64>,
    /// Fraction of rows with an error of at most `t` years, at index `t` from 0 to [`CURVE_YEARS`].
    pub cumulative_score: Vec<f64>,
}

impl Metrics {
    /// Measures predictions against targets; none where there are no rows. `ordered` classes have
    /// neighbours, as age groups do.
    ///
    /// # Errors
    /// [`EvaluateError::Inconsistent`] where counts, kinds or class indices do not fit together.
    pub fn measure(
        predicted_values: &PredictedValues,
        targets: &Targets,
        ordered: bool,
    ) -> Result<Option<Self>, EvaluateError> {
        if predicted_values.len() != targets.len() {
            return Err(EvaluateError::Inconsistent(format!(
                "{} predictions for {} rows",
                predicted_values.len(),
                targets.len()
            )));
        }
        if predicted_values.is_empty() {
            return Ok(None);
        }
        match (predicted_values, targets) {
            (PredictedValues::Classes { predicted, probabilities }, Targets::Classes { indices, count }) => {
                if let Some(class) = predicted.iter().chain(indices).find(|&class| class >= count) {
                    return Err(EvaluateError::Inconsistent(format!(
                        "expected classes below {count}, found {class}"
                    )));
                }
                if probabilities.len() != count * predicted.len() {
                    return Err(EvaluateError::Inconsistent(format!(
                        "expected probabilities of {count} classes for {} rows, found {}",
                        predicted.len(),
                        probabilities.len()
                    )));
                }
                Ok(Some(Self::Classes(ClassMetrics {
                    auc: mean_auc(probabilities, indices, *count),
                    ..ClassMetrics::measure(predicted_values, predicted, indices, *count, ordered)
                })))
            }
            (PredictedValues::Regression(predicted), Targets::Regression(years)) => {
                Ok(Some(Self::Regression(AgeMetrics::measure(predicted, years))))
            }
            _ => Err(EvaluateError::Inconsistent(
                "a head's predictions and the targets are of different kinds: expected both classes or both ages"
                    .to_owned(),
            )),
        }
    }

    /// The value of one metric, where it is measured.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match (self, metric) {
            (Self::Classes(classes), Metric::Accuracy) => Some(classes.accuracy),
            (Self::Classes(classes), Metric::BalancedAccuracy) => Some(classes.balanced_accuracy),
            (Self::Classes(classes), Metric::OneOffAccuracy) => classes.one_off_accuracy,
            (Self::Classes(classes), Metric::CalibrationError) => Some(classes.calibration.error),
            (Self::Classes(classes), Metric::MacroF1) => Some(classes.macro_f1()),
            (Self::Classes(classes), Metric::CohensKappa) => classes.cohens_kappa(),
            (Self::Classes(classes), Metric::RocAuc) => classes.auc,
            (Self::Regression(years), _) => years.get(metric),
            _ => None,
        }
    }

    /// Number of rows that a metric is a mean over.
    #[must_use]
    pub fn rows_of(&self, metric: Metric) -> usize {
        match (self, metric) {
            (Self::Regression(years), Metric::RangeDistance | Metric::InsideRange) => {
                years.range_rows()
            }
            (Self::Regression(years), _) => years.exact_rows(),
            (Self::Classes(classes), _) => classes.rows,
        }
    }

    /// Number of rows measured.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.rows,
            Self::Regression(years) => years.exact_rows() + years.range_rows(),
        }
    }
}

impl ClassMetrics {
    /// Mean of the classes' F1; a class without rows that is never predicted does not count.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        let of_class = |(class, row): (usize, &Vec<u64>)| {
            let rows: u64 = row.iter().sum();
            let predicted: u64 = self.confusion.iter().map(|row| row[class]).sum();
            (rows + predicted > 0).then(|| 2.0 * row[class] as f64 / (rows + predicted) as f64)
        };
        let all: Vec<f64> = self.confusion.iter().enumerate().filter_map(of_class).collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }

    /// Cohen's kappa; none where chance alone would agree everywhere.
    #[must_use]
    pub fn cohens_kappa(&self) -> Option<f64> {
        let n = self.rows as f64;
        let by_chance = |(class, row): (usize, &Vec<u64>)| {
            let rows: u64 = row.iter().sum();
            let predicted: u64 = self.confusion.iter().map(|row| row[class]).sum();
            rows as f64 / n * (predicted as f64 / n)
        };
        let expected: f64 = self.confusion.iter().enumerate().map(by_chance).sum();
        (expected < 1.0).then(|| (self.accuracy - expected) / (1.0 - expected))
    }

    fn measure(
        predicted_values: &PredictedValues,
        predicted: &[usize],
        truth: &[usize],
        count: usize,
        ordered: bool,
    ) -> Self {
        let mut confusion = vec![vec![0_u64; count]; count];
        for (&prediction, &class) in predicted.iter().zip(truth) {
            confusion[class][prediction] += 1;
        }
        let rows = truth.len();
        let within = |distance: usize| {
            let hits: u64 = confusion
                .iter()
                .enumerate()
                .flat_map(|(i, row)| row.iter().enumerate().map(move |(j, &n)| (i.abs_diff(j), n)))
                .filter(|&(apart, _)| apart <= distance)
                .map(|(_, n)| n)
                .sum();
            hits as f64 / rows as f64
        };
        let recall: Vec<Option<f64>> = confusion
            .iter()
            .enumerate()
            .map(|(class, row)| {
                let all: u64 = row.iter().sum();
                (all > 0).then(|| row[class] as f64 / all as f64)
            })
            .collect();
        let known: Vec<f64> = recall.iter().copied().flatten().collect();
        Self {
            rows,
            accuracy: within(0),
            balanced_accuracy: known.iter().sum::<f64>() / known.len() as f64,
            one_off_accuracy: ordered.then(|| within(1)),
            calibration: Calibration::measure(predicted_values, predicted, truth),
            recall,
            confusion,
            auc: None,
        }
    }
}

impl Calibration {
    fn measure(predicted_values: &PredictedValues, predicted: &[usize], truth: &[usize]) -> Self {
        let mut sums = [(0_usize, 0.0_f64, 0_usize); BINS];
        for (row, (&prediction, &class)) in predicted.iter().zip(truth).enumerate() {
            let confidence = f64::from(predicted_values.confidence(row));
            // Bins exclude their lower bound and include their upper one.
            let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            sums[bin].0 += 1;
            sums[bin].1 += confidence;
            sums[bin].2 += usize::from(prediction == class);
        }
        let bins: Vec<ReliabilityBin> = sums
            .iter()
            .enumerate()
            .filter(|(_, sum)| sum.0 > 0)
            .map(|(bin, &(rows, confidence, hits))| ReliabilityBin {
                low: bin as f64 / BINS as f64,
                high: (bin + 1) as f64 / BINS as f64,
                rows,
                confidence: confidence / rows as f64,
                accuracy: hits as f64 / rows as f64,
            })
            .collect();
        let error = bins
            .iter()
            .map(|bin| (bin.accuracy - bin.confidence).abs() * bin.rows as f64)
            .sum::<f64>()
            / truth.len() as f64;
        Self { error, bins }
    }
}

impl AgeMetrics {
    fn measure(predicted: &[f32], truth: &[AgeTarget]) -> Self {
        let (of_exact, years) = exact_rows(predicted, truth);
        Self {
            exact: ExactAgeMetrics::measure(&of_exact, &years),
            ranges: AgeRangeMetrics::measure(predicted, truth),
        }
    }

    /// The value of one metric, where it is measured.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::MeanAbsoluteError => Some(self.exact.as_ref()?.mean_absolute_error),
            Metric::CumulativeScore5 => self.exact.as_ref()?.cumulative_score.get(5).copied(),
            Metric::RootMeanSquaredError => self.exact.as_ref()?.root_mean_squared_error,
            Metric::MeanError => Some(self.exact.as_ref()?.mean_error),
            Metric::RangeDistance => Some(self.ranges?.mean_distance),
            Metric::InsideRange => Some(self.ranges?.inside),
            _ => None,
        }
    }

    /// Number of rows with an exact age.
    #[must_use]
    pub fn exact_rows(&self) -> usize {
        self.exact.as_ref().map_or(0, |exact| exact.rows)
    }

    /// Number of rows whose age is known as a range.
    #[must_use]
    pub fn range_rows(&self) -> usize {
        self.ranges.map_or(0, |ranges| ranges.rows)
    }
}

impl AgeRangeMetrics {
    /// Of those rows that have a range.
    fn measure(predicted: &[f32], truth: &[AgeTarget]) -> Option<Self> {
        let ranged = predicted.iter().zip(truth).filter(|(_, age)| age.is_range());
        let distances: Vec<f64> =
            ranged.map(|(&predicted, age)| f64::from(age.distance(predicted))).collect();
        let n = distances.len() as f64;
        (!distances.is_empty()).then(|| Self {
            rows: distances.len(),
            inside: distances.iter().filter(|&&distance| distance == 0.0).count() as f64 / n,
            mean_distance: distances.iter().sum::<f64>() / n,
        })
    }
}

impl ExactAgeMetrics {
    fn measure(predicted: &[f32], truth: &[f32]) -> Option<Self> {
        let n = truth.len() as f64;
        let errors: Vec<f64> =
            predicted.iter().zip(truth).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
        let within = |years: usize| {
            errors.iter().filter(|error| error.abs() <= years as f64).count() as f64 / n
        };
        (!errors.is_empty()).then(|| Self {
            rows: truth.len(),
            mean_absolute_error: errors.iter().map(|error| error.abs()).sum::<f64>() / n,
            root_mean_squared_error: Some(
                (errors.iter().map(|error| error * error).sum::<f64>() / n).sqrt(),
            ),
            mean_error: errors.iter().sum::<f64>() / n,
            correlation: Moments::of(predicted, truth).correlation(),
            cumulative_score: (0..=CURVE_YEARS).map(within).collect(),
        })
    }
}

/// Mean products of two numbers that belong together, from which their correlation follows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) first_squared: f64,
    pub(crate) second_squared: f64,
    pub(crate) product: f64,
}

impl Moments {
    fn of(first: &[f32], second: &[f32]) -> Self {
        let weight = 1.0 / first.len() as f64;
        let mut sums = Self::default();
        for (&a, &b) in first.iter().zip(second) {
            let (a, b) = (f64::from(a), f64::from(b));
            sums.first += weight * a;
            sums.second += weight * b;
            sums.first_squared += weight * a * a;
            sums.second_squared += weight * b * b;
            sums.product += weight * a * b;
        }
        sums
    }

    /// None where one of the numbers is the same everywhere.
    pub(crate) fn correlation(&self) -> Option<f64> {
        let first = self.first_squared - self.first * self.first;
        let second = self.second_squared - self.second * self.second;
        // What is left of equal numbers is rounding.
        let varies = |variance: f64, square: f64| variance > 1e-12 * square;
        let known = varies(first, self.first_squared) && varies(second, self.second_squared);
        let covariance = self.product - self.first * self.second;
        known.then(|| (covariance / (first * second).sqrt()).clamp(-1.0, 1.0))
    }
}
