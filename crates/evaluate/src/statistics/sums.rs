//! Scores of rows, averaged over seeds, and their sums by subject, from which metrics are made.

use std::collections::HashMap;

use facefold_core::{Targets, Task};

use crate::error::EvaluateError;
use crate::metrics::{Metric, Moments, PredictedValues};
use crate::predictions::{PredictedRow, RowPredictions};
use crate::statistics::bootstrap::{Estimate, Interval};
use crate::statistics::proportion;

/// Sums of years, without and with the moments of both ages.
const YEARS_WIDTH: usize = 6;
const MOMENTS_WIDTH: usize = 12;

/// What each row adds to the sums that the metrics of a task are quotients of.
///
/// Classes: 1, correct, within one class, then for each class 1 and correct in rows of it.
/// Years: 1, absolute error, error of at most 5 years in rows with an exact age; 1, distance to the
/// range, inside it in rows with a range; on request, the error, both ages, their squares
/// and their product in rows with an exact age.
#[derive(Debug, Clone, PartialEq)]
pub struct RowScores {
    width: usize,
    values: Vec<f64>,
    classes: bool,
}

impl RowScores {
    /// The scores of one head, averaged over its seeds first.
    ///
    /// # Errors
    /// [`EvaluateError::Incomparable`] where no column is this head's, or a column has predictions
    /// of another kind or number than the rows.
    pub fn of_head(predictions: &RowPredictions, head: &str) -> Result<Self, EvaluateError> {
        Self::scored(predictions, head, YEARS_WIDTH)
    }

    /// The same, from which [`Metric::MeanError`] and [`Metric::Correlation`] follow too.
    ///
    /// # Errors
    /// As [`Self::of_head`].
    pub fn with_moments(predictions: &RowPredictions, head: &str) -> Result<Self, EvaluateError> {
        Self::scored(predictions, head, MOMENTS_WIDTH)
    }

    fn scored(
        predictions: &RowPredictions,
        head: &str,
        years_width: usize,
    ) -> Result<Self, EvaluateError> {
        let columns: Vec<&PredictedValues> = predictions
            .columns
            .iter()
            .filter(|column| column.head == head)
            .map(|column| &column.predicted_values)
            .collect();
        if columns.is_empty() {
            return Err(EvaluateError::Incomparable(format!(
                "there are no predictions of `{head}`, only of {}",
                predictions.heads().join(", ")
            )));
        }
        let n = predictions.rows.len();
        let classes = predictions.task != Task::Age;
        let width = if classes { 3 + 2 * predictions.classes.len() } else { years_width };
        let weight = 1.0 / columns.len() as f64;
        let mut values = vec![0.0; n * width];
        for predicted_values in columns {
            if predicted_values.len() != n || predictions.truth.len() != n {
                return Err(EvaluateError::Incomparable(format!(
                    "{n} rows with {} predictions of `{head}`",
                    predicted_values.len()
                )));
            }
            let rows = values.chunks_exact_mut(width);
            match (predicted_values, &predictions.truth) {
                (PredictedValues::Classes { predicted, .. }, Targets::Classes { indices, .. })
                    if classes =>
                {
                    for ((row, &prediction), &class) in rows.zip(predicted).zip(indices) {
                        let correct = f64::from(u8::from(prediction == class)) * weight;
                        row[0] += weight;
                        row[1] += correct;
                        row[2] += f64::from(u8::from(prediction.abs_diff(class) <= 1)) * weight;
                        row[3 + 2 * class] += weight;
                        row[4 + 2 * class] += correct;
                    }
                }
                (PredictedValues::Regression(years), Targets::Regression(truth)) if !classes => {
                    for ((row, &prediction), &age) in rows.zip(years).zip(truth) {
                        let Some(age) = age.exact_years() else {
                            let distance = f64::from(age.distance(prediction));
                            row[3] += weight;
                            row[4] += distance * weight;
                            row[5] += f64::from(u8::from(distance == 0.0)) * weight;
                            continue;
                        };
                        let (prediction, age) = (f64::from(prediction), f64::from(age));
                        let error = (prediction - age).abs();
                        row[0] += weight;
                        row[1] += error * weight;
                        row[2] += f64::from(u8::from(error <= 5.0)) * weight;
                        let moments = [
                            prediction - age,
                            prediction,
                            age,
                            prediction * prediction,
                            age * age,
                            prediction * age,
                        ];
                        for (sum, value) in row[YEARS_WIDTH..].iter_mut().zip(moments) {
                            *sum += value * weight;
                        }
                    }
                }
                _ => {
                    return Err(EvaluateError::Incomparable(format!(
                        "`{head}` was fitted to another task than `{}`",
                        predictions.task
                    )));
                }
            }
        }
        Ok(Self { width, values, classes })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A metric that decides ([`Metric::primary`]) of one row: correctness in [0, 1], the absolute
    /// error or the distance to the range in years. NaN where it is not measured on this row.
    #[must_use]
    pub fn of_row(&self, row: usize, metric: Metric) -> f64 {
        let own = &self.values[row * self.width..][..self.width];
        let (count, value) = match metric {
            Metric::RangeDistance => (own[3], own[4]),
            _ => (own[0], own[1]),
        };
        if count > 0.0 { value } else { f64::NAN }
    }

    /// The interval of a metric that was drawn by subject. Of a proportion of rows that is equal for
    /// all subjects it is exact ([`proportion::interval`]); of the balanced accuracy where it is 0
    /// or 1.
    pub(crate) fn interval(
        &self,
        sums: &SubjectSums,
        metric: Metric,
        drawn: &Estimate,
    ) -> Interval {
        let with = |column: usize| sums.subjects_with(column);
        let (proportion, interval) = (drawn.estimate, drawn.interval);
        match metric {
            Metric::Accuracy | Metric::OneOffAccuracy | Metric::CumulativeScore5 => {
                proportion::interval(proportion, interval, || with(0))
            }
            Metric::InsideRange => proportion::interval(proportion, interval, || with(3)),
            Metric::BalancedAccuracy if proportion::is_extreme(proportion) => {
                // Each class weighs the same: of all that have one mean recall, classes of so many
                // subjects as the rarest has are the likeliest to show no error.
                let trials = || {
                    let classes = (3..self.width).step_by(2).map(with).filter(|&count| count > 0);
                    let (count, rarest) = classes
                        .fold((0, usize::MAX), |(n, least), subjects| (n + 1, least.min(subjects)));
                    rarest.saturating_mul(count).min(with(0))
                };
                proportion::interval(proportion, interval, trials)
            }
            _ => interval,
        }
    }

    fn has_moments(&self) -> bool {
        !self.classes && self.width == MOMENTS_WIDTH
    }

    /// A metric from sums over some rows; NaN where these scores do not give it.
    #[must_use]
    pub fn metric(&self, sums: &[f64], metric: Metric) -> f64 {
        match metric {
            Metric::Accuracy if self.classes => sums[1] / sums[0],
            Metric::OneOffAccuracy if self.classes => sums[2] / sums[0],
            Metric::BalancedAccuracy if self.classes => {
                let known = sums[3..].chunks_exact(2).filter(|class| class[0] > 0.0);
                let (count, recalls) =
                    known.fold((0.0, 0.0), |(n, sum), class| (n + 1.0, sum + class[1] / class[0]));
                recalls / count
            }
            Metric::MeanAbsoluteError if !self.classes => sums[1] / sums[0],
            Metric::CumulativeScore5 if !self.classes => sums[2] / sums[0],
            Metric::RangeDistance if !self.classes => sums[4] / sums[3],
            Metric::InsideRange if !self.classes => sums[5] / sums[3],
            Metric::MeanError if self.has_moments() => sums[6] / sums[0],
            Metric::Correlation if self.has_moments() => {
                let moments = Moments {
                    first: sums[7] / sums[0],
                    second: sums[8] / sums[0],
                    first_squared: sums[9] / sums[0],
                    second_squared: sums[10] / sums[0],
                    product: sums[11] / sums[0],
                };
                moments.correlation().unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        }
    }
}

/// Sums over the rows of each subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectSums {
    width: usize,
    values: Vec<f64>,
}

impl SubjectSums {
    /// Sums scores; `rows` name the subject of each.
    #[must_use]
    pub fn new(scores: &RowScores, rows: &[PredictedRow]) -> Self {
        Self::of(&numbers(rows), scores.width, &scores.values)
    }

    /// For each subject the number of rows and the sum of one value a row: for a paired
    /// difference, whose mean is the quotient of the two.
    #[must_use]
    pub fn of_values(subjects: &[usize], values: &[f64]) -> Self {
        let pairs: Vec<f64> = values.iter().flat_map(|&value| [1.0, value]).collect();
        Self::of(subjects, 2, &pairs)
    }

    /// Sums of `width` values a row, which stand one row after another.
    #[must_use]
    pub fn of(subjects: &[usize], width: usize, rows: &[f64]) -> Self {
        let count = subjects.iter().max().map_or(0, |&last| last + 1);
        let mut values = vec![0.0; count * width];
        for (&subject, row) in subjects.iter().zip(rows.chunks_exact(width)) {
            for (sum, value) in values[subject * width..][..width].iter_mut().zip(row) {
                *sum += value;
            }
        }
        Self { width, values }
    }

    /// Sums of one subject.
    #[must_use]
    pub fn subject(&self, subject: usize) -> &[f64] {
        &self.values[subject * self.width..][..self.width]
    }

    /// Number of subjects.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.values.len() / self.width
    }

    /// Number of subjects with a sum above 0 in a column.
    fn subjects_with(&self, column: usize) -> usize {
        self.values.chunks_exact(self.width).filter(|subject| subject[column] > 0.0).count()
    }

    /// Number of sums a subject has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The distinct sums among those of the subjects, with the number of subjects that have each; none
    /// where there are more than `most`.
    pub(crate) fn kinds(&self, most: usize) -> Option<(Self, Vec<u64>)> {
        let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
        let (mut values, mut subjects) = (Vec::new(), Vec::new());
        for subject in self.values.chunks_exact(self.width) {
            let bits = subject.iter().map(|value| value.to_bits()).collect();
            let kind = *known.entry(bits).or_insert(subjects.len());
            if kind == subjects.len() {
                if subjects.len() == most {
                    return None;
                }
                values.extend_from_slice(subject);
                subjects.push(0);
            }
            subjects[kind] += 1;
        }
        Some((Self { width: self.width, values }, subjects))
    }

    /// Sums over all subjects.
    #[must_use]
    pub fn totals(&self) -> Vec<f64> {
        let mut totals = vec![0.0; self.width];
        for subject in self.values.chunks_exact(self.width) {
            for (total, value) in totals.iter_mut().zip(subject) {
                *total += value;
            }
        }
        totals
    }
}

/// A number for the subject of each row, from 0 in order of appearance.
#[must_use]
pub fn numbers(rows: &[PredictedRow]) -> Vec<usize> {
    numbers_of(rows.iter().map(|row| &*row.subject))
}

/// A number for each name, from 0 in order of appearance: equal names have one.
pub(crate) fn numbers_of<'a>(names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    names
        .map(|name| {
            let fresh = known.len();
            *known.entry(name).or_insert(fresh)
        })
        .collect()
}
