//! Predicted distributions over years, in a form that is small enough to keep for every row.

use facefold_core::{DecisionAges, PredictedTargets, Prediction, probability_over};
use serde::{Deserialize, Serialize};

/// Probabilities are stored in units of 1e-5; smaller ones are dropped.
const UNITS: f32 = 1e5;

/// What a head predicts of the ages of some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgePredictions {
    /// Ages in years, of heads that predict no distribution.
    Ages(Vec<f32>),
    /// A distribution over the ages 0, 1, 2, … a row.
    Distributions(Vec<SparseAgeDistribution>),
}

/// One row's distribution: the first age with a probability above 0, and the probabilities from
/// there to the last such age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseAgeDistribution(u16, Vec<u32>);

impl SparseAgeDistribution {
    fn new(probabilities: impl Iterator<Item = f32>) -> Self {
        let units: Vec<u32> =
            probabilities.map(|probability| (probability * UNITS).round() as u32).collect();
        let first = units.iter().position(|&unit| unit > 0).unwrap_or(0);
        let end = units.iter().rposition(|&unit| unit > 0).map_or(first, |last| last + 1);
        Self(first as u16, units[first..end].to_vec())
    }

    /// The probabilities of the ages from 0 on.
    fn to_vec(&self) -> Vec<f32> {
        let mut probabilities = vec![0.0; usize::from(self.0)];
        probabilities.extend(self.1.iter().map(|&unit| unit as f32 / UNITS));
        probabilities
    }
}

impl AgePredictions {
    /// Stores distributions, one a row; the predicted ages where the head gives none. `None`
    /// where classes are predicted.
    #[must_use]
    pub fn of(prediction: &Prediction) -> Option<Self> {
        let PredictedTargets::Regression(years) = &prediction.targets else { return None };
        Some(match &prediction.age_distribution {
            None => Self::Ages(years.clone()),
            Some(probabilities) => Self::Distributions(
                probabilities
                    .rows()
                    .into_iter()
                    .map(|row| SparseAgeDistribution::new(row.iter().copied()))
                    .collect(),
            ),
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Ages(years) => years.len(),
            Self::Distributions(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ages that decisions rest on: quantiles of the distribution, or the predicted years.
    #[must_use]
    pub fn decision_ages(&self) -> Vec<DecisionAges> {
        match self {
            Self::Ages(years) => years.iter().map(|&years| years.into()).collect(),
            Self::Distributions(rows) => {
                rows.iter().map(|row| DecisionAges::of(&row.to_vec())).collect()
            }
        }
    }

    /// Probability of each row that its age is at least `age`; none without distributions.
    #[must_use]
    pub fn probabilities_over(&self, age: u32) -> Option<Vec<f32>> {
        match self {
            Self::Ages(_) => None,
            Self::Distributions(rows) => {
                Some(rows.iter().map(|row| probability_over(&row.to_vec(), age)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{DecisionAges, PredictedTargets, Prediction, probability_over};
    use ndarray::Array2;

    use super::AgePredictions;

    #[test]
    fn a_sparse_distribution_keeps_median_and_probabilities() {
        let weight =
            |row: usize, age: usize| (-(age as f32 - 15.3 * row as f32).powi(2) / 50.0).exp();
        let mut probabilities = Array2::from_shape_fn((5, 117), |(row, age)| weight(row, age));
        for mut row in probabilities.rows_mut() {
            let sum = row.sum();
            row /= sum;
        }
        let prediction = Prediction {
            age_distribution: Some(probabilities.clone()),
            ..PredictedTargets::Regression(vec![0.0; 5]).into()
        };
        let kept = AgePredictions::of(&prediction).unwrap();
        assert_eq!(kept.len(), 5);
        let text = serde_json::to_string(&kept).unwrap();
        assert!(text.len() < 5 * 250, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<AgePredictions>(&text).unwrap(), kept);
        for (row, (age, over)) in
            kept.decision_ages().into_iter().zip(kept.probabilities_over(18).unwrap()).enumerate()
        {
            let whole = probabilities.row(row).to_vec();
            let expected = DecisionAges::of(&whole);
            assert!((age.median - expected.median).abs() < 1e-3);
            assert!((age.lower_decile - expected.lower_decile).abs() < 1e-3);
            assert!((over - probability_over(&whole, 18)).abs() < 1e-4);
        }
    }

    #[test]
    fn point_predictions_have_no_probabilities() {
        let years = AgePredictions::of(&PredictedTargets::Regression(vec![20.5]).into()).unwrap();
        assert_eq!(
            (years.decision_ages(), years.probabilities_over(18)),
            (vec![20.5.into()], None)
        );
    }
}
