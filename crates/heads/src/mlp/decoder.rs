//! The output head: decodes the network's outputs to class probabilities, probabilities of ages, or
//! ages.

use facefold_core::{TargetKind, median_age};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use super::{AgeDecoding, AgeLoss, MlpOptions};
use crate::age_graph;
use crate::loss::{YEARS, expectation, median_year, ordinal_probabilities, softmax};
use crate::years::not_negative;

/// Decodes the outputs of a trained network.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    pub(super) target: TargetKind,
    loss: AgeLoss,
    decoding: AgeDecoding,
    /// What the logits of classes are divided by.
    pub(super) temperature: f32,
    /// Mean and standard deviation of the training years, for losses of one number.
    pub(super) years: (f32, f32),
    /// Falling thresholds of the ordinal loss; empty for others.
    pub(super) thresholds: Vec<f32>,
}

impl Decoder {
    pub(super) fn new(target: TargetKind, options: &MlpOptions, years: (f32, f32)) -> Self {
        let (loss, decoding) = (options.age_loss, options.age_decoding);
        Self { target, loss, decoding, temperature: 1.0, years, thresholds: Vec::new() }
    }

    /// Takes the thresholds as training left them; out of order, they are put in order, so that no
    /// year has a negative probability.
    pub(super) fn set_thresholds(&mut self, mut thresholds: Vec<f32>) {
        thresholds.sort_by(|a, b| b.total_cmp(a));
        self.thresholds = thresholds;
    }

    /// Outputs of the network for a row.
    pub(super) fn outputs(&self) -> usize {
        match self.target {
            TargetKind::Classes { count } => count,
            TargetKind::Regression => self.loss.outputs(),
        }
    }

    /// Whether both have the same kind of outputs and the same decoding.
    pub(super) fn is_compatible_with(&self, other: &Self) -> bool {
        (self.target, self.loss, self.decoding) == (other.target, other.loss, other.decoding)
    }

    /// Whether the output is a distribution over ages, and not an age.
    pub(super) fn predicts_distribution(&self) -> bool {
        self.target == TargetKind::Regression
            && matches!(self.loss, AgeLoss::Distribution { .. } | AgeLoss::Ordinal)
    }

    /// Whether the network's outputs for an age are a logit for each of the ages 0 to 116.
    pub(super) fn has_a_logit_for_each_age(&self) -> bool {
        matches!(self.loss, AgeLoss::Distribution { .. })
    }

    /// Probabilities of classes or of the years 0 to 116, each row summing to 1; or years, one a row.
    pub(super) fn probabilities(&self, mut outputs: Vec<f32>) -> Vec<f32> {
        match (self.target, self.loss) {
            (TargetKind::Regression, AgeLoss::L1 | AgeLoss::L2) => {
                for z in &mut outputs {
                    *z = *z * self.years.1 + self.years.0;
                }
                outputs
            }
            (TargetKind::Regression, AgeLoss::Ordinal) => {
                let mut probabilities = vec![0.0; outputs.len() * YEARS];
                for (&z, probabilities) in outputs.iter().zip(probabilities.chunks_mut(YEARS)) {
                    ordinal_probabilities(z, &self.thresholds, probabilities);
                }
                probabilities
            }
            (TargetKind::Regression, AgeLoss::Distribution { .. })
            | (TargetKind::Classes { .. }, _) => {
                let width = self.outputs();
                let mut probability = vec![0.0; width];
                for row in outputs.chunks_mut(width) {
                    for z in row.iter_mut() {
                        *z /= self.temperature;
                    }
                    softmax(row, &mut probability);
                    row.copy_from_slice(&probability);
                }
                outputs
            }
        }
    }

    /// Years, one a row, of what [`Self::probabilities`] gives for years.
    pub(super) fn years_of(&self, probabilities: &[f32]) -> Vec<f32> {
        if !self.predicts_distribution() {
            return probabilities.iter().copied().map(not_negative).collect();
        }
        let year = match self.decoding {
            AgeDecoding::MedianYear => median_year,
            AgeDecoding::Median => median_age,
            AgeDecoding::Expectation => expectation,
        };
        probabilities.chunks(YEARS).map(year).collect()
    }

    /// Appends what [`Self::probabilities`] makes of the network's outputs, averaged over both
    /// crops of a face where there are two.
    pub(super) fn export_probabilities(
        &self,
        outputs: Value,
        graph: &mut ComputationGraph,
    ) -> Value {
        let (probabilities, width) = match (self.target, self.loss) {
            (TargetKind::Regression, AgeLoss::L1 | AgeLoss::L2) => {
                (graph.scaled(outputs, self.years.1, self.years.0), 1)
            }
            (TargetKind::Regression, AgeLoss::Ordinal) => {
                (self.export_ordinal_probabilities(outputs, graph), YEARS)
            }
            (TargetKind::Regression, AgeLoss::Distribution { .. })
            | (TargetKind::Classes { .. }, _) => {
                let logits = graph.with(Operation::Divide, outputs, self.temperature);
                (graph.compute(Operation::Softmax, &[logits]), self.outputs())
            }
        };
        graph.compute(Operation::MeanOfCrops { width }, &[probabilities])
    }

    /// Appends the decoding of the probabilities: themselves, n x classes, or ages in years, n x 1.
    pub(super) fn export_decoded(
        &self,
        probabilities: Value,
        graph: &mut ComputationGraph,
    ) -> Value {
        match self.decoding {
            _ if matches!(self.target, TargetKind::Classes { .. }) => probabilities,
            _ if !self.predicts_distribution() => graph.rectify(probabilities),
            AgeDecoding::MedianYear => age_graph::median_year(graph, probabilities),
            AgeDecoding::Median => age_graph::median(graph, probabilities),
            AgeDecoding::Expectation => age_graph::expectation(graph, probabilities),
        }
    }

    /// [`ordinal_probabilities`]: differences of the probabilities of being older than each year.
    fn export_ordinal_probabilities(&self, outputs: Value, graph: &mut ComputationGraph) -> Value {
        let thresholds = graph.row("thresholds", self.thresholds.as_slice());
        let older = graph.compute(Operation::Add, &[outputs, thresholds]);
        let older = graph.compute(Operation::Sigmoid, &[older]);
        let count = self.thresholds.len();
        let mut differences = vec![0.0; count * (count + 1)];
        for at in 0..count {
            differences[at * (count + 1) + at] = -1.0;
            differences[at * (count + 1) + at + 1] = 1.0;
        }
        let differences = graph.matrix("differences", count + 1, differences);
        let probabilities = graph.compute(Operation::MatMul, &[older, differences]);
        // Everybody is older than the year before the first.
        let first: Vec<f32> = (0..=count).map(|at| f32::from(u8::from(at == 0))).collect();
        let first = graph.row("first", first);
        graph.compute(Operation::Add, &[probabilities, first])
    }
}
