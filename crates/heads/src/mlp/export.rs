//! Exports a fitted network as a computation graph.

use candle_core::{Result, Var};
use facefold_core::{HeadError, StateDict};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use super::layers::{Dense, Norm};
use super::model::Network;
use super::norm::EPSILON;
use super::{Architecture, Fitted, read};
use crate::state_dict::backend;

/// Exports the computation of the head of this state dict.
pub(crate) fn export(
    state: &StateDict,
    graph: &mut ComputationGraph,
) -> std::result::Result<Value, HeadError> {
    let fitted = read(state)?;
    let probabilities = fitted.export_probabilities(graph)?;
    Ok(fitted.decoder.export_decoded(probabilities, graph))
}

/// Exports the mean of several heads, decoded.
pub(crate) fn export_mean(
    members: &[Fitted],
    graph: &mut ComputationGraph,
) -> std::result::Result<Value, HeadError> {
    let probabilities = members.iter().map(|member| member.export_probabilities(graph));
    let probabilities = probabilities.collect::<std::result::Result<Vec<_>, _>>()?;
    let add = |sum, probabilities| graph.compute(Operation::Add, &[sum, probabilities]);
    let sum = probabilities.into_iter().reduce(add).unwrap_or(Value::FEATURES);
    let mean = graph.with(Operation::Multiply, sum, 1.0 / members.len() as f32);
    Ok(match members.first() {
        Some(first) => first.decoder.export_decoded(mean, graph),
        None => mean,
    })
}

impl Fitted {
    fn export_probabilities(
        &self,
        graph: &mut ComputationGraph,
    ) -> std::result::Result<Value, HeadError> {
        let features = self.features.export(graph);
        let outputs = self.network.export(features, graph)?;
        Ok(self.decoder.export_probabilities(outputs, graph))
    }
}

impl Network {
    /// Appends the layers, which take standardised rows; gives the outputs, n x outputs.
    pub(super) fn export(
        &self,
        features: Value,
        graph: &mut ComputationGraph,
    ) -> std::result::Result<Value, HeadError> {
        self.layers(features, graph).map_err(backend("reading a trained network"))
    }

    fn layers(&self, features: Value, graph: &mut ComputationGraph) -> Result<Value> {
        let (mut at, mut width) = (features, self.width());
        for (index, layer) in self.hidden.iter().enumerate() {
            let name = format!("hidden.{index}");
            let Weights { mut weights, mut biases } = Weights::of(&layer.dense)?;
            let units = biases.len();
            at = match (self.architecture, &layer.norm) {
                (Architecture::Plain, norm) => {
                    if let Some(norm) = norm {
                        // Columns of weights are scaled as the units would be behind them.
                        let Scaling { scale, shift } = Scaling::of(norm)?;
                        for row in weights.chunks_exact_mut(units) {
                            row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
                        }
                        for ((bias, scale), shift) in biases.iter_mut().zip(scale).zip(shift) {
                            *bias = *bias * scale + shift;
                        }
                    }
                    let sums = graph.layer(&name, at, weights, biases);
                    graph.rectify(sums)
                }
                (Architecture::Residual, norm) => {
                    let mut block = at;
                    if let Some(norm) = norm {
                        let Scaling { scale, shift } = Scaling::of(norm)?;
                        let scale = graph.row(&format!("norm.{index}.scale"), scale);
                        let shift = graph.row(&format!("norm.{index}.shift"), shift);
                        block = graph.compute(Operation::Multiply, &[block, scale]);
                        block = graph.compute(Operation::Add, &[block, shift]);
                    }
                    let sums = graph.layer(&name, block, weights, biases);
                    let block = graph.rectify(sums);
                    if index > 0 && units == width {
                        graph.compute(Operation::Add, &[block, at])
                    } else {
                        block
                    }
                }
            };
            width = units;
        }
        let Weights { weights, biases } = Weights::of(&self.output)?;
        Ok(graph.layer("output", at, weights, biases))
    }
}

/// A linear layer's numbers; weights are inputs x units.
struct Weights {
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Weights {
    fn of(dense: &Dense) -> Result<Self> {
        Ok(Self { weights: values(&dense.weight)?, biases: values(&dense.bias)? })
    }
}

/// A batch norm at prediction: scale x + shift.
struct Scaling {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Scaling {
    fn of(norm: &Norm) -> Result<Self> {
        let (gamma, beta) = (values(&norm.gamma)?, values(&norm.beta)?);
        let (mean, variance) = (values(&norm.mean)?, values(&norm.variance)?);
        let scale: Vec<f64> = (gamma.iter().zip(&variance))
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + EPSILON).sqrt())
            .collect();
        let shift = (beta.iter().zip(&mean).zip(&scale))
            .map(|((&beta, &mean), scale)| (f64::from(beta) - f64::from(mean) * scale) as f32);
        Ok(Self {
            shift: shift.collect(),
            scale: scale.iter().map(|&scale| scale as f32).collect(),
        })
    }
}

fn values(variable: &Var) -> Result<Vec<f32>> {
    variable.flatten_all()?.to_vec1()
}
