//! From the network's outputs to answers: shares of classes or years, or years.

use facefold_core::TargetKind;

use super::{MlpOptions, YearsAnswer, YearsLoss};
use crate::loss::{YEARS, expectation, median, ordinal_shares, softmax};

/// How the outputs of a trained network are read.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) target: TargetKind,
    loss: YearsLoss,
    answer: YearsAnswer,
    /// What the logits of classes are divided by.
    pub(super) temperature: f32,
    /// Mean and standard deviation of the training years, for losses of one number.
    pub(super) years: (f32, f32),
    /// Falling thresholds of the ordinal loss; empty for others.
    pub(super) thresholds: Vec<f32>,
}

impl Telling {
    pub(super) fn new(target: TargetKind, options: &MlpOptions, years: (f32, f32)) -> Self {
        let (loss, answer) = (options.years_loss, options.years_answer);
        Self { target, loss, answer, temperature: 1.0, years, thresholds: Vec::new() }
    }

    /// Takes the thresholds as training left them; out of order, they are put in order, so that no
    /// year has a negative share.
    pub(super) fn set_thresholds(&mut self, mut thresholds: Vec<f32>) {
        thresholds.sort_by(|a, b| b.total_cmp(a));
        self.thresholds = thresholds;
    }

    /// Outputs of the network for a row.
    pub(super) fn outputs(&self) -> usize {
        match self.target {
            TargetKind::Classes { count } => count,
            TargetKind::Years => self.loss.outputs(),
        }
    }

    /// Whether shares of years are told, and not years alone.
    pub(super) fn tells_distribution(&self) -> bool {
        self.target == TargetKind::Years
            && matches!(self.loss, YearsLoss::Distribution { .. } | YearsLoss::Ordinal)
    }

    /// Shares of classes or of the years 0 to 116, each row summing to 1; or years, one a row.
    pub(super) fn shares(&self, mut outputs: Vec<f32>) -> Vec<f32> {
        match (self.target, self.loss) {
            (TargetKind::Years, YearsLoss::L1 | YearsLoss::L2) => {
                for z in &mut outputs {
                    *z = *z * self.years.1 + self.years.0;
                }
                outputs
            }
            (TargetKind::Years, YearsLoss::Ordinal) => {
                let mut shares = vec![0.0; outputs.len() * YEARS];
                for (&z, shares) in outputs.iter().zip(shares.chunks_mut(YEARS)) {
                    ordinal_shares(z, &self.thresholds, shares);
                }
                shares
            }
            (TargetKind::Years, YearsLoss::Distribution { .. })
            | (TargetKind::Classes { .. }, _) => {
                let width = self.outputs();
                let mut share = vec![0.0; width];
                for row in outputs.chunks_mut(width) {
                    for z in row.iter_mut() {
                        *z /= self.temperature;
                    }
                    softmax(row, &mut share);
                    row.copy_from_slice(&share);
                }
                outputs
            }
        }
    }

    /// Years, one a row, of what [`Self::shares`] gives for years.
    pub(super) fn years_of(&self, shares: Vec<f32>) -> Vec<f32> {
        if !self.tells_distribution() {
            return shares;
        }
        let year = match self.answer {
            YearsAnswer::Median => median,
            YearsAnswer::Expectation => expectation,
        };
        shares.chunks(YEARS).map(year).collect()
    }
}
