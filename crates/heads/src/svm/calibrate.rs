//! Fitting what turns decisions into probabilities, on rows that the machines did not see.

use facefold_core::Targets;

use super::fitted::Fitted;
use super::questions::{Question, Questions};
use crate::calibration::Sigmoid;

/// Validation rows of either side from which a machine's probabilities are calibrated on them.
const LEAST_ROWS: usize = 8;

/// Decisions on the members of a question, each by a machine that did not see it.
type HeldOut<'a> = &'a dyn Fn(&Question) -> Vec<f64>;

/// Fits the sigmoids on decisions on the validation rows, or, where a side has too few of them, on
/// decisions on training rows by machines that did not see those.
pub(super) fn calibrate(
    head: &mut Fitted,
    questions: &Questions,
    (decisions, validation): (&[f32], &Targets),
    held_out: Option<HeldOut<'_>>,
) {
    let Targets::Classes { indices, .. } = validation else { return };
    let machines = questions.contests.len();
    let (mut from_training, mut plain) = (0, 0);
    for (at, contest) in questions.contests.iter().enumerate() {
        let rows = indices.iter().zip(decisions.chunks_exact(machines));
        let (values, positive): (Vec<f64>, Vec<bool>) = rows
            .filter_map(|(&class, row)| Some((f64::from(row[at]), contest.side(class)?)))
            .unzip();
        let first = positive.iter().filter(|&&first| first).count();
        head.sigmoids[at] = if first.min(positive.len() - first) >= LEAST_ROWS {
            Sigmoid::fit(&values, &positive)
        } else if let Some(held_out) = held_out {
            from_training += 1;
            let question = &questions.asked[at];
            let positive: Vec<bool> = question.goals.iter().map(|&goal| goal > 0.0).collect();
            Sigmoid::fit(&held_out(question), &positive)
        } else {
            plain += 1;
            Sigmoid::PLAIN
        };
    }
    let notes = &mut head.stored.log.notes;
    if from_training > 0 {
        notes.push(format!(
            "for want of validation rows, {from_training} of {machines} machines are calibrated \
             on held-out parts of the training rows"
        ));
    }
    if plain > 0 {
        notes.push(format!(
            "for want of validation rows, {plain} of {machines} machines are not calibrated"
        ));
    }
}
