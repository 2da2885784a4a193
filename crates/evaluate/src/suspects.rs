//! Rows that look mislabelled: a head that never saw them in training is sure of another answer.

use std::collections::HashSet;
use std::path::Path;

use facefold_core::Targets;
use facefold_core::files::write_atomic;
use facefold_core::text::cell;

use crate::error::EvaluateError;
use crate::metrics::Answers;
use crate::predictions::RowPredictions;

/// The probability, averaged over seeds, from which a head counts as sure of a class.
pub const SURE: f64 = 0.9;

/// How many times the head's mean absolute error (where no age is exact, its mean distance to the
/// age range) an answer in years must be off.
pub const TIMES_OFF: f64 = 4.0;

/// A row whose label a head doubts.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// The picture, relative to the data set's root.
    pub path: String,
    /// Who is in it.
    pub subject: String,
    /// The partition whose test row it was.
    pub partition: String,
    /// The label: a class, or years.
    pub label: String,
    /// The head's answer: a class, or years (mean over seeds).
    pub answer: String,
    /// Probability of the answer (mean over seeds), or years between answer and label.
    pub doubt: f64,
    /// Other heads than this one that doubt the label in the same way.
    pub agreeing: usize,
}

/// The rows whose label a head doubts, most doubted first.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspects {
    /// The head.
    pub head: String,
    /// Number of other heads asked; the majority baseline is not.
    pub others: usize,
    /// The rows; each picture once.
    pub rows: Vec<Suspect>,
}

/// What one head says against the labels of rows.
struct Doubts {
    /// For each row the answer and the doubt, where the head doubts the label.
    rows: Vec<Option<(f64, f64)>>,
}

/// Lists the rows whose label `head` doubts: a class that it gives under every seed with a mean
/// probability of at least [`SURE`], or years that are off by [`TIMES_OFF`] times its mean
/// absolute error. Every row was answered by fits that were not trained on its subject (on its
/// row, under `random80`).
///
/// # Errors
/// [`EvaluateError::Incomparable`] where the head has no predictions.
pub fn suspects(predictions: &RowPredictions, head: &str) -> Result<Suspects, EvaluateError> {
    let doubts = Doubts::of(predictions, head).ok_or_else(|| {
        EvaluateError::Incomparable(format!(
            "there are no predictions of `{head}`, only of {}",
            predictions.heads().join(", ")
        ))
    })?;
    let others: Vec<Doubts> = predictions
        .heads()
        .into_iter()
        .filter(|&other| other != head && other != "majority")
        .filter_map(|other| Doubts::of(predictions, other))
        .collect();
    let mut order: Vec<(usize, f64, f64)> = doubts
        .rows
        .iter()
        .enumerate()
        .filter_map(|(row, doubt)| doubt.map(|(answer, doubt)| (row, answer, doubt)))
        .collect();
    order.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    let mut seen = HashSet::new();
    let rows = order
        .into_iter()
        .filter(|&(row, ..)| seen.insert(&predictions.rows[row].path))
        .map(|(row, answer, doubt)| {
            let info = &predictions.rows[row];
            let (label, answered) = match &predictions.truth {
                Targets::Classes { indices, .. } => (
                    predictions.classes[indices[row]].clone(),
                    predictions.classes[answer as usize].clone(),
                ),
                Targets::Regression(ages) => (ages[row].to_string(), format!("{answer:.1}")),
            };
            let same = |other: &&Doubts| match other.rows[row] {
                Some((theirs, _)) => alike(&predictions.truth, row, answer, theirs),
                None => false,
            };
            Suspect {
                path: info.path.clone(),
                subject: info.subject.clone(),
                partition: info.partition.clone(),
                label,
                answer: answered,
                doubt,
                agreeing: others.iter().filter(same).count(),
            }
        })
        .collect();
    Ok(Suspects { head: head.to_owned(), others: others.len(), rows })
}

/// The same class, or years on the same side of the label.
fn alike(truth: &Targets, row: usize, answer: f64, other: f64) -> bool {
    match truth {
        Targets::Classes { .. } => answer == other,
        Targets::Regression(ages) => {
            let label = f64::from(ages[row].midpoint());
            (answer > label) == (other > label)
        }
    }
}

impl Doubts {
    fn of(predictions: &RowPredictions, head: &str) -> Option<Self> {
        let columns: Vec<&Answers> = predictions
            .columns
            .iter()
            .filter(|column| column.head == head)
            .map(|column| &column.answers)
            .collect();
        let (first, n) = (*columns.first()?, predictions.rows.len());
        let share = 1.0 / columns.len() as f64;
        let rows = match (first, &predictions.truth) {
            (Answers::Classes { predicted, .. }, Targets::Classes { indices, .. }) => {
                let doubt = |row: usize| {
                    let mut sure = 0.0;
                    for answers in &columns {
                        let Answers::Classes { predicted: other, probability } = answers else {
                            return None;
                        };
                        if other[row] != predicted[row] || other[row] == indices[row] {
                            return None;
                        }
                        sure += f64::from(probability[row]) * share;
                    }
                    (sure >= SURE).then_some((predicted[row] as f64, sure))
                };
                (0..n).map(doubt).collect()
            }
            (Answers::Years(_), Targets::Regression(truth)) => {
                let answers: Vec<f64> = (0..n)
                    .map(|row| {
                        let told = columns.iter().map(|answers| match answers {
                            Answers::Years(years) => f64::from(years[row]),
                            Answers::Classes { .. } => f64::NAN,
                        });
                        told.sum::<f64>() * share
                    })
                    .collect();
                let off = |row: usize| {
                    let age = truth[row];
                    let low = f64::from(age.low()) - answers[row];
                    low.max(answers[row] - f64::from(age.high())).max(0.0)
                };
                let (_, measured) = predictions.deciding();
                let sum: f64 = measured.iter().map(|&row| off(row)).sum();
                let least = TIMES_OFF * sum / measured.len().max(1) as f64;
                (0..n)
                    .map(|row| (off(row) >= least && least > 0.0).then(|| (answers[row], off(row))))
                    .collect()
            }
            _ => return None,
        };
        Some(Self { rows })
    }
}

impl Suspects {
    /// Writes the first `most` rows as a CSV: path, subject, partition, label, answer, doubt
    /// (probability of the answer, or years off) and how many of the other heads agree.
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
            .write_record(["path", "subject", "partition", "label", "answer", "doubt", "agreeing"])
            .map_err(failed)?;
        for row in self.rows.iter().take(most) {
            let doubt = format!("{:.3}", row.doubt);
            let agreeing = format!("{} of {}", row.agreeing, self.others);
            let texts = [&row.path, &row.subject, &row.partition, &row.label, &row.answer];
            let texts = texts.map(|text| cell(text));
            let cells = texts.iter().map(AsRef::as_ref).chain([doubt.as_str(), &agreeing]);
            writer.write_record(cells).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| EvaluateError::File {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(write_atomic(path, &bytes)?)
    }
}
