//! The settings of the multi-layer perceptrons.

use facefold_core::HeadError;
use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::loss::YEARS;
use crate::options::require;

/// How a gradient becomes a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), with betas 0.9 and
    /// 0.999.
    AdamW {
        /// Share of each weight that a step at learning rate 1 takes away; biases and batch norms
        /// keep theirs.
        weight_decay: f64,
    },
    /// Kingma and Ba, "Adam" (2015), with the betas above and an L2 penalty, as in `PyTorch`.
    Adam {
        /// Added to the gradient, times the weight.
        weight_decay: f64,
    },
    /// Stochastic gradient descent with momentum, as in `PyTorch`.
    Sgd {
        /// Share of the last step that is kept.
        momentum: f64,
        /// Added to the gradient, times the weight.
        weight_decay: f64,
    },
}

/// What years are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum YearsLoss {
    /// A normal distribution around the age, over the years 0 to 116; wider for the old, of whom
    /// neither faces nor annotators tell the year.
    Distribution {
        /// Standard deviation in years at birth.
        sigma: f32,
        /// What each year of age adds to it.
        #[serde(default)]
        growth: f32,
        /// Weight of the absolute error of the expectation.
        l1: f32,
    },
    /// One output and a threshold for each year: "older than k years" for every k at once.
    /// (CORAL: Cao, Mirjalili and Raschka, Pattern Recognition Letters 140, 2020.)
    Ordinal,
    /// One output, absolute error.
    L1,
    /// One output, squared error.
    L2,
}

impl YearsLoss {
    /// Outputs of the network.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Distribution { .. } => YEARS,
            Self::Ordinal | Self::L1 | Self::L2 => 1,
        }
    }
}

/// Which year of the told distribution is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum YearsAnswer {
    /// The whole year at which half the distribution is reached: the least absolute error where
    /// ages are told in whole years, as annotators tell them.
    MedianYear,
    /// The point in time at which half the distribution is reached, each year's share being spread
    /// over half a year before and after it.
    Median,
    /// The mean: the least squared error.
    Expectation,
}

/// Settings of the multi-layer perceptron.
///
/// `results/README.md` has what the defaults reach; `results/features.md` what was tried beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "switches that are independent of each other")]
pub struct MlpOptions {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether hidden layers have batch norm.
    pub batch_norm: bool,
    /// Share of standardised features set to 0 in each training row, 0 to below 1.
    pub input_dropout: f32,
    /// Share of hidden units set to 0 in each training row, 0 to below 1.
    pub dropout: f32,
    /// How a gradient becomes a step.
    pub optimiser: Optimiser,
    /// Penalty on the absolute weights: a step brings each nearer to 0 by this times the learning
    /// rate. Biases and batch norms are free of it.
    pub l1: f64,
    /// Learning rate: the first, or the highest of a cycle.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Few rows get more passes, until there are this many steps.
    pub least_steps: usize,
    /// Rows a step (250 times 256 units stays below the 65,536 values from which candle works with
    /// threads of its own); fewer where an epoch would have less than 20 steps, but not below 32.
    pub batch: usize,
    /// Stop after so many epochs without a better validation score.
    pub patience: Option<usize>,
    /// Whether a training row is its mirrored crop half the time, where the matrix has those.
    pub mirror: bool,
    /// Mix each training row with another by a Beta(a, a) share; 0 for no mixing. (Zhang et al.,
    /// "mixup", 2018.)
    pub mixup: f64,
    /// What years are trained on.
    pub years_loss: YearsLoss,
    /// Which year of the told distribution is the answer.
    pub years_answer: YearsAnswer,
    /// Whether class probabilities are sharpened or softened to fit the validation rows.
    pub temperature: bool,
    /// Whether a second fit, on the training and the validation rows together, answers in the end.
    /// The first one's validation rows choose nothing of it but the temperature: it runs through
    /// all epochs.
    pub refit: bool,
    /// Passes with units dropped as in training, by which a fitted head says how sure it is of an
    /// answer; 0 for none. (Gal and Ghahramani, "Dropout as a Bayesian approximation", 2016.)
    pub spread_passes: usize,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self {
            hidden: vec![256, 256, 256],
            batch_norm: true,
            input_dropout: 0.2,
            dropout: 0.4,
            optimiser: Optimiser::AdamW { weight_decay: 0.05 },
            l1: 0.0,
            learning_rate: 3e-3,
            schedule: Schedule::OneCycle { warmup: 0.3 },
            epochs: 12,
            least_steps: 600,
            batch: 250,
            patience: None,
            mirror: true,
            mixup: 0.4,
            years_loss: YearsLoss::Distribution { sigma: 1.0, growth: 0.05, l1: 0.1 },
            years_answer: YearsAnswer::MedianYear,
            temperature: true,
            refit: true,
            spread_passes: 0,
        }
    }
}

impl MlpOptions {
    pub(super) fn check(&self) -> Result<(), HeadError> {
        let sizes_fit = self.hidden.iter().all(|size| (1..=65_536).contains(size));
        require(sizes_fit, "mlp.hidden", "widths of 1 to 65,536", &self.hidden)?;
        for (name, share) in
            [("mlp.input_dropout", self.input_dropout), ("mlp.dropout", self.dropout)]
        {
            require((0.0..1.0).contains(&share), name, "at least 0 and below 1", share)?;
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let rate = self.learning_rate;
        require(positive(rate), "mlp.learning_rate", "above 0", rate)?;
        let (momentum, decay) = match self.optimiser {
            Optimiser::AdamW { weight_decay } | Optimiser::Adam { weight_decay } => {
                (0.0, weight_decay)
            }
            Optimiser::Sgd { momentum, weight_decay } => (momentum, weight_decay),
        };
        require((0.0..1.0).contains(&momentum), "momentum", "at least 0 and below 1", momentum)?;
        require(decay >= 0.0 && decay.is_finite(), "weight_decay", "at least 0", decay)?;
        require(self.l1 >= 0.0 && self.l1.is_finite(), "mlp.l1", "at least 0", self.l1)?;
        require(self.epochs > 0, "mlp.epochs", "at least 1", self.epochs)?;
        require(self.batch > 1, "mlp.batch", "at least 2", self.batch)?;
        let passes = self.spread_passes;
        require(passes != 1 && passes <= 10_000, "mlp.spread_passes", "0, or 2 to 10,000", passes)?;
        require(self.patience != Some(0), "mlp.patience", "at least 1", self.patience)?;
        let mixes = self.mixup >= 0.0 && self.mixup.is_finite();
        require(mixes, "mlp.mixup", "at least 0", self.mixup)?;
        if let YearsLoss::Distribution { sigma, growth, l1 } = self.years_loss {
            require((0.1..=50.0).contains(&sigma), "sigma", "0.1 to 50 years", sigma)?;
            require((0.0..=1.0).contains(&growth), "growth", "0 to 1 year a year", growth)?;
            require(l1 >= 0.0 && l1.is_finite(), "l1", "at least 0", l1)?;
        }
        self.schedule.check()
    }
}

/// Settings of `mlp-joint`: what the losses of its tasks count beside each other.
///
/// Of the network the tasks share all but the outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointOptions {
    /// Of a task that tells years, above 0.
    pub years: f64,
    /// Of a task that tells classes, above 0.
    pub classes: f64,
}

impl Default for JointOptions {
    fn default() -> Self {
        Self { years: 1.0, classes: 0.5 }
    }
}

impl JointOptions {
    pub(super) fn check(&self) -> Result<(), HeadError> {
        for (name, weight) in [("joint.years", self.years), ("joint.classes", self.classes)] {
            require(weight > 0.0 && weight.is_finite(), name, "above 0", weight)?;
        }
        Ok(())
    }
}
