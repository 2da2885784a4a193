//! Exports a fitted support vector machine as a computation graph.

use facefold_core::{HeadError, StateDict, TargetKind};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use super::fitted::{LEAST_PROBABILITY, SvmModel, scale};
use super::subproblems::present_classes;
use crate::estimator::Fitted;
use crate::years;

/// Exports the computation of the head of this state dict: years, two classes, or one class against
/// the rest. The coupling of the pairs of more classes is a loop that ends when it has converged.
pub(crate) fn export(state: &StateDict, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
    let Fitted { name, target, features, model, .. } = Fitted::<SvmModel>::read(state)?;
    let rows = features.export(graph);
    let scaled = graph.with(Operation::Multiply, rows, scale(features.width()));
    let decisions = model.classifiers.export(scaled, graph);
    Ok(match target {
        TargetKind::Regression => {
            years::export(graph.scaled(decisions, model.years.1, model.years.0), graph)
        }
        TargetKind::Classes { count } => {
            let probabilities = probabilities(&name, &model, decisions, graph)?;
            graph.compute(Operation::MeanOfCrops { width: count }, &[probabilities])
        }
    })
}

fn probabilities(
    name: &str,
    model: &SvmModel,
    decisions: Value,
    graph: &mut ComputationGraph,
) -> Result<Value, HeadError> {
    let classes = model.class_rows.len();
    let has_rows: Vec<bool> = model.class_rows.iter().map(|&rows| rows > 0.0).collect();
    let present = present_classes(&has_rows);
    let one_against_the_rest =
        model.class_pairs.iter().all(|class_pair| class_pair.second.is_none());
    if present.len() < 2 || present.len() > 2 && !one_against_the_rest {
        return Err(HeadError::Setting(format!(
            "a `{name}` head of {} classes, one-vs-one, cannot be exported: expected two \
             classes, or svm.multi_class one-vs-rest",
            present.len()
        )));
    }
    let part = |of: fn(&crate::calibration::Sigmoid) -> f64| -> Vec<f32> {
        model.sigmoids.iter().map(|sigmoid| -of(sigmoid) as f32).collect()
    };
    let (slopes, offsets) = (part(|s| s.a), part(|s| s.b));
    let slopes = graph.row("sigmoids.slope", slopes);
    let offsets = graph.row("sigmoids.offset", offsets);
    let logits = graph.compute(Operation::Multiply, &[decisions, slopes]);
    let logits = graph.compute(Operation::Add, &[logits, offsets]);
    let sure = graph.compute(Operation::Sigmoid, &[logits]);
    let sure = graph.with(Operation::Maximum, sure, LEAST_PROBABILITY as f32);
    let sure = graph.with(Operation::Minimum, sure, 1.0 - LEAST_PROBABILITY as f32);
    // Where each classifier's probability goes among the classes, and what is there without it.
    let mut places = vec![0.0; model.class_pairs.len() * classes];
    let mut start = vec![0.0; classes];
    for (class_pair, places) in model.class_pairs.iter().zip(places.chunks_exact_mut(classes)) {
        places[class_pair.first] = 1.0;
        if let Some(second) = class_pair.second {
            places[second] = -1.0;
            start[second] = 1.0;
        }
    }
    let places = graph.matrix("places", classes, places);
    let state = graph.compute(Operation::MatMul, &[sure, places]);
    let start = graph.row("start", start);
    let state = graph.compute(Operation::Add, &[state, start]);
    let sum = graph.compute(Operation::RowSum, &[state]);
    Ok(graph.compute(Operation::Divide, &[state, sum]))
}
