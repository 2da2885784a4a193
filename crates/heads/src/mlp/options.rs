//! Settings of the multi-layer perceptrons.

use facefold_core::HeadError;
use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::loss::YEARS;
use crate::options::require;

/// The optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), with betas 0.9 and
    /// 0.999.
    AdamW {
        /// Decoupled weight decay, multiplied by the learning rate; not of biases and batch norms.
        weight_decay: f64,
    },
    /// Kingma and Ba, "Adam" (2015), with the betas above and an L2 penalty, as in `PyTorch`.
    Adam {
        /// L2 penalty: the weight times this is added to its gradient.
        weight_decay: f64,
    },
    /// Stochastic gradient descent with momentum, as in `PyTorch`.
    Sgd {
        /// Momentum factor, 0 to below 1.
        momentum: f64,
        /// L2 penalty: the weight times this is added to its gradient.
        weight_decay: f64,
    },
}

/// The loss of an age regressor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgeLoss {
    /// Label distribution learning: cross-entropy against a normal distribution around the age,
    /// over the ages 0 to 116; wider for old people, whose ages are less certain.
    Distribution {
        /// Standard deviation in years at birth.
        sigma: f32,
        /// Added to the standard deviation for each year of age.
        #[serde(default)]
        growth: f32,
        /// Weight of the absolute error of the distribution's mean.
        l1: f32,
    },
    /// Ordinal regression: one output and a threshold for each year, "older than k years" for every
    /// k at once.
    /// (CORAL: Cao, Mirjalili and Raschka, Pattern Recognition Letters 140, 2020.)
    Ordinal,
    /// One output, absolute error.
    L1,
    /// One output, squared error.
    L2,
}

impl AgeLoss {
    /// Outputs of the network.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Distribution { .. } => YEARS,
            Self::Ordinal | Self::L1 | Self::L2 => 1,
        }
    }
}

/// How the predicted age is decoded from the predicted distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeDecoding {
    /// The median in whole years: the least absolute error where labels are whole years.
    MedianYear,
    /// The median as a real number, with the probability of each age spread evenly over half a year
    /// before and after it.
    Median,
    /// The mean of the distribution: the least squared error.
    Expectation,
}

/// Settings of the multi-layer perceptron.
///
/// `results/README.md` has the accuracy of the defaults, `results/features.md` the ablations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "switches that are independent of each other")]
pub struct MlpOptions {
    /// Widths of the hidden layers.
    pub hidden_layer_sizes: Vec<usize>,
    /// Whether hidden layers have batch norm.
    pub batch_norm: bool,
    /// Dropout probability of the standardised input features, 0 to below 1.
    pub input_dropout: f32,
    /// Dropout probability of the hidden units, 0 to below 1.
    pub dropout: f32,
    /// The optimizer.
    pub optimizer: OptimizerKind,
    /// L1 penalty, applied as a proximal step: each weight shrinks towards 0 by this times the
    /// learning rate. Not of biases and batch norms.
    pub l1: f64,
    /// Learning rate: the initial one, or the highest of a one-cycle schedule.
    pub learning_rate: f64,
    /// Learning rate schedule.
    pub schedule: Schedule,
    /// Epochs: passes over the training rows.
    pub epochs: usize,
    /// Optimizer steps, at least: small training sets get more epochs.
    pub min_steps: usize,
    /// Batch size; smaller (down to 32) where an epoch would have less than 20 steps. (250 times
    /// 256 units stays below the 65,536 values from which candle starts threads of its own.)
    pub batch_size: usize,
    /// Early stopping: epochs without a better validation score before training stops. `None`: no
    /// early stopping.
    pub patience: Option<usize>,
    /// Random horizontal flip: whether a training row is replaced by its mirrored crop half the
    /// time, where the matrix has mirrored rows.
    pub horizontal_flip: bool,
    /// Mixup (Zhang et al., 2018): the alpha of the Beta(alpha, alpha) distribution of the mixing
    /// coefficient; 0 for none.
    pub mixup: f64,
    /// Loss of an age regressor.
    pub age_loss: AgeLoss,
    /// How the predicted age is decoded from the predicted distribution.
    pub age_decoding: AgeDecoding,
    /// Logit adjustment of the predicted age distribution, 0 to 1: 0 leaves the training rows'
    /// frequencies of ages in it, 1 takes them out, so that rare ages are predicted as readily as
    /// frequent ones. Of `AgeLoss::Distribution`.
    pub logit_adjustment: f64,
    /// Temperature scaling: whether class probabilities are calibrated on the validation rows.
    pub temperature: bool,
    /// Whether the network is fitted a second time, on training and validation rows together, for
    /// all epochs. The validation rows choose only the temperature then.
    pub refit: bool,
    /// Gigabytes of training rows that are shuffled together. More of them are shuffled in windows of so
    /// many, each made of blocks of rows that lie together, drawn from all over the training set: an epoch
    /// then reads the features once, from front to back of each block.
    pub memory_gb: f64,
    /// Monte-Carlo dropout: forward passes with dropout by which a fitted head estimates its
    /// uncertainty; 0 for none. (Gal and Ghahramani, "Dropout as a Bayesian approximation", 2016.)
    pub mc_dropout_passes: usize,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self {
            hidden_layer_sizes: vec![256, 256, 256],
            batch_norm: true,
            input_dropout: 0.2,
            dropout: 0.4,
            optimizer: OptimizerKind::AdamW { weight_decay: 0.05 },
            l1: 0.0,
            learning_rate: 3e-3,
            schedule: Schedule::OneCycle { warmup: 0.3 },
            epochs: 12,
            min_steps: 600,
            batch_size: 250,
            patience: None,
            horizontal_flip: true,
            mixup: 0.4,
            age_loss: AgeLoss::Distribution { sigma: 1.0, growth: 0.05, l1: 0.1 },
            age_decoding: AgeDecoding::MedianYear,
            logit_adjustment: 0.3,
            temperature: true,
            refit: true,
            memory_gb: 4.0,
            mc_dropout_passes: 0,
        }
    }
}

impl MlpOptions {
    pub(super) fn check(&self) -> Result<(), HeadError> {
        let sizes_fit = self.hidden_layer_sizes.iter().all(|size| (1..=65_536).contains(size));
        require(
            sizes_fit,
            "mlp.hidden_layer_sizes",
            "widths of 1 to 65,536",
            &self.hidden_layer_sizes,
        )?;
        for (name, probability) in
            [("mlp.input_dropout", self.input_dropout), ("mlp.dropout", self.dropout)]
        {
            require(
                (0.0..1.0).contains(&probability),
                name,
                "at least 0 and below 1",
                probability,
            )?;
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let rate = self.learning_rate;
        require(positive(rate), "mlp.learning_rate", "above 0", rate)?;
        let (momentum, decay) = match self.optimizer {
            OptimizerKind::AdamW { weight_decay } | OptimizerKind::Adam { weight_decay } => {
                (0.0, weight_decay)
            }
            OptimizerKind::Sgd { momentum, weight_decay } => (momentum, weight_decay),
        };
        require((0.0..1.0).contains(&momentum), "momentum", "at least 0 and below 1", momentum)?;
        require(decay >= 0.0 && decay.is_finite(), "weight_decay", "at least 0", decay)?;
        require(self.l1 >= 0.0 && self.l1.is_finite(), "mlp.l1", "at least 0", self.l1)?;
        require(self.epochs > 0, "mlp.epochs", "at least 1", self.epochs)?;
        require(self.batch_size > 1, "mlp.batch_size", "at least 2", self.batch_size)?;
        require(positive(self.memory_gb), "mlp.memory_gb", "above 0 gigabytes", self.memory_gb)?;
        let passes = self.mc_dropout_passes;
        require(
            passes != 1 && passes <= 10_000,
            "mlp.mc_dropout_passes",
            "0, or 2 to 10,000",
            passes,
        )?;
        require(self.patience != Some(0), "mlp.patience", "at least 1", self.patience)?;
        let mixes = self.mixup >= 0.0 && self.mixup.is_finite();
        require(mixes, "mlp.mixup", "at least 0", self.mixup)?;
        let tau = self.logit_adjustment;
        require((0.0..=1.0).contains(&tau), "mlp.logit_adjustment", "0 to 1", tau)?;
        if let AgeLoss::Distribution { sigma, growth, l1 } = self.age_loss {
            require((0.1..=50.0).contains(&sigma), "sigma", "0.1 to 50 years", sigma)?;
            require((0.0..=1.0).contains(&growth), "growth", "0 to 1 year a year", growth)?;
            require(l1 >= 0.0 && l1.is_finite(), "l1", "at least 0", l1)?;
        }
        self.schedule.check()
    }
}

/// Settings of `mlp-multi-task`, a multi-task network: the weights of the losses of its tasks.
///
/// The tasks share all layers but the output layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiTaskOptions {
    /// Weight of the loss of a regression task, above 0.
    pub regression_weight: f64,
    /// Weight of the loss of a classification task, above 0.
    pub classification_weight: f64,
}

impl Default for MultiTaskOptions {
    fn default() -> Self {
        Self { regression_weight: 1.0, classification_weight: 0.5 }
    }
}

impl MultiTaskOptions {
    pub(super) fn check(&self) -> Result<(), HeadError> {
        for (name, weight) in [
            ("multi_task.regression_weight", self.regression_weight),
            ("multi_task.classification_weight", self.classification_weight),
        ] {
            require(weight > 0.0 && weight.is_finite(), name, "above 0", weight)?;
        }
        Ok(())
    }
}
