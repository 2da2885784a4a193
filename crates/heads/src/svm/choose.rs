//! Grid search over cost and gamma by the validation rows.

use facefold_core::{HeadError, Targets, TrainingLog};

use super::exact::Trial;
use super::options::SvmOptions;
use super::subproblems::{ClassPair, Subproblems};
use crate::years;

/// The trial that does best on the validation rows; the first where there are none, which is then
/// the only one.
pub(super) fn choose(
    options: &SvmOptions,
    subproblems: &Subproblems,
    mut trials: impl FnMut(f64) -> Result<Vec<Trial>, HeadError>,
    validation: &Targets,
    log: &mut TrainingLog,
) -> Result<Trial, HeadError> {
    let mut best: Option<(f64, Trial)> = None;
    let mut tried = Vec::new();
    for &gamma in &options.gamma {
        for trial in trials(gamma)? {
            let score = score(subproblems, &trial, validation);
            tried.push(format!("{} {:.4}", trial.name(options.kernel), score.abs()));
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, trial));
            }
        }
    }
    let (_, trial) = best.ok_or_else(|| HeadError::Setting("no cost or gamma".to_owned()))?;
    let name = trial.name(options.kernel);
    if tried.len() > 1 {
        let (measure, rows) = match validation {
            Targets::Classes { .. } => ("accuracy", validation.len()),
            Targets::Regression(ages) => (years::error_name(ages), validation.len()),
        };
        log.notes.push(format!(
            "{name}, best of {} on {rows} validation rows ({measure}: {})",
            tried.len(),
            tried.join("; ")
        ));
    }
    if let Some(passes) = trial.passes {
        log.notes.push(format!(
            "{name}: {passes} passes over the rows, with the help of a stratified subsample"
        ));
    }
    if trial.unfinished > 0 {
        let of = trial.duals.len();
        log.notes.push(format!(
            "{} of {of} binary classifiers were stopped before convergence",
            trial.unfinished
        ));
    }
    Ok(trial)
}

/// Accuracy by votes, or minus the error in years ([`years::error`]); 0 without validation rows.
fn score(subproblems: &Subproblems, trial: &Trial, validation: &Targets) -> f64 {
    let n = validation.len().max(1) as f64;
    match validation {
        Targets::Classes { indices, count } => {
            let classifiers = subproblems.class_pairs.len().max(1);
            let rows = trial.decisions.chunks_exact(classifiers).zip(indices);
            let right =
                rows.filter(|(row, class)| vote(&subproblems.class_pairs, row, *count) == **class);
            right.count() as f64 / n
        }
        Targets::Regression(ages) => {
            let (mean, deviation) = subproblems.years;
            let predicted: Vec<f32> =
                trial.decisions.iter().map(|z| z * deviation + mean).collect();
            -years::error(&predicted, ages)
        }
    }
}

/// The class with the most pairs won, the first of equals, as in LIBSVM; or, one against the rest,
/// with the highest decision.
pub(super) fn vote(class_pairs: &[ClassPair], decisions: &[f32], count: usize) -> usize {
    let mut votes = vec![f32::NEG_INFINITY; count];
    for (class_pair, &decision) in class_pairs.iter().zip(decisions) {
        match class_pair.second {
            None => votes[class_pair.first] = decision,
            Some(second) => {
                let (won, lost) = if decision > 0.0 {
                    (class_pair.first, second)
                } else {
                    (second, class_pair.first)
                };
                votes[won] = votes[won].max(0.0) + 1.0;
                votes[lost] = votes[lost].max(0.0);
            }
        }
    }
    let most = votes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    votes.iter().position(|&votes| votes == most).unwrap_or(0)
}
