//! The multi-layer perceptron.

mod batches;
mod dropout;
mod formula;
mod goals;
mod init;
mod layers;
mod lesson;
mod network;
mod norm;
mod optimiser;
mod options;
mod product;
mod schedule;
mod spread;
mod storage;
mod telling;
mod thresholds;
mod training;

use std::sync::Arc;

use facefold_core::{
    Examples, FeatureMatrix, FeatureRows, FittedHead, Head, HeadError, HeadParts, Predictions,
    TargetKind, TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::features::Standardiser;
use crate::linear::predictions;
use crate::loss::YEARS;
use crate::options::{ClassWeights, HeadOptions};
use crate::parts::{Reader, Stored, Tensors, json};
use crate::sides::answer_both;
use crate::threads::on_one_thread;
pub(crate) use formula::{write, write_mean};
use network::Network;
pub use options::{JointOptions, MlpOptions, Optimiser, YearsAnswer, YearsLoss};
pub use schedule::Schedule;
use telling::Telling;

pub(crate) const NAME: &str = "mlp";
pub(crate) const RESIDUAL_NAME: &str = "mlp-residual";
pub(crate) const JOINT_NAME: &str = "mlp-joint";

/// Rows answered at a time, which bounds the memory of their standardised copies.
///
/// candle hands elementwise operations on 65,536 values or more to a pool of threads of its own;
/// 250 rows of 256 units stay on the thread that runs the fit.
const ANSWER_ROWS: usize = 250;

/// How the layers are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Linear, batch norm, ReLU, dropout; layer after layer.
    Plain,
    /// Batch norm, dropout, linear, ReLU; a block that keeps its width adds its input.
    Residual,
}

/// A multi-layer perceptron to be fitted.
#[derive(Debug)]
pub(crate) struct Mlp {
    form: Form,
    /// Where it learns the tasks of the training rows' companions beside its own.
    joint: Option<JointOptions>,
    /// The trained head that it starts from, where it does not start at random.
    start: Option<Arc<HeadParts>>,
    options: MlpOptions,
    class_weights: ClassWeights,
    unit_columns: Option<(usize, usize)>,
}

impl Mlp {
    /// Checks the settings.
    pub(crate) fn new(form: Form, options: &HeadOptions) -> Result<Self, HeadError> {
        options.mlp.check()?;
        Ok(Self {
            form,
            joint: None,
            start: options.start.clone(),
            options: options.mlp.clone(),
            class_weights: options.class_weights,
            unit_columns: options.unit_columns,
        })
    }
}

impl Mlp {
    /// A plain one that leaves the validation rows to heads made of it, which choose by them, too.
    pub(crate) fn fitted_once(options: &HeadOptions) -> Result<Self, HeadError> {
        let mut head = Self::new(Form::Plain, options)?;
        head.options.refit = false;
        Ok(head)
    }

    /// A network that several tasks share but for its outputs; checks the settings.
    ///
    /// Each task has a fit of its own, whose best epoch and temperature are chosen by that task's
    /// validation rows. What is kept of a fit is its trunk and the outputs of that task, so that a
    /// fitted one answers as an `mlp` does.
    pub(crate) fn joint(options: &HeadOptions) -> Result<Self, HeadError> {
        options.joint.check()?;
        Ok(Self { joint: Some(options.joint.clone()), ..Self::new(Form::Plain, options)? })
    }

    /// Fits it on this thread: once, or once more on all rows.
    pub(crate) fn fitted(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        on_one_thread(|| {
            let chosen = training::fit(self, training, validation, seed)?;
            if !self.options.refit || validation.is_empty() {
                return Ok(chosen);
            }
            let (all, none) = (training.joined(validation)?, validation.none());
            let mut fitted = training::fit(self, &all, &none, seed)?;
            fitted.telling.temperature = chosen.telling.temperature;
            let log = &mut fitted.stored.log;
            log.epochs.clone_from(&chosen.stored.log.epochs);
            log.best_epoch = chosen.stored.log.best_epoch;
            log.notes.push(format!(
                "fitted anew on training and validation rows, {} in all; the learning curve is that \
                 of the fit before, on {} rows",
                log.rows_used, chosen.stored.log.rows_used
            ));
            fitted.before = Some(Box::new(chosen));
            Ok(fitted)
        })
    }
}

fn name_of(form: Form, joint: bool) -> &'static str {
    match form {
        Form::Plain if joint => JOINT_NAME,
        Form::Plain => NAME,
        Form::Residual => RESIDUAL_NAME,
    }
}

impl Head for Mlp {
    fn name(&self) -> &str {
        name_of(self.form, self.joint.is_some())
    }

    fn settings(&self) -> serde_json::Value {
        let mut settings = serde_json::json!({
            "class_weights": self.class_weights,
            "unit_columns": self.unit_columns,
            "mlp": json(&self.options),
        });
        if let Some(joint) = &self.joint {
            settings["joint"] = json(joint);
        }
        if let Some(start) = &self.start {
            settings["start"] = init::hash(start).into();
        }
        settings
    }

    fn uses_companions(&self) -> bool {
        self.joint.is_some()
    }

    fn fit(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        Ok(Box::new(self.fitted(training, validation, seed)?))
    }
}

/// Settings that a fitted network keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FittedSettings {
    form: Form,
    #[serde(default)]
    joint: bool,
    options: MlpOptions,
}

/// A trained network.
#[derive(Debug)]
pub(crate) struct Fitted {
    features: Standardiser,
    network: Network,
    telling: Telling,
    stored: Stored<FittedSettings>,
    /// The fit that did not see the validation rows, where this one did.
    before: Option<Box<Fitted>>,
}

impl Fitted {
    /// Class shares, shares of years, or years, by the rows of one of the matrix's two sides.
    fn shares(&self, source: &FeatureRows, rows: &[usize]) -> Result<Vec<f32>, HeadError> {
        let mut outputs = Vec::with_capacity(rows.len() * self.network.outputs());
        for chunk in rows.chunks(ANSWER_ROWS) {
            outputs.extend(self.network.answer(self.features.rows(source, chunk, 1.0))?);
        }
        Ok(self.telling.shares(outputs))
    }

    /// The same, averaged over the crop and its mirror image where there is one.
    pub(crate) fn averaged(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        answer_both(&self.features, matrix, rows, |source, rows| self.shares(source, rows))
    }

    /// What [`Self::averaged`], or a mean of several of them, tells.
    pub(crate) fn answers(&self, shares: Vec<f32>) -> Result<Predictions, HeadError> {
        match self.stored.target {
            TargetKind::Years => Ok(Predictions::Years(self.telling.years_of(shares))),
            TargetKind::Classes { .. } => predictions(self.stored.target, shares),
        }
    }

    /// Whether [`Self::averaged`] gives shares of years, 117 a row.
    pub(crate) fn tells_distribution(&self) -> bool {
        self.telling.tells_distribution()
    }

    /// Whether another one's shares can be averaged with this one's.
    pub(crate) fn tells_like(&self, other: &Self) -> bool {
        self.telling.tells_like(&other.telling)
    }

    /// The fit that did not see the validation rows.
    pub(crate) fn before(&self) -> &Self {
        self.before.as_deref().unwrap_or(self)
    }
}

/// Shares of years, row by row, as a matrix.
pub(crate) fn distribution(rows: usize, shares: Vec<f32>) -> Result<Array2<f32>, HeadError> {
    Array2::from_shape_vec((rows, YEARS), shares)
        .map_err(|error| HeadError::Shape(error.to_string()))
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        self.answers(self.averaged(matrix, rows)?)
    }

    fn predict_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Predictions, HeadError> {
        self.before().predict(matrix, rows)
    }

    fn year_distribution(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        if !self.tells_distribution() {
            return Ok(None);
        }
        distribution(rows.len(), self.averaged(matrix, rows)?).map(Some)
    }

    fn year_distribution_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        self.before().year_distribution(matrix, rows)
    }

    fn spread(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Vec<f32>>, HeadError> {
        spread::spread(self, matrix, rows)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn parts(&self) -> HeadParts {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.network.store(&mut tensors);
        let (temperature, years) = (self.telling.temperature, self.telling.years);
        let answer = Array1::from(vec![temperature, years.0, years.1]);
        tensors.insert("answer".to_owned(), answer.into_dyn());
        if !self.telling.thresholds.is_empty() {
            let thresholds = Array1::from(self.telling.thresholds.clone());
            tensors.insert("thresholds".to_owned(), thresholds.into_dyn());
        }
        let FittedSettings { form, joint, .. } = self.stored.settings;
        self.stored.parts(name_of(form, joint), tensors)
    }
}

/// Makes the head from its stored parts.
pub(crate) fn restore(parts: &HeadParts) -> Result<Box<dyn FittedHead>, HeadError> {
    Ok(Box::new(read(parts)?))
}

/// The trained network of these parts.
pub(crate) fn read(parts: &HeadParts) -> Result<Fitted, HeadError> {
    let reader = Reader(parts);
    let stored: Stored<FittedSettings> = reader.stored()?;
    let FittedSettings { form, options, .. } = &stored.settings;
    options.check().map_err(|error| HeadError::Damaged(error.to_string()))?;
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let answer = reader.vector("answer", Some(3))?;
    let mut telling = Telling::new(stored.target, options, (answer[1], answer[2]));
    telling.temperature = answer[0];
    if telling.temperature <= 0.0 {
        return Err(HeadError::Damaged(format!("a temperature of {}", telling.temperature)));
    }
    if stored.target == TargetKind::Years && options.years_loss == YearsLoss::Ordinal {
        telling.set_thresholds(reader.vector("thresholds", Some(YEARS - 1))?);
    }
    let network = Network::restore(&reader, *form, options, features.width(), telling.outputs())?;
    Ok(Fitted { features, network, telling, stored, before: None })
}
