//! The traits of a head: an estimator that is fitted to rows of a feature matrix and then predicts
//! classes or ages for other rows.
//!
//! A fit gives the fitted head and its [`Prediction`] for the validation rows; a prediction has all
//! that one forward pass gives. To add a head, see `CONTRIBUTING.md`.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::feature_dataset::FeatureDataset;
use crate::feature_matrix::FeatureMatrix;
use crate::targets::Prediction;

/// One pass over the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Mean training loss.
    pub training_loss: f64,
    /// Mean loss on the validation rows.
    pub validation_loss: f64,
    /// Accuracy (classes) or mean absolute error in years on the validation rows; where fewer than
    /// 20 of those have an exact age, the mean distance to the age range.
    pub validation_score: f64,
    /// Learning rate at the end of the epoch.
    pub learning_rate: f64,
}

/// How a fit went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingLog {
    /// Learning curve; empty for heads that are not trained in epochs.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were kept.
    pub best_epoch: Option<usize>,
    /// Number of rows the head was really fitted on.
    pub rows_used: usize,
    /// Notes for the reader of a report: `trained on a stratified subsample of 5,000 of
    /// 14,000 rows`.
    pub notes: Vec<String>,
}

/// The state of a fitted head, as it is stored: tensors by name, and settings (`state_dict` in
/// `PyTorch`).
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Which head it is: the name in the registry.
    pub kind: String,
    /// Settings that rebuild it.
    pub config: serde_json::Value,
    /// Its tensors.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}

/// A head that can be fitted; holds its checked settings.
pub trait Head: Send + Sync {
    /// The name on the command line and in reports: `mlp`, `svm`, `linear`.
    fn name(&self) -> &str;

    /// The checked settings, written into every report.
    fn settings(&self) -> serde_json::Value;

    /// Whether the fit also uses labels of other tasks: [`FeatureDataset::auxiliary_tasks`].
    fn uses_auxiliary_tasks(&self) -> bool {
        false
    }

    /// Fits the head to the training rows. The validation rows choose the epoch, the temperature
    /// and the like, for heads that choose any. The same rows and seed give the same bits.
    ///
    /// # Errors
    /// [`HeadError`] where the rows cannot be learnt from.
    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError>;
}

/// The result of [`Head::fit`].
pub struct Fit {
    /// The fitted head.
    pub head: Box<dyn FittedHead>,
    /// The prediction for the validation rows by a model that was not trained on them: where the
    /// head was refitted on all rows, by the first fit.
    pub validation: Prediction,
}

impl Fit {
    /// The fit of a head that was trained on the training rows only: it predicts the validation
    /// rows itself.
    ///
    /// # Errors
    /// As [`FittedHead::predict`].
    pub fn of(
        head: impl FittedHead + 'static,
        validation: &FeatureDataset<'_>,
    ) -> Result<Self, HeadError> {
        let validation = head.predict(validation.matrix(), validation.rows())?;
        Ok(Self { head: Box::new(head), validation })
    }
}

/// A head after its fit.
pub trait FittedHead: Send + Sync {
    /// Predicts some rows of a matrix that is as wide as the training matrix, in one forward pass.
    /// A row's prediction does not depend on the other rows.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the width differs.
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError>;

    /// How the fit went.
    fn log(&self) -> &TrainingLog;

    /// The state to store.
    fn state_dict(&self) -> StateDict;
}

/// Why a head cannot be fitted, applied or loaded.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Shapes that do not match.
    #[error("shapes do not match: {0}")]
    Shape(String),
    /// Rows that a head cannot be trained on.
    #[error("cannot train: {0}")]
    Untrainable(String),
    /// A setting out of its range.
    #[error("{0}")]
    Setting(String),
    /// A stored head that cannot be read.
    #[error("cannot read the head: {0}")]
    Corrupt(String),
    /// A failure inside a library.
    #[error("{context}: {message}")]
    Backend {
        /// What was being done.
        context: String,
        /// The library's message.
        message: String,
    },
}
