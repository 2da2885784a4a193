//! What a fitted linear head computes, as elementary steps.

use facefold_core::{HeadError, StateDict, TargetKind};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use super::{Fitted, read};

/// Exports the computation of the head of this state dict.
pub(crate) fn export(state: &StateDict, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
    let Fitted { features, weights, biases, years, stored } = read(state)?;
    let features = features.export(graph);
    let weights = weights.iter().copied().collect();
    let outputs = graph.layer("output", features, weights, biases);
    let (prediction, width) = match stored.target {
        TargetKind::Regression => (graph.scaled(outputs, years.1, years.0), 1),
        TargetKind::Classes { count } => (graph.compute(Operation::Softmax, &[outputs]), count),
    };
    Ok(graph.compute(Operation::MeanOfCrops { width }, &[prediction]))
}
