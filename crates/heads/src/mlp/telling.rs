//! From the network's outputs to answers: shares of classes or years, or years.

use facefold_core::{TargetKind, median_age};

use super::{MlpOptions, YearsAnswer, YearsLoss};
use crate::formula::{Formula, Operation, Value};
use crate::loss::{YEARS, expectation, median_year, ordinal_shares, softmax};

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

    /// Whether both tell the same kind of shares, and the same of them.
    pub(super) fn tells_like(&self, other: &Self) -> bool {
        (self.target, self.loss, self.answer) == (other.target, other.loss, other.answer)
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
            YearsAnswer::MedianYear => median_year,
            YearsAnswer::Median => median_age,
            YearsAnswer::Expectation => expectation,
        };
        shares.chunks(YEARS).map(year).collect()
    }

    /// Appends what [`Self::shares`] makes of the network's outputs, averaged over both crops of a
    /// face where there are two.
    pub(super) fn write_shares(&self, outputs: Value, formula: &mut Formula) -> Value {
        let (shares, width) = match (self.target, self.loss) {
            (TargetKind::Years, YearsLoss::L1 | YearsLoss::L2) => {
                (formula.scaled(outputs, self.years.1, self.years.0), 1)
            }
            (TargetKind::Years, YearsLoss::Ordinal) => {
                (self.write_ordinal_shares(outputs, formula), YEARS)
            }
            (TargetKind::Years, YearsLoss::Distribution { .. })
            | (TargetKind::Classes { .. }, _) => {
                let logits = formula.with(Operation::Divide, outputs, self.temperature);
                (formula.compute(Operation::Softmax, &[logits]), self.outputs())
            }
        };
        formula.compute(Operation::MeanOfCrops { width }, &[shares])
    }

    /// Appends what the shares tell: themselves, n x classes, or years, n x 1.
    pub(super) fn write_answer(&self, shares: Value, formula: &mut Formula) -> Value {
        match self.answer {
            _ if !self.tells_distribution() => shares,
            YearsAnswer::MedianYear => formula.median_year(shares),
            YearsAnswer::Median => formula.median(shares),
            YearsAnswer::Expectation => formula.expectation(shares),
        }
    }

    /// [`ordinal_shares`]: differences of the probabilities of being older than each year.
    fn write_ordinal_shares(&self, outputs: Value, formula: &mut Formula) -> Value {
        let thresholds = formula.row("thresholds", self.thresholds.as_slice());
        let older = formula.compute(Operation::Add, &[outputs, thresholds]);
        let older = formula.compute(Operation::Sigmoid, &[older]);
        let count = self.thresholds.len();
        let mut differences = vec![0.0; count * (count + 1)];
        for at in 0..count {
            differences[at * (count + 1) + at] = -1.0;
            differences[at * (count + 1) + at + 1] = 1.0;
        }
        let differences = formula.matrix("differences", count + 1, differences);
        let shares = formula.compute(Operation::Product, &[older, differences]);
        // Everybody is older than the year before the first.
        let first: Vec<f32> = (0..=count).map(|at| f32::from(u8::from(at == 0))).collect();
        let first = formula.row("first", first);
        formula.compute(Operation::Add, &[shares, first])
    }
}
