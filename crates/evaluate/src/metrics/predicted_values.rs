//! A head's predictions, reduced to what metrics are computed from.

use facefold_core::PredictedTargets;
use facefold_core::targets::most_probable;
use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;

/// A head's predictions for some rows, reduced to the inputs of the metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictedValues {
    /// The most probable class of each row, and the probabilities of all.
    Classes {
        /// Class indices.
        predicted: Vec<usize>,
        /// Probability of every class in [0, 1], one row after another.
        probabilities: Vec<f32>,
    },
    /// Predicted ages in years.
    Regression(Vec<f32>),
}

impl PredictedValues {
    /// Reduces predictions; of equally probable classes the first is taken.
    ///
    /// # Errors
    /// [`EvaluateError::Inconsistent`] where a probability or an age is not finite.
    pub fn new(predicted: &PredictedTargets) -> Result<Self, EvaluateError> {
        let not_finite = |row: usize, value: f32| {
            EvaluateError::Inconsistent(format!(
                "expected finite predictions, found {value} for the {row}. row of a head's predictions"
            ))
        };
        match predicted {
            PredictedTargets::Classes(probabilities) => {
                let mut predicted = Vec::with_capacity(probabilities.nrows());
                for (number, row) in probabilities.rows().into_iter().enumerate() {
                    if let Some(&value) = row.iter().find(|value| !value.is_finite()) {
                        return Err(not_finite(number, value));
                    }
                    predicted.push(most_probable(row.iter().copied()).unwrap_or(0));
                }
                Ok(Self::Classes {
                    predicted,
                    probabilities: probabilities.iter().copied().collect(),
                })
            }
            PredictedTargets::Regression(years) => {
                match years.iter().position(|years| !years.is_finite()) {
                    Some(row) => Err(not_finite(row, years[row])),
                    None => Ok(Self::Regression(years.clone())),
                }
            }
        }
    }

    /// The predictions for some of the rows, in this order.
    ///
    /// # Panics
    /// Where a row is past the end.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { predicted, probabilities } => {
                let classes = probabilities.len() / predicted.len().max(1);
                let of_row = |&row: &usize| &probabilities[row * classes..][..classes];
                Self::Classes {
                    predicted: rows.iter().map(|&row| predicted[row]).collect(),
                    probabilities: rows.iter().flat_map(of_row).copied().collect(),
                }
            }
            Self::Regression(years) => {
                Self::Regression(rows.iter().map(|&row| years[row]).collect())
            }
        }
    }

    /// The probability of the predicted class of a row; not a number for ages, and past the end.
    #[must_use]
    pub fn confidence(&self, row: usize) -> f32 {
        let Self::Classes { predicted, probabilities } = self else { return f32::NAN };
        let classes = probabilities.len() / predicted.len().max(1);
        let at = predicted.get(row).map(|class| row * classes + class);
        at.and_then(|at| probabilities.get(at)).copied().unwrap_or(f32::NAN)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { predicted, .. } => predicted.len(),
            Self::Regression(years) => years.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
