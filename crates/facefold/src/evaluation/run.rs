//! Cross-validation on the rows of a task.

use std::sync::atomic::{AtomicBool, Ordering};

use facefold_core::Head;
use facefold_evaluate::{
    Candidate, Comparison, CvOutcome, CvPlan, CvRun, EvaluateError, Journal, NoJournal, Protocol,
    plan,
};

use crate::data::TaskData;
use crate::error::Result;
use crate::parallel::threads;
use crate::progress::{Progress, Stage, Step};

/// How heads are cross-validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CvOptions {
    /// How the rows are split.
    pub protocol: Protocol,
    /// First seed of the fits, and that of the split and the bootstrap.
    pub seed: u64,
    /// Number of seeds, at least one.
    pub seeds: u64,
    /// Threads; 0 means all cores. The numbers do not depend on it.
    pub threads: usize,
}

impl Default for CvOptions {
    /// Five folds that no subject crosses, under seed 0, on all cores.
    fn default() -> Self {
        Self { protocol: Protocol::KFold(5), seed: 0, seeds: 1, threads: 0 }
    }
}

/// Fits every head on every split under every seed, and measures it on rows that it has not seen.
///
/// The metrics are in [`CvOutcome::result`], every row's predictions in [`CvOutcome::predictions`];
/// [`compare`] tests which head is better. The same data and options give the same numbers.
///
/// # Errors
/// [`crate::Error::Evaluate`] where the rows cannot be split, a head fails, or `progress` cancels
/// the run ([`EvaluateError::Cancelled`]).
pub fn cross_validate(
    data: &TaskData,
    heads: Vec<Box<dyn Head>>,
    options: CvOptions,
    progress: &dyn Progress,
) -> Result<CvOutcome> {
    let CvOptions { protocol, seed, seeds, threads } = options;
    let plan = CvPlan {
        protocol,
        splits: plan(&protocol, &data.rows, &data.labels, seed)?,
        heads,
        seeds: consecutive(seed, seeds),
        ..data.plan(seed, String::new())
    };
    let fits = |run: &CvRun<'_>| facefold_evaluate::cross_validate(&plan, run);
    Ok(with_progress(threads, &NoJournal, progress, fits)?)
}

/// The heads of a cross-validation side by side, on the rows that all of them predicted; `None` of
/// fewer than two.
///
/// # Errors
/// [`crate::Error::Evaluate`] where the results do not belong together.
pub fn compare(outcome: &CvOutcome, seed: u64) -> Result<Option<Comparison>> {
    let candidates: Vec<Candidate<'_>> = outcome
        .result
        .heads
        .iter()
        .map(|head| Candidate {
            label: head.name.clone(),
            head: head.name.clone(),
            predictions: &outcome.predictions,
            splits: &outcome.result.splits,
        })
        .collect();
    if candidates.len() < 2 {
        return Ok(None);
    }
    Ok(Some(facefold_evaluate::compare(&candidates, seed)?))
}

/// So many seeds from the first.
pub(super) fn consecutive(first: u64, count: u64) -> Vec<u64> {
    (0..count).map(|further| first.wrapping_add(further)).collect()
}

/// Runs fits, which `progress` hears of and may cancel.
pub(super) fn with_progress<T>(
    threads_asked: usize,
    journal: &dyn Journal,
    progress: &dyn Progress,
    fits: impl FnOnce(&CvRun<'_>) -> Result<T, EvaluateError>,
) -> Result<T, EvaluateError> {
    let cancel = AtomicBool::new(progress.is_cancelled());
    fits(&CvRun {
        threads: threads(threads_asked),
        journal,
        cancel: &cancel,
        progress: &|fit| {
            progress.step(Step {
                stage: Stage::Fitting,
                done: fit.done as u64,
                total: Some(fit.total as u64),
                item: &format!("{} {}", fit.head, fit.split),
                known: fit.resumed,
            });
            cancel.fetch_or(progress.is_cancelled(), Ordering::Relaxed);
        },
    })
}
