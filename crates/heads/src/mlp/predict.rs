//! The fitted head: predicts by a trained network, and is stored as a state dict.

use facefold_core::{
    FeatureMatrix, FittedHead, HeadError, PredictedTargets, Prediction, StateDict, TargetKind,
    TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::model::Network;
use super::{AgeLoss, Architecture, MlpOptions, mc_dropout, name_of};
use crate::estimator::predicted_targets;
use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::loss::YEARS;
use crate::state_dict::{Reader, Stored, Tensors};

/// Settings of a fitted network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedSettings {
    pub(super) architecture: Architecture,
    #[serde(default)]
    pub(super) multi_task: bool,
    pub(super) options: MlpOptions,
}

/// A trained network.
pub(crate) struct Fitted {
    pub(super) features: Standardiser,
    pub(super) network: Network,
    pub(super) decoder: Decoder,
    pub(super) stored: Stored<FittedSettings>,
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
