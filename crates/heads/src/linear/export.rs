//! What a fitted linear head computes, as elementary steps.

use facefold_core::{HeadError, StateDict, TargetKind};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use super::LinearModel;
use crate::estimator::Fitted;
use crate::years;

/// Exports the computation of the head of this state dict.
pub(crate) fn export(state: &StateDict, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
    let Fitted { features, target, model, .. } = Fitted::<LinearModel>::read(state)?;
    let features = features.export(graph);
    let weights = model.columns().into_iter().collect();
    let outputs = graph.layer("output", features, weights, model.biases);
    Ok(match target {
        TargetKind::Regression => {
            years::export(graph.scaled(outputs, model.years.1, model.years.0), graph)
        }
        TargetKind::Classes { count } => {
            let probabilities = graph.compute(Operation::Softmax, &[outputs]);
            graph.compute(Operation::MeanOfCrops { width: count }, &[probabilities])
        }
    })
}
