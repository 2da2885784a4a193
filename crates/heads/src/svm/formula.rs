//! What fitted machines compute, as elementary steps.

use facefold_core::{HeadError, HeadParts, TargetKind};

use super::fitted::{Fitted, LEAST_PROBABILITY, read, scale};
use super::questions::present;
use crate::formula::{Formula, Operation, Value};

/// Writes what the head of these parts computes: years, two classes, or one class against the
/// rest. The coupling of the pairs of more classes is a loop that ends when it has converged.
pub(crate) fn write(parts: &HeadParts, formula: &mut Formula) -> Result<Value, HeadError> {
    let fitted = read(parts)?;
    let features = fitted.features.write(formula);
    let scaled = formula.with(Operation::Multiply, features, scale(fitted.features.width()));
    let decisions = fitted.machines.write(scaled, formula);
    let (answer, width) = match fitted.stored.target {
        TargetKind::Years => (formula.scaled(decisions, fitted.years.1, fitted.years.0), 1),
        TargetKind::Classes { count } => (shares(&fitted, decisions, formula)?, count),
    };
    Ok(formula.compute(Operation::MeanOfCrops { width }, &[answer]))
}

fn shares(fitted: &Fitted, decisions: Value, formula: &mut Formula) -> Result<Value, HeadError> {
    let classes = fitted.class_rows.len();
    let told: Vec<bool> = fitted.class_rows.iter().map(|&rows| rows > 0.0).collect();
    let present = present(&told);
    let one_against_the_rest = fitted.contests.iter().all(|contest| contest.second.is_none());
    if present.len() < 2 || present.len() > 2 && !one_against_the_rest {
        return Err(HeadError::Setting(format!(
            "a `{}` head that tells {} classes by pairs of them has no formula: expected two \
             classes, or svm.scheme one-vs-rest",
            fitted.name,
            present.len()
        )));
    }
    let part = |of: fn(&crate::calibration::Sigmoid) -> f64| -> Vec<f32> {
        fitted.sigmoids.iter().map(|sigmoid| -of(sigmoid) as f32).collect()
    };
    let (slopes, offsets) = (part(|s| s.a), part(|s| s.b));
    let slopes = formula.row("sigmoids.slope", slopes);
    let offsets = formula.row("sigmoids.offset", offsets);
    let logits = formula.compute(Operation::Multiply, &[decisions, slopes]);
    let logits = formula.compute(Operation::Add, &[logits, offsets]);
    let sure = formula.compute(Operation::Sigmoid, &[logits]);
    let sure = formula.with(Operation::Larger, sure, LEAST_PROBABILITY as f32);
    let sure = formula.with(Operation::Smaller, sure, 1.0 - LEAST_PROBABILITY as f32);
    // Where each machine's probability goes among the classes, and what is there without it.
    let mut places = vec![0.0; fitted.contests.len() * classes];
    let mut start = vec![0.0; classes];
    for (contest, places) in fitted.contests.iter().zip(places.chunks_exact_mut(classes)) {
        places[contest.first] = 1.0;
        if let Some(second) = contest.second {
            places[second] = -1.0;
            start[second] = 1.0;
        }
    }
    let places = formula.matrix("places", classes, places);
    let parts = formula.compute(Operation::Product, &[sure, places]);
    let start = formula.row("start", start);
    let parts = formula.compute(Operation::Add, &[parts, start]);
    let sum = formula.compute(Operation::RowSum, &[parts]);
    Ok(formula.compute(Operation::Divide, &[parts, sum]))
}
