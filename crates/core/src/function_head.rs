//! A head from a function: what an experiment needs to stand next to the other heads.

use ndarray::Array2;

use crate::feature_dataset::FeatureDataset;
use crate::feature_matrix::FeatureMatrix;
use crate::head::{Fit, FittedHead, Head, HeadError, StateDict, TrainingLog};
use crate::targets::{PredictedTargets, Prediction, Targets};

/// A head that is fitted by a function, which gives the function that predicts a row.
///
/// The latter takes the features of a row and gives the probability of each class, or the age in years
/// alone. A head with settings, or one that is to be kept in a bundle, implements [`Head`] and
/// [`FittedHead`] instead.
pub struct FunctionHead<F> {
    name: String,
    fit: F,
}

impl<F, P> FunctionHead<F>
where
    F: Fn(&FeatureDataset<'_>) -> Result<P, HeadError> + Send + Sync,
    P: Fn(&[f32]) -> Vec<f32> + Send + Sync + 'static,
{
    /// A head of this name, fitted by `fit` to the training rows.
    pub fn new(name: impl Into<String>, fit: F) -> Self {
        Self { name: name.into(), fit }
    }
}

impl<F, P> Head for FunctionHead<F>
where
    F: Fn(&FeatureDataset<'_>) -> Result<P, HeadError> + Send + Sync,
    P: Fn(&[f32]) -> Vec<f32> + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
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
        let log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let classes = match training.targets() {
            Targets::Classes { count, .. } => Some(*count),
            Targets::Regression(_) => None,
        };
        let predict = (self.fit)(training)?;
        Fit::of(Fitted { name: self.name.clone(), classes, predict, log }, validation)
    }
}

struct Fitted<P> {
    name: String,
    /// None of ages.
    classes: Option<usize>,
    predict: P,
    log: TrainingLog,
}

impl<P: Fn(&[f32]) -> Vec<f32> + Send + Sync> FittedHead for Fitted<P> {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let width = self.classes.unwrap_or(1);
        let mut values = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            let predicted = (self.predict)(&matrix.plain().row(row));
            if predicted.len() != width {
                return Err(HeadError::Shape(format!(
                    "expected {width} values for a row from the head `{}`, found {}",
                    self.name,
                    predicted.len()
                )));
            }
            values.extend(predicted);
        }
        if self.classes.is_none() {
            return Ok(PredictedTargets::Regression(values).into());
        }
        let values = Array2::from_shape_vec((rows.len(), width), values);
        values
            .map(|values| PredictedTargets::Classes(values).into())
            .map_err(|error| HeadError::Shape(error.to_string()))
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        // No registry has this kind: a function cannot be stored.
        let (kind, config) = (format!("function `{}`", self.name), serde_json::json!({}));
        StateDict { kind, config, tensors: [].into() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::FunctionHead;
    use crate::feature_dataset::FeatureDataset;
    use crate::feature_matrix::FeatureMatrix;
    use crate::head::{Head, HeadError};
    use crate::targets::{PredictedTargets, Targets};

    #[test]
    fn a_function_predicts_years_or_as_many_probabilities_as_there_are_classes() {
        let matrix = Array2::from_shape_fn((4, 2), |(row, column)| (row + 10 * column) as f32);
        let matrix = FeatureMatrix::new(matrix, None).unwrap();
        let years = Targets::exact_years(vec![5.0, 6.0, 7.0, 8.0]);
        let set = FeatureDataset::new(&matrix, vec![0, 1, 2, 3], years).unwrap();
        let head = FunctionHead::new("first feature", |training: &FeatureDataset<'_>| {
            let shift = training.len() as f32;
            Ok(move |row: &[f32]| vec![row[0] + shift])
        });
        assert_eq!(head.name(), "first feature");
        let fit = head.fit(&set, &set, 0).unwrap();
        assert_eq!(fit.head.log().rows_used, 4);
        let predicted = PredictedTargets::Regression(vec![4.0, 5.0, 6.0, 7.0]);
        assert_eq!(fit.validation.targets, predicted);

        let classes = Targets::Classes { indices: vec![0, 1, 0, 1], count: 2 };
        let set = FeatureDataset::new(&matrix, vec![0, 1, 2, 3], classes).unwrap();
        let message = head.fit(&set, &set, 0).map(|_| ()).unwrap_err().to_string();
        assert!(
            message.contains("expected 2 values for a row from the head `first feature`, found 1"),
            "{message}"
        );
        let untrainable = FunctionHead::new("none", |_: &FeatureDataset<'_>| {
            Err::<fn(&[f32]) -> Vec<f32>, _>(HeadError::Untrainable("no".to_owned()))
        });
        assert!(untrainable.fit(&set, &set, 0).is_err());
    }
}
