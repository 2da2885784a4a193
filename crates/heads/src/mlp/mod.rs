//! The multi-layer perceptron: a single-task or multi-task network on candle tensors.

mod batches;
mod decoder;
mod dropout;
mod encoded_targets;
mod export;
mod init;
mod layers;
mod logit_adjustment;
mod mc_dropout;
mod multi_task;
mod network;
mod norm;
mod optimizer;
mod options;
mod product;
mod schedule;
mod storage;
mod thresholds;
mod training;

use std::sync::Arc;

use facefold_core::{
    FeatureDataset, FeatureMatrix, FeatureRows, FittedHead, Head, HeadError, Predictions,
    StateDict, TargetKind, TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::linear::predictions;
use crate::loss::YEARS;
use crate::options::{ClassWeights, HeadOptions};
use crate::state_dict::{Reader, Stored, Tensors, json};
use crate::threads::on_one_thread;
use crate::years;
use decoder::Decoder;
pub(crate) use export::{export, export_mean};
use network::Network;
pub use options::{AgeDecoding, AgeLoss, MlpOptions, MultiTaskOptions, OptimizerKind};
pub use schedule::Schedule;

pub(crate) const NAME: &str = "mlp";
pub(crate) const RESIDUAL_NAME: &str = "mlp-residual";
pub(crate) const MULTI_TASK_NAME: &str = "mlp-multi-task";

/// Rows predicted at a time, which bounds the memory of their standardised copies.
///
/// candle hands elementwise operations on 65,536 values or more to a pool of threads of its own;
/// 250 rows of 256 units stay on the thread that runs the fit.
const PREDICTION_ROWS: usize = 250;

/// The architecture of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Linear, batch norm, ReLU, dropout; layer after layer.
    Plain,
    /// Batch norm, dropout, linear, ReLU; a block that keeps its width adds its input.
    Residual,
}

/// A multi-layer perceptron to be fitted.
#[derive(Debug)]
pub(crate) struct Mlp {
    architecture: Architecture,
    /// Loss weights of multi-task learning, where auxiliary tasks are learnt as well.
    multi_task: Option<MultiTaskOptions>,
    /// The trained head that it is initialised from, if not at random.
    start: Option<Arc<StateDict>>,
    options: MlpOptions,
    class_weights: ClassWeights,
    unit_columns: Option<(usize, usize)>,
}

impl Mlp {
    /// Checks the settings.
    pub(crate) fn new(
        architecture: Architecture,
        options: &HeadOptions,
    ) -> Result<Self, HeadError> {
        options.mlp.check()?;
        Ok(Self {
            architecture,
            multi_task: None,
            start: options.start.clone(),
            options: options.mlp.clone(),
            class_weights: options.class_weights,
            unit_columns: options.unit_columns,
        })
    }
}

impl Mlp {
    /// A plain network without the refit, for heads that use the validation rows themselves.
    pub(crate) fn fitted_once(options: &HeadOptions) -> Result<Self, HeadError> {
        let mut head = Self::new(Architecture::Plain, options)?;
        head.options.refit = false;
        Ok(head)
    }

    /// A multi-task network, whose tasks share all but the output layer; checks the settings.
    ///
    /// Each task has a fit of its own, whose best epoch and temperature are chosen by that task's
    /// validation rows. A fitted head has the trunk and the outputs of its own task only, so that
    /// it predicts as an `mlp` does.
    pub(crate) fn multi_task(options: &HeadOptions) -> Result<Self, HeadError> {
        options.multi_task.check()?;
        Ok(Self {
            multi_task: Some(options.multi_task.clone()),
            ..Self::new(Architecture::Plain, options)?
        })
    }

    /// Fits it on this thread: once, or once more on all rows.
    pub(crate) fn fitted(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        on_one_thread(|| {
            let chosen = training::fit(self, training, validation, seed)?;
            if !self.options.refit || validation.is_empty() {
                return Ok(chosen);
            }
            let (all, none) = (training.concat(validation)?, validation.empty());
            let mut fitted = training::fit(self, &all, &none, seed)?;
            fitted.decoder.temperature = chosen.decoder.temperature;
            let log = &mut fitted.stored.log;
            log.epochs.clone_from(&chosen.stored.log.epochs);
            log.best_epoch = chosen.stored.log.best_epoch;
            log.notes.extend(years::choice_note(validation.targets()));
            log.notes.push(format!(
                "refitted on training and validation rows, {} in all; the learning curve is that of \
                 the first fit, on {} rows",
                log.rows_used, chosen.stored.log.rows_used
            ));
            fitted.train_only = Some(Box::new(chosen));
            Ok(fitted)
        })
    }
}

fn name_of(architecture: Architecture, multi_task: bool) -> &'static str {
    match architecture {
        Architecture::Plain if multi_task => MULTI_TASK_NAME,
        Architecture::Plain => NAME,
        Architecture::Residual => RESIDUAL_NAME,
    }
}

impl Head for Mlp {
    fn name(&self) -> &str {
        name_of(self.architecture, self.multi_task.is_some())
    }

    fn settings(&self) -> serde_json::Value {
        let mut settings = serde_json::json!({
            "class_weights": self.class_weights,
            "unit_columns": self.unit_columns,
            "mlp": json(&self.options),
        });
        if let Some(multi_task) = &self.multi_task {
            settings["multi_task"] = json(multi_task);
        }
        if let Some(start) = &self.start {
            settings["start"] = init::hash(start).into();
        }
        settings
    }

    fn uses_auxiliary_tasks(&self) -> bool {
        self.multi_task.is_some()
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        Ok(Box::new(self.fitted(training, validation, seed)?))
    }
}

/// Settings of a fitted network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FittedSettings {
    architecture: Architecture,
    #[serde(default)]
    multi_task: bool,
    options: MlpOptions,
}

/// A trained network.
#[derive(Debug)]
pub(crate) struct Fitted {
    features: Standardiser,
    network: Network,
    decoder: Decoder,
    stored: Stored<FittedSettings>,
    /// The first fit, on the training rows only, where this one is a refit on all rows.
    train_only: Option<Box<Fitted>>,
}

impl Fitted {
    /// Class probabilities, probabilities of ages, or ages in years, of plain or mirrored rows.
    fn probabilities(&self, source: &FeatureRows, rows: &[usize]) -> Result<Vec<f32>, HeadError> {
        let mut outputs = Vec::with_capacity(rows.len() * self.network.outputs());
        for chunk in rows.chunks(PREDICTION_ROWS) {
            outputs.extend(self.network.predict(self.features.rows(source, chunk, 1.0))?);
        }
        Ok(self.decoder.probabilities(outputs))
    }

    /// The same, averaged over the crop and its mirror image where there is one.
    pub(crate) fn averaged(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        flip_averaged(&self.features, matrix, rows, |source, rows| self.probabilities(source, rows))
    }

    /// The predictions of [`Self::averaged`], or of a mean of several of them.
    pub(crate) fn decode(&self, probabilities: Vec<f32>) -> Result<Predictions, HeadError> {
        match self.stored.target {
            TargetKind::Regression => {
                Ok(Predictions::Regression(self.decoder.years_of(probabilities)))
            }
            TargetKind::Classes { .. } => predictions(self.stored.target, probabilities),
        }
    }

    /// Whether [`Self::averaged`] gives probabilities of the ages 0 to 116, 117 a row.
    pub(crate) fn predicts_distribution(&self) -> bool {
        self.decoder.predicts_distribution()
    }

    /// Whether the probabilities of another network can be averaged with this one's.
    pub(crate) fn is_compatible_with(&self, other: &Self) -> bool {
        self.decoder.is_compatible_with(&other.decoder)
    }

    /// The fit on the training rows only.
    pub(crate) fn train_only(&self) -> &Self {
        self.train_only.as_deref().unwrap_or(self)
    }
}

/// Probabilities of ages, row by row, as a matrix.
pub(crate) fn distribution(rows: usize, probabilities: Vec<f32>) -> Result<Array2<f32>, HeadError> {
    Array2::from_shape_vec((rows, YEARS), probabilities)
        .map_err(|error| HeadError::Shape(error.to_string()))
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        self.decode(self.averaged(matrix, rows)?)
    }

    fn predict_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Predictions, HeadError> {
        self.train_only().predict(matrix, rows)
    }

    fn age_distribution(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        if !self.predicts_distribution() {
            return Ok(None);
        }
        distribution(rows.len(), self.averaged(matrix, rows)?).map(Some)
    }

    fn age_distribution_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        self.train_only().age_distribution(matrix, rows)
    }

    fn uncertainty(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Vec<f32>>, HeadError> {
        mc_dropout::uncertainty(self, matrix, rows)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn state_dict(&self) -> StateDict {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.network.store(&mut tensors);
        let (temperature, years) = (self.decoder.temperature, self.decoder.years);
        let decoder_values = Array1::from(vec![temperature, years.0, years.1]);
        tensors.insert("decoder".to_owned(), decoder_values.into_dyn());
        if !self.decoder.thresholds.is_empty() {
            let thresholds = Array1::from(self.decoder.thresholds.clone());
            tensors.insert("thresholds".to_owned(), thresholds.into_dyn());
        }
        let FittedSettings { architecture, multi_task, .. } = self.stored.settings;
        self.stored.state_dict(name_of(architecture, multi_task), tensors)
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    Ok(Box::new(read(state)?))
}

/// The trained network of this state dict.
pub(crate) fn read(state: &StateDict) -> Result<Fitted, HeadError> {
    let reader = Reader(state);
    let stored: Stored<FittedSettings> = reader.stored()?;
    let FittedSettings { architecture, options, .. } = &stored.settings;
    options.check().map_err(|error| HeadError::Corrupt(error.to_string()))?;
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let decoder_values = reader.vector("decoder", Some(3))?;
    let mut decoder = Decoder::new(stored.target, options, (decoder_values[1], decoder_values[2]));
    decoder.temperature = decoder_values[0];
    if decoder.temperature <= 0.0 {
        return Err(HeadError::Corrupt(format!("a temperature of {}", decoder.temperature)));
    }
    if stored.target == TargetKind::Regression && options.age_loss == AgeLoss::Ordinal {
        decoder.set_thresholds(reader.vector("thresholds", Some(YEARS - 1))?);
    }
    let network =
        Network::restore(&reader, *architecture, options, features.width(), decoder.outputs())?;
    Ok(Fitted { features, network, decoder, stored, train_only: None })
}
