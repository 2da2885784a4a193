//! What a fitted linear head computes, as elementary steps.

use facefold_core::{HeadError, HeadParts, TargetKind};

use super::{Fitted, read};
use crate::formula::{Formula, Operation, Value};

/// Writes what the head of these parts computes.
pub(crate) fn write(parts: &HeadParts, formula: &mut Formula) -> Result<Value, HeadError> {
    let Fitted { features, weights, biases, years, stored } = read(parts)?;
    let features = features.write(formula);
    let weights = weights.iter().copied().collect();
    let outputs = formula.layer("output", features, weights, biases);
    let (answer, width) = match stored.target {
        TargetKind::Years => (formula.scaled(outputs, years.1, years.0), 1),
        TargetKind::Classes { count } => (formula.compute(Operation::Softmax, &[outputs]), count),
    };
    Ok(formula.compute(Operation::MeanOfCrops { width }, &[answer]))
}
