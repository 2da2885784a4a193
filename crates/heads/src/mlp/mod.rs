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
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    StateDict, TargetKind, TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::estimator::predicted_targets;
use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::loss::YEARS;
use crate::options::{ClassWeights, HeadOptions};
use crate::state_dict::{Reader, Stored, Tensors, json};
use crate::years;
use decoder::Decoder;
pub(crate) use export::{export, export_mean};
use network::Network;
#[cfg(test)]
pub(crate) use network::PASSES;
pub use options::{AgeDecoding, AgeLoss, MlpOptions, MultiTaskOptions, OptimizerKind};
pub use schedule::Schedule;

pub(crate) const NAME: &str = "mlp";
pub(crate) const RESIDUAL_NAME: &str = "mlp-residual";
pub(crate) const MULTI_TASK_NAME: &str = "mlp-multi-task";

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

    /// Fits it: once, or once more on all rows. `evaluate` sees the fit on the training rows only,
    /// which is dropped before the refit.
    pub(crate) fn fitted<T>(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
        evaluate: impl FnOnce(&Fitted) -> Result<T, HeadError>,
    ) -> Result<(Fitted, T), HeadError> {
        let first = training::fit(self, training, validation, seed)?;
        let evaluated = evaluate(&first)?;
        if !self.options.refit || validation.is_empty() {
            return Ok((first, evaluated));
        }
        let (temperature, curve) = (first.decoder.temperature, first.stored.log.clone());
        drop(first);
        let (all, none) = (training.concat(validation)?, validation.empty());
        let mut fitted = training::fit(self, &all, &none, seed)?;
        fitted.decoder.temperature = temperature;
        let log = &mut fitted.stored.log;
        log.notes.extend(years::choice_note(validation.targets()));
        log.notes.push(format!(
            "refitted on training and validation rows, {} in all; the learning curve is that of \
             the first fit, on {} rows",
            log.rows_used, curve.rows_used
        ));
        (log.epochs, log.best_epoch) = (curve.epochs, curve.best_epoch);
        Ok((fitted, evaluated))
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
    ) -> Result<Fit, HeadError> {
        let predict = |first: &Fitted| first.predict(validation.matrix(), validation.rows());
        let (fitted, validation) = self.fitted(training, validation, seed, predict)?;
        Ok(Fit { head: Box::new(fitted), validation })
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
}

impl Fitted {
    /// Class probabilities, probabilities of ages, or ages in years, averaged over the crop and its
    /// mirror image where there is one.
    pub(crate) fn averaged(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        flip_averaged(&self.features, matrix, rows, |values| {
            Ok(self.decoder.probabilities(self.network.predict(values)?))
        })
    }

    /// The prediction of [`Self::averaged`], or of a mean of several of them, without uncertainty.
    pub(crate) fn decode(&self, probabilities: Vec<f32>) -> Result<Prediction, HeadError> {
        let target = self.stored.target;
        if let TargetKind::Classes { .. } = target {
            return predicted_targets(target, probabilities).map(Prediction::from);
        }
        let years = self.decoder.years_of(&probabilities);
        let age_distribution =
            self.predicts_distribution().then(|| distribution(probabilities)).transpose()?;
        Ok(Prediction { age_distribution, ..PredictedTargets::Regression(years).into() })
    }

    /// Whether [`Self::averaged`] gives probabilities of the ages 0 to 116, 117 a row.
    pub(crate) fn predicts_distribution(&self) -> bool {
        self.decoder.predicts_distribution()
    }

    /// Whether the probabilities of another network can be averaged with this one's.
    pub(crate) fn is_compatible_with(&self, other: &Self) -> bool {
        self.decoder.is_compatible_with(&other.decoder)
    }
}

/// Probabilities of ages, row by row, as a matrix.
pub(crate) fn distribution(probabilities: Vec<f32>) -> Result<Array2<f32>, HeadError> {
    Array2::from_shape_vec((probabilities.len() / YEARS, YEARS), probabilities)
        .map_err(|error| HeadError::Shape(error.to_string()))
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let uncertainty = mc_dropout::uncertainty(self, matrix, rows)?;
        Ok(Prediction { uncertainty, ..self.decode(self.averaged(matrix, rows)?)? })
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
    Ok(Fitted { features, network, decoder, stored })
}
