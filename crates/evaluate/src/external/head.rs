//! Another program's predictions as a head, so that they are evaluated as those of any head.

use std::sync::Arc;

use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    StateDict, TrainingLog,
};
use ndarray::Array2;

/// A head that predicts what another program predicted, whatever it is fitted to.
#[derive(Debug, Clone)]
pub struct ExternalHead {
    name: String,
    settings: serde_json::Value,
    /// By the row of the matrix: probabilities, or an age; empty without a prediction.
    values: Arc<Vec<Vec<f32>>>,
    classes: usize,
}

impl ExternalHead {
    /// A head by the predictions for each row of the matrix; empty for rows without one. `classes` is
    /// 0 for ages. What the predictions depend on is in the settings.
    #[must_use]
    pub fn new(
        name: String,
        settings: serde_json::Value,
        values: Vec<Vec<f32>>,
        classes: usize,
    ) -> Self {
        Self { name, settings, values: Arc::new(values), classes }
    }
}

impl Head for ExternalHead {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> serde_json::Value {
        self.settings.clone()
    }

    fn fit(
        &self,
        _training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _seed: u64,
    ) -> Result<Fit, HeadError> {
        let notes = vec!["predicted by another program; nothing was fitted".to_owned()];
        let log = TrainingLog { notes, ..TrainingLog::default() };
        Fit::of(FittedExternal { head: self.clone(), log }, validation)
    }
}

/// Predictions of another program.
struct FittedExternal {
    head: ExternalHead,
    log: TrainingLog,
}

impl FittedHead for FittedExternal {
    fn predict(&self, _matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let ExternalHead { values, classes, .. } = &self.head;
        let width = (*classes).max(1);
        let mut all = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            let values = values.get(row).filter(|values| values.len() == width);
            let values = values.ok_or_else(|| {
                HeadError::Shape(format!("expected a prediction of row {row}, found none"))
            })?;
            all.extend_from_slice(values);
        }
        if *classes == 0 {
            return Ok(PredictedTargets::Regression(all).into());
        }
        let all = Array2::from_shape_vec((rows.len(), width), all);
        all.map(|all| PredictedTargets::Classes(all).into())
            .map_err(|error| HeadError::Shape(error.to_string()))
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        let config = self.head.settings.clone();
        StateDict { kind: "external".to_owned(), config, tensors: [].into() }
    }
}
