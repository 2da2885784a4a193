//! Label-error candidates: rows where a head that was not trained on them confidently predicts
//! another label.

use std::collections::HashSet;
use std::path::Path;

use facefold_core::Targets;
use facefold_core::files::write_atomic;
use facefold_core::text::cell;

use crate::error::EvaluateError;
use crate::metrics::PredictedValues;
use crate::predictions::RowPredictions;

/// The probability, averaged over seeds, from which a prediction counts as confident.
pub const CONFIDENT: f64 = 0.9;

/// How many times the head's mean absolute error (where no age is exact, its mean distance to the
/// age range) an prediction in years must be off.
pub const TIMES_OFF: f64 = 4.0;

/// A row whose label may be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelErrorCandidate {
    /// The picture, relative to the data set's root.
    pub path: String,
    /// Its subject.
    pub subject: String,
    /// The split whose test row it was.
    pub split: String,
    /// The label: a class, or years.
    pub label: String,
    /// The head's prediction: a class, or years (mean over seeds).
    pub prediction: String,
    /// Probability of the prediction (mean over seeds), or years between prediction and label.
    pub score: f64,
    /// Other heads that predict the same error.
    pub agreeing: usize,
}

/// The rows whose label may be wrong by one head, highest score first.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelErrorCandidates {
    /// The head.
    pub head: String,
    /// Number of other heads, without the majority baseline.
    pub others: usize,
    /// The rows; each picture once.
    pub rows: Vec<LabelErrorCandidate>,
}

/// The label errors that one head predicts.
struct LabelErrors {
    /// For each row the prediction and its score, where the label may be wrong.
    rows: Vec<Option<(f64, f64)>>,
}

/// Lists the label-error candidates of `head`: rows for which it predicts another class under every
/// seed with a mean probability of at least [`CONFIDENT`], or years that are off by [`TIMES_OFF`]
/// times its mean absolute error. Every row was predicted by fits that were not trained on its
/// subject (on its row, under `random80`).
///
/// # Errors
/// [`EvaluateError::Incomparable`] where the head has no predictions.
pub fn label_error_candidates(
    predictions: &RowPredictions,
    head: &str,
) -> Result<LabelErrorCandidates, EvaluateError> {
    let label_errors = LabelErrors::of(predictions, head).ok_or_else(|| {
        EvaluateError::Incomparable(format!(
            "there are no predictions of `{head}`, only of {}",
            predictions.heads().join(", ")
        ))
    })?;
    let others: Vec<LabelErrors> = predictions
        .heads()
        .into_iter()
        .filter(|&other| other != head && other != "majority")
        .filter_map(|other| LabelErrors::of(predictions, other))
        .collect();
    let mut order: Vec<(usize, f64, f64)> = label_errors
        .rows
        .iter()
        .enumerate()
        .filter_map(|(row, score)| score.map(|(prediction, score)| (row, prediction, score)))
        .collect();
    order.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    let mut seen = HashSet::new();
    let rows = order
        .into_iter()
        .filter(|&(row, ..)| seen.insert(&predictions.rows[row].path))
        .map(|(row, prediction, score)| {
            let info = &predictions.rows[row];
            let (label, predicted) = match &predictions.truth {
                Targets::Classes { indices, .. } => (
                    predictions.classes[indices[row]].clone(),
                    predictions.classes[prediction as usize].clone(),
                ),
                Targets::Regression(ages) => (ages[row].to_string(), format!("{prediction:.1}")),
            };
            let same = |other: &&LabelErrors| match other.rows[row] {
                Some((theirs, _)) => same_error(&predictions.truth, row, prediction, theirs),
                None => false,
            };
            LabelErrorCandidate {
                path: info.path.to_string(),
                subject: info.subject.to_string(),
                split: info.split.to_string(),
                label,
                prediction: predicted,
                score,
                agreeing: others.iter().filter(same).count(),
            }
        })
        .collect();
    Ok(LabelErrorCandidates { head: head.to_owned(), others: others.len(), rows })
}

/// The same class, or ages on the same side of the label.
fn same_error(truth: &Targets, row: usize, prediction: f64, other: f64) -> bool {
    match truth {
        Targets::Classes { .. } => prediction == other,
        Targets::Regression(ages) => {
            let label = f64::from(ages[row].midpoint());
            (prediction > label) == (other > label)
        }
    }
}

impl LabelErrors {
    fn of(predictions: &RowPredictions, head: &str) -> Option<Self> {
        let columns: Vec<&PredictedValues> = predictions
            .columns
            .iter()
            .filter(|column| column.head == head)
            .map(|column| &column.predicted_values)
            .collect();
        let (first, n) = (*columns.first()?, predictions.rows.len());
        let share = 1.0 / columns.len() as f64;
        let rows = match (first, &predictions.truth) {
            (PredictedValues::Classes { predicted, .. }, Targets::Classes { indices, .. }) => {
                let score = |row: usize| {
                    let mut confidence = 0.0;
                    for predicted_values in &columns {
                        let PredictedValues::Classes { predicted: other, .. } = predicted_values
                        else {
                            return None;
                        };
                        if other[row] != predicted[row] || other[row] == indices[row] {
                            return None;
                        }
                        confidence += f64::from(predicted_values.confidence(row)) * share;
                    }
                    (confidence >= CONFIDENT).then_some((predicted[row] as f64, confidence))
                };
                (0..n).map(score).collect()
            }
            (PredictedValues::Regression(_), Targets::Regression(truth)) => {
                let predicted_values: Vec<f64> = (0..n)
                    .map(|row| {
                        let ages = columns.iter().map(|predicted_values| match predicted_values {
                            PredictedValues::Regression(years) => f64::from(years[row]),
                            PredictedValues::Classes { .. } => f64::NAN,
                        });
                        ages.sum::<f64>() * share
                    })
                    .collect();
                let off = |row: usize| {
                    let age = truth[row];
                    let low = f64::from(age.low()) - predicted_values[row];
                    low.max(predicted_values[row] - f64::from(age.high())).max(0.0)
                };
                let (_, measured) = predictions.primary();
                let sum: f64 = measured.iter().map(|&row| off(row)).sum();
                let least = TIMES_OFF * sum / measured.len().max(1) as f64;
                (0..n)
                    .map(|row| {
                        (off(row) >= least && least > 0.0)
                            .then(|| (predicted_values[row], off(row)))
                    })
                    .collect()
            }
            _ => return None,
        };
        Some(Self { rows })
    }
}

impl LabelErrorCandidates {
    /// Writes the first `most` rows as a CSV: path, subject, split, label, prediction, score
    /// (probability of the prediction, or years off) and how many of the other heads agree.
    ///
    /// # Errors
    /// Any error of the file system, naming the path.
    pub fn write_csv(&self, path: &Path, most: usize) -> Result<(), EvaluateError> {
        let failed = |error: csv::Error| EvaluateError::File {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer
            .write_record([
                "path",
                "subject",
                "partition",
                "label",
                "prediction",
                "score",
                "agreeing_heads",
            ])
            .map_err(failed)?;
        for row in self.rows.iter().take(most) {
            let score = format!("{:.3}", row.score);
            let agreeing = format!("{} of {}", row.agreeing, self.others);
            let texts = [&row.path, &row.subject, &row.split, &row.label, &row.prediction];
            let texts = texts.map(|text| cell(text));
            let cells = texts.iter().map(AsRef::as_ref).chain([score.as_str(), &agreeing]);
            writer.write_record(cells).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| EvaluateError::File {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(write_atomic(path, &bytes)?)
    }
}
