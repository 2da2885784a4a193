//! Choosing a cost and a gamma by the validation rows.

use facefold_core::{HeadError, Targets, TrainingLog};

use super::exact::Trial;
use super::options::SvmOptions;
use super::questions::{Contest, Questions};
use crate::years;

/// The trial that does best on the validation rows; the first where there are none, which is then
/// the only one.
pub(super) fn choose(
    options: &SvmOptions,
    questions: &Questions,
    mut trials: impl FnMut(f64) -> Result<Vec<Trial>, HeadError>,
    validation: &Targets,
    log: &mut TrainingLog,
) -> Result<Trial, HeadError> {
    let mut best: Option<(f64, Trial)> = None;
    let mut tried = Vec::new();
    for &gamma in &options.gamma {
        for trial in trials(gamma)? {
            let score = score(questions, &trial, validation);
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
            Targets::Years(ages) => (years::error_name(ages), validation.len()),
        };
        log.notes.push(format!(
            "{name}, best of {} on {rows} validation rows ({measure}: {})",
            tried.len(),
            tried.join("; ")
        ));
    }
    if trial.unfinished > 0 {
        let of = trial.columns.len();
        log.notes.push(format!(
            "{} of {of} machines were stopped before their optimum",
            trial.unfinished
        ));
    }
    Ok(trial)
}

/// Accuracy by votes, or minus the error in years ([`years::error`]); 0 without validation rows.
fn score(questions: &Questions, trial: &Trial, validation: &Targets) -> f64 {
    let n = validation.len().max(1) as f64;
    match validation {
        Targets::Classes { indices, count } => {
            let machines = questions.contests.len().max(1);
            let rows = trial.decisions.chunks_exact(machines).zip(indices);
            let right =
                rows.filter(|(row, class)| vote(&questions.contests, row, *count) == **class);
            right.count() as f64 / n
        }
        Targets::Years(ages) => {
            let (mean, deviation) = questions.years;
            let predicted: Vec<f32> =
                trial.decisions.iter().map(|z| z * deviation + mean).collect();
            -years::error(&predicted, ages)
        }
    }
}

/// The class with the most pairs won, the first of equals, as in LIBSVM; or, one against the rest,
/// with the highest decision.
pub(super) fn vote(contests: &[Contest], decisions: &[f32], count: usize) -> usize {
    let mut votes = vec![f32::NEG_INFINITY; count];
    for (contest, &decision) in contests.iter().zip(decisions) {
        match contest.second {
            None => votes[contest.first] = decision,
            Some(second) => {
                let (won, lost) =
                    if decision > 0.0 { (contest.first, second) } else { (second, contest.first) };
                votes[won] = votes[won].max(0.0) + 1.0;
                votes[lost] = votes[lost].max(0.0);
            }
        }
    }
    let most = votes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    votes.iter().position(|&votes| votes == most).unwrap_or(0)
}
