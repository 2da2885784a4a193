//! Platt scaling: fits the sigmoids that turn decisions into probabilities, on rows that the
//! classifiers were not trained on.

use facefold_core::Targets;

use super::fitted::SvmModel;
use super::subproblems::{Subproblem, Subproblems};
use crate::calibration::Sigmoid;

/// Validation rows of either sign, at least, for calibration on validation rows.
const LEAST_ROWS: usize = 8;

/// Decisions on the rows of a subproblem, each by a classifier that was not trained on it.
type HeldOut<'a> = &'a dyn Fn(&Subproblem) -> Vec<f64>;

/// Fits the sigmoids on decisions on the validation rows, or, where one sign has too few of them,
/// on out-of-fold decisions on training rows.
pub(super) fn calibrate(
    model: &mut SvmModel,
    subproblems: &Subproblems,
    (decisions, validation): (&[f32], &Targets),
    held_out: Option<HeldOut<'_>>,
    notes: &mut Vec<String>,
) {
    let Targets::Classes { indices, .. } = validation else { return };
    let classifiers = subproblems.class_pairs.len();
    let (mut from_training, mut plain) = (0, 0);
    for (at, class_pair) in subproblems.class_pairs.iter().enumerate() {
        let rows = indices.iter().zip(decisions.chunks_exact(classifiers));
        let (values, positive): (Vec<f64>, Vec<bool>) = rows
            .filter_map(|(&class, row)| Some((f64::from(row[at]), class_pair.sign(class)?)))
            .unzip();
        let first = positive.iter().filter(|&&first| first).count();
        model.sigmoids[at] = if first.min(positive.len() - first) >= LEAST_ROWS {
            Sigmoid::fit(&values, &positive)
        } else if let Some(held_out) = held_out {
            from_training += 1;
            let subproblem = &subproblems.problems[at];
            let positive: Vec<bool> =
                subproblem.targets.iter().map(|&target| target > 0.0).collect();
            Sigmoid::fit(&held_out(subproblem), &positive)
        } else {
            plain += 1;
            Sigmoid::UNCALIBRATED
        };
    }
    if from_training > 0 {
        notes.push(format!(
            "too few validation rows: {from_training} of {classifiers} binary classifiers are calibrated \
             on out-of-fold decisions on the training rows"
        ));
    }
    if plain > 0 {
        notes.push(format!(
            "too few validation rows: {plain} of {classifiers} binary classifiers are not calibrated"
        ));
    }
}
