//! How the learning rate changes over the steps.

use std::f64::consts::PI;

use facefold_core::HeadError;
use serde::{Deserialize, Serialize};

use crate::options::require;

/// How the learning rate changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Multiplied by `factor` after each epoch.
    Exponential {
        /// Above 0, at most 1.
        factor: f64,
    },
    /// From 1/25 of the rate up to it, then down to a 250,000th of it, both along half a cosine.
    /// (Smith and Topin, "Super-convergence", 2018; fractions as in `PyTorch`'s `OneCycleLR`.)
    OneCycle {
        /// Fraction of the steps spent going up, above 0 and below 1.
        warmup: f64,
    },
    /// Multiplied by `factor` after `patience` epochs without a lower validation loss.
    Plateau {
        /// Above 0, at most 1.
        factor: f64,
        /// At least 1.
        patience: usize,
    },
}

impl Schedule {
    pub(super) fn check(self) -> Result<(), HeadError> {
        match self {
            Self::Constant => Ok(()),
            Self::Exponential { factor } => {
                require(factor > 0.0 && factor <= 1.0, "factor", "above 0, at most 1", factor)
            }
            Self::OneCycle { warmup } => {
                require(warmup > 0.0 && warmup < 1.0, "warmup", "above 0 and below 1", warmup)
            }
            Self::Plateau { factor, patience } => {
                require(factor > 0.0 && factor <= 1.0, "factor", "above 0, at most 1", factor)?;
                require(patience > 0, "patience", "at least 1", patience)
            }
        }
    }
}

/// Follows a schedule step by step.
#[derive(Debug)]
pub(super) struct Rate {
    schedule: Schedule,
    highest: f64,
    steps: usize,
    step: usize,
    /// What the epochs have multiplied the rate by.
    factor: f64,
    lowest_loss: f64,
    waited: usize,
}

impl Rate {
    /// At the first of `steps` steps.
    pub(super) fn new(schedule: Schedule, highest: f64, steps: usize) -> Self {
        let lowest_loss = f64::INFINITY;
        Self { schedule, highest, steps, step: 0, factor: 1.0, lowest_loss, waited: 0 }
    }

    /// The rate of the current step.
    pub(super) fn now(&self) -> f64 {
        let Schedule::OneCycle { warmup } = self.schedule else {
            return self.highest * self.factor;
        };
        let last = self.steps.saturating_sub(1).max(1) as f64;
        let (first, end) = (self.highest / 25.0, self.highest / 250_000.0);
        let turn = (warmup * last).max(1.0).min(last);
        let at = (self.step as f64).min(last);
        let half_cosine = |from: f64, to: f64, fraction: f64| {
            to + (from - to) / 2.0 * (1.0 + (PI * fraction).cos())
        };
        if at <= turn {
            half_cosine(first, self.highest, at / turn)
        } else {
            half_cosine(self.highest, end, (at - turn) / (last - turn))
        }
    }

    /// One step is done.
    pub(super) fn step(&mut self) {
        self.step += 1;
    }

    /// One epoch is done, with this loss on the validation rows.
    pub(super) fn epoch(&mut self, validation_loss: f64) {
        match self.schedule {
            Schedule::Exponential { factor } => self.factor *= factor,
            Schedule::Plateau { factor, patience } => {
                if validation_loss < self.lowest_loss {
                    self.lowest_loss = validation_loss;
                    self.waited = 0;
                    return;
                }
                self.waited += 1;
                if self.waited >= patience {
                    self.factor *= factor;
                    self.waited = 0;
                }
            }
            Schedule::Constant | Schedule::OneCycle { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, Schedule};

    /// Golden values:
    /// ```python
    /// import torch
    /// o = torch.optim.SGD([torch.zeros(1)], 1.0)
    /// s = torch.optim.lr_scheduler.OneCycleLR(o, 3e-3, total_steps=11, pct_start=0.3)
    /// for _ in range(11): print(s.get_last_lr()); o.step(); s.step()
    /// ```
    /// `PyTorch` turns at step 0.3 * 11 - 1 = 2.3; ours at 0.3 * 10 = 3, so only the ends and the
    /// top agree: 1.2e-4, 3e-3, 1.2e-8.
    #[test]
    fn one_cycle_rises_and_falls() {
        let mut rate = Rate::new(Schedule::OneCycle { warmup: 0.3 }, 3e-3, 11);
        let mut rates = Vec::new();
        for _ in 0..11 {
            rates.push(rate.now());
            rate.step();
        }
        assert!((rates[0] - 1.2e-4).abs() < 1e-12);
        assert!((rates[3] - 3e-3).abs() < 1e-12);
        assert!((rates[10] - 1.2e-8).abs() < 1e-12);
        assert!(rates[..4].is_sorted() && rates[3..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn plateau_waits_and_exponential_does_not() {
        let mut plateau = Rate::new(Schedule::Plateau { factor: 0.5, patience: 2 }, 1.0, 9);
        let mut exponential = Rate::new(Schedule::Exponential { factor: 0.5 }, 1.0, 9);
        let mut rates = Vec::new();
        for loss in [3.0, 2.0, 2.5, 2.5, 2.4, 1.0] {
            plateau.epoch(loss);
            exponential.epoch(loss);
            rates.push(plateau.now());
        }
        assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
        assert_eq!(exponential.now(), 0.5_f64.powi(6));
    }
}
