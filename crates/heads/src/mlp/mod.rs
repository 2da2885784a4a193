//! The multi-layer perceptron: a single-task or multi-task network of candle-nn.
//!
//! `model.rs` has the network, `data.rs` the batches, `loss.rs` the targets and losses, `optimizer.rs`
//! the optimizers, `train.rs` the loop over epochs, `predict.rs` the fitted head. `norm.rs` and
//! `product.rs` are fused operations of ours under candle's tensors.

mod data;
mod decoder;
mod dropout;
mod export;
mod init;
mod layers;
mod logit_adjustment;
mod loss;
mod mc_dropout;
mod model;
mod multi_task;
mod norm;
mod optimizer;
mod options;
mod order;
mod predict;
mod product;
mod schedule;
mod storage;
mod thresholds;
mod train;
mod variables;
mod window;

use std::sync::Arc;

use facefold_core::{
    Epoch, FeatureDataset, Fit, FittedHead, Head, HeadError, StateDict, TargetKind,
};
use serde::{Deserialize, Serialize};

use crate::options::{ClassWeights, HeadOptions};
use crate::state_dict::json;
use crate::years;
pub(crate) use export::{export, export_mean};
#[cfg(test)]
pub(crate) use model::PASSES;
pub use options::{AgeDecoding, AgeLoss, MlpOptions, MultiTaskOptions, OptimizerKind};
use predict::FittedSettings;
pub(crate) use predict::{Fitted, distribution, read, restore};
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
    /// which is dropped before the refit. Where that fit had learnt its rows by heart at its last epoch, it is
    /// kept: a refit has no validation rows to stop it, and intervals and temperatures of the first fit's best
    /// epoch would be those of another network.
    pub(crate) fn fitted<T>(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
        evaluate: impl FnOnce(&Fitted) -> Result<T, HeadError>,
    ) -> Result<(Fitted, T), HeadError> {
        let mut first = train::fit(self, training, validation, seed)?;
        let evaluated = evaluate(&first)?;
        if !self.options.refit || validation.is_empty() {
            return Ok((first, evaluated));
        }
        if let Some(note) = self.overfitted(&first.stored.log.epochs, first.stored.target) {
            first.stored.log.notes.push(note);
            return Ok((first, evaluated));
        }
        let (temperature, curve) = (first.decoder.temperature, first.stored.log.clone());
        drop(first);
        let (all, none) = (training.concat(validation)?, validation.empty());
        let mut fitted = train::fit(self, &all, &none, seed)?;
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

/// The validation error of the last epoch, as a multiple of the least, from which a fit counts as overfitted. On
/// 300 rows whose features say little of the age it is 1.1 to 1.3, and intervals after a refit hold 55 to 60 % in
/// place of 80 %.
const OVERFITTED: f64 = 1.05;

/// Less than this is no rise: losses of classes that are separable are next to 0.
const LEAST_RISE: f64 = 0.02;

/// Only sets so small that [`MlpOptions::min_steps`] has their rows passed so many times as often as
/// [`MlpOptions::epochs`] says are looked at (some 4,000 rows with the defaults).
const REPEATED: usize = 3;

impl Mlp {
    /// Why there is no refit, if the error of the validation rows of a small set went up again until the last epoch.
    fn overfitted(&self, epochs: &[Epoch], target: TargetKind) -> Option<String> {
        let errors: Vec<f64> = epochs.iter().map(|epoch| train::error(epoch, target)).collect();
        let (least, last) = (errors.iter().copied().reduce(f64::min)?, *errors.last()?);
        let rose = last > (OVERFITTED * least).max(least + LEAST_RISE);
        (rose && epochs.len() > REPEATED * self.options.epochs).then(|| {
            format!(
                "not refitted on all rows: the validation error rose from {least:.3} to {last:.3} by the last \
                 epoch"
            )
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
    ) -> Result<Fit, HeadError> {
        let predict = |first: &Fitted| first.predict(validation.matrix(), validation.rows());
        let (fitted, validation) = self.fitted(training, validation, seed, predict)?;
        Ok(Fit { head: Box::new(fitted), validation })
    }
}
