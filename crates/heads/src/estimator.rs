//! What the heads on standardised features have in common: an [`Estimator`], which is a [`Head`],
//! fits its [`Algorithm`] to them; the [`Model`] that comes of it predicts in a [`Fitted`] head.

use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    StateDict, TargetKind, TrainingLog,
};
use ndarray::Array2;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::state_dict::{Reader, Stored, Tensors};
use crate::svm::Scaling;
use crate::years;

/// How a model is fitted; holds the checked settings.
pub(crate) trait Algorithm: Send + Sync {
    /// What is fitted.
    type Model: Model;

    /// Fits a model to the training rows, scaled by `features`; both datasets have the same kind
    /// of targets.
    fn fit(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<(Self::Model, TrainingLog), HeadError>;
}

/// What an algorithm has learnt, without the scaling of the features.
pub(crate) trait Model: Send + Sync + Sized + 'static {
    /// The settings that are stored with it.
    type Settings: Serialize + DeserializeOwned;

    /// Class probabilities or ages of some rows, given as their scaled features.
    fn predict(&self, target: TargetKind, rows: Vec<f32>) -> Result<Vec<f32>, HeadError>;

    /// The settings to store.
    fn settings(&self) -> &Self::Settings;

    /// Adds its numbers to a head's tensors.
    fn store(&self, tensors: &mut Tensors);

    /// Takes its numbers from a stored head of `width` features.
    fn restore(
        reader: &Reader<'_>,
        target: TargetKind,
        settings: Self::Settings,
        width: usize,
    ) -> Result<Self, HeadError>;
}

/// A head that scales the features and leaves the rest to its algorithm.
#[derive(Debug)]
pub(crate) struct Estimator<A> {
    pub(crate) name: &'static str,
    /// For the report.
    pub(crate) settings: serde_json::Value,
    pub(crate) scaling: Scaling,
    pub(crate) unit_columns: Option<(usize, usize)>,
    pub(crate) algorithm: A,
}

impl<A: Algorithm> Estimator<A> {
    /// Scales the features, and fits.
    pub(crate) fn fitted(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fitted<A::Model>, HeadError> {
        let target = training.targets().kind();
        if validation.targets().kind() != target {
            return Err(mismatch(target, validation.targets().kind()));
        }
        let features = match self.scaling {
            Scaling::Standard => Standardiser::fit(training, self.unit_columns)?,
            Scaling::Unit => Standardiser::unit(training, self.unit_columns)?,
        };
        features.check(validation.matrix(), validation.rows())?;
        let (model, mut log) = self.algorithm.fit(&features, training, validation, seed)?;
        log.notes.extend(years::midpoint_note(training.targets()));
        log.notes.extend(years::choice_note(validation.targets()));
        Ok(Fitted { name: self.name.to_owned(), target, features, model, log })
    }
}

impl<A: Algorithm> Head for Estimator<A> {
    fn name(&self) -> &str {
        self.name
    }

    fn settings(&self) -> serde_json::Value {
        self.settings.clone()
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        Fit::of(self.fitted(training, validation, seed)?, validation)
    }
}

/// A model behind the scaling of its features.
#[derive(Debug)]
pub(crate) struct Fitted<M> {
    /// The name in the registry.
    pub(crate) name: String,
    pub(crate) target: TargetKind,
    pub(crate) features: Standardiser,
    pub(crate) model: M,
    pub(crate) log: TrainingLog,
}

impl<M: Model> Fitted<M> {
    /// Restores the head from its state dict.
    pub(crate) fn read(state: &StateDict) -> Result<Self, HeadError> {
        let reader = Reader(state);
        let Stored { target, unit_columns, settings, log } = reader.stored()?;
        let features = Standardiser::restore(&reader, unit_columns)?;
        let model = M::restore(&reader, target, settings, features.width())?;
        Ok(Self { name: state.kind.clone(), target, features, model, log })
    }

    /// [`Self::read`], for the registry.
    pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
        Ok(Box::new(Self::read(state)?))
    }
}

impl<M: Model> FittedHead for Fitted<M> {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let outputs = flip_averaged(&self.features, matrix, rows, |values| {
            self.model.predict(self.target, values)
        })?;
        Ok(predicted_targets(self.target, outputs)?.into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.model.store(&mut tensors);
        let stored = Stored {
            target: self.target,
            unit_columns: self.features.unit_columns(),
            settings: self.model.settings(),
            log: self.log.clone(),
        };
        stored.state_dict(&self.name, tensors)
    }
}

/// Class probabilities, or ages, none below 0, that lie row by row.
pub(crate) fn predicted_targets(
    target: TargetKind,
    outputs: Vec<f32>,
) -> Result<PredictedTargets, HeadError> {
    match target {
        TargetKind::Regression => {
            Ok(PredictedTargets::Regression(outputs.into_iter().map(years::not_negative).collect()))
        }
        TargetKind::Classes { count } => {
            Array2::from_shape_vec((outputs.len() / count.max(1), count), outputs)
                .map(PredictedTargets::Classes)
                .map_err(|error| HeadError::Shape(error.to_string()))
        }
    }
}

/// Training and validation rows with targets of different kinds.
pub(crate) fn mismatch(training: TargetKind, validation: TargetKind) -> HeadError {
    HeadError::Shape(format!(
        "training targets are {training:?}, validation targets {validation:?}"
    ))
}
