//! The baseline head, which ignores the features: the most frequent class, or the median age
//! (scikit-learn's `DummyClassifier` and `DummyRegressor`).

use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, Prediction, StateDict,
    TargetKind, Targets, TrainingLog,
};
use ndarray::Array1;

use crate::estimator::predicted_targets;
use crate::state_dict::{Reader, Stored, Tensors};
use crate::years;

pub(crate) const NAME: &str = "majority";

/// Predicts the most frequent class or the median age, as a baseline for other heads.
#[derive(Debug)]
pub(crate) struct Majority;

/// Class frequencies (the largest is predicted), or one age.
#[derive(Debug)]
struct Fitted {
    prediction: Vec<f32>,
    stored: Stored<()>,
}

impl Head for Majority {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _seed: u64,
    ) -> Result<Fit, HeadError> {
        if training.is_empty() {
            return Err(HeadError::Untrainable("no training rows".to_owned()));
        }
        let n = training.len();
        let prediction = match training.targets() {
            Targets::Classes { indices, count } => {
                let mut frequencies = vec![0.0; *count];
                for &index in indices {
                    frequencies[index] += 1.0 / n as f32;
                }
                frequencies
            }
            Targets::Regression(ages) => {
                let mut sorted = years::midpoints(ages);
                sorted.sort_by(f32::total_cmp);
                vec![f32::midpoint(sorted[(n - 1) / 2], sorted[n / 2])]
            }
        };
        let notes = years::midpoint_note(training.targets()).into_iter().collect();
        let log = TrainingLog { rows_used: n, notes, ..TrainingLog::default() };
        let target = training.targets().kind();
        let stored = Stored { target, unit_columns: None, settings: (), log };
        Fit::of(Fitted { prediction, stored }, validation)
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        if let Some(row) = rows.iter().find(|&&row| row >= matrix.rows()) {
            return Err(HeadError::Shape(format!("row {row} of a matrix of {}", matrix.rows())));
        }
        predicted_targets(self.stored.target, self.prediction.repeat(rows.len()))
            .map(Prediction::from)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn state_dict(&self) -> StateDict {
        let prediction = Array1::from(self.prediction.clone()).into_dyn();
        self.stored.state_dict(NAME, Tensors::from([("prediction".to_owned(), prediction)]))
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let reader = Reader(state);
    let stored: Stored<()> = reader.stored()?;
    let length = match stored.target {
        TargetKind::Regression => 1,
        TargetKind::Classes { count } => count,
    };
    Ok(Box::new(Fitted { prediction: reader.vector("prediction", Some(length))?, stored }))
}

#[cfg(test)]
mod tests {
    use super::Majority;
    use facefold_core::{FeatureDataset, FeatureMatrix, Head, PredictedTargets, Targets};
    use ndarray::{Array2, array};

    #[test]
    fn predicts_the_most_frequent_class_and_the_median_age() {
        let matrix = FeatureMatrix::new(Array2::zeros((4, 1)), None).unwrap();
        let rows = vec![0, 1, 2, 3];
        let classes = Targets::Classes { indices: vec![2, 0, 2, 2], count: 3 };
        let examples = FeatureDataset::new(&matrix, rows.clone(), classes).unwrap();
        let fit = Majority.fit(&examples, &examples, 0).unwrap();
        let expected = PredictedTargets::Classes(array![[0.25, 0.0, 0.75]]);
        assert_eq!(fit.head.predict(&matrix, &[1]).unwrap(), expected.into());
        assert_eq!(fit.validation, fit.head.predict(&matrix, examples.rows()).unwrap());

        let years = Targets::exact_years(vec![90.0, 20.0, 30.0, 1.0]);
        let examples = FeatureDataset::new(&matrix, rows, years).unwrap();
        let fit = Majority.fit(&examples, &examples, 0).unwrap();
        let expected = PredictedTargets::Regression(vec![25.0]);
        assert_eq!(fit.head.predict(&matrix, &[0]).unwrap(), expected.into());
    }
}
