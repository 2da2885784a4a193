//! Cross-validation: fits every head on every split under every seed, in parallel, and collects the
//! predictions.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;

use facefold_core::{FeatureMatrix, Head, Targets, Task};

use crate::auxiliary::AuxiliaryLabels;
use crate::error::EvaluateError;
use crate::fits::{Fits, Job};
use crate::gather::gather;
use crate::journal::Journal;
use crate::predictions::RowPredictions;
use crate::protocol::Protocol;
use crate::result::CvResult;
use crate::row_info::RowInfo;
use crate::split::CvSplit;
use crate::thresholds::Thresholds;

/// What is cross-validated. The predictions depend on nothing else.
pub struct CvPlan<'a> {
    /// The task.
    pub task: Task,
    /// Names of the classes, in index order; empty for the age task.
    pub classes: Vec<String>,
    /// Features; may have rows that this task does not use.
    pub matrix: &'a FeatureMatrix,
    /// The row in `matrix` of each row here.
    pub matrix_rows: Cow<'a, [usize]>,
    /// True labels of the rows.
    pub targets: Targets,
    /// What else is known of the rows, for heads that learn tasks together.
    pub auxiliary_labels: AuxiliaryLabels,
    /// Path, subject, fold and split of each row.
    pub rows: Cow<'a, [RowInfo]>,
    /// How the rows are divided.
    pub protocol: Protocol,
    /// The splits that [`crate::split::plan`] made of the rows.
    pub splits: Vec<CvSplit>,
    /// The heads, each with a name of its own.
    pub heads: Vec<Box<dyn Head>>,
    /// Seed of the splits and the bootstrap.
    pub seed: u64,
    /// Seeds of the fits, at least one.
    pub seeds: Vec<u64>,
    /// The age thresholds that the heads decide at; `None` for no decisions. They
    /// change no fit.
    pub thresholds: Option<Thresholds<'a>>,
    /// A name for the values of [`Self::matrix`], such as their stores' stamps: a journal's fits made
    /// under another one are not used.
    pub stamp: String,
}

/// How to run a plan. Nothing here changes the predictions.
pub struct CvRun<'a> {
    /// Fits at a time, at least one; each runs on one thread.
    pub threads: usize,
    /// The journal of finished fits.
    pub journal: &'a dyn Journal,
    /// Set it to stop before the next fit.
    pub cancel: &'a AtomicBool,
    /// Called after every fit, from any thread.
    pub progress: &'a (dyn Fn(&Progress<'_>) + Sync),
}

/// A fit that was just finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Fits finished so far.
    pub done: usize,
    /// Fits of the whole run.
    pub total: usize,
    /// The head.
    pub head: &'a str,
    /// The split.
    pub split: &'a str,
    /// The seed.
    pub seed: u64,
    /// Whether the fit was taken from the journal.
    pub resumed: bool,
}

/// A head with the settings that were chosen for each split on its own.
pub struct ChosenHead {
    /// Its name in the results.
    pub name: String,
    /// One head a split of the plan, in its order.
    pub heads: Vec<Box<dyn Head>>,
}

/// What a run gives.
#[derive(Debug, Clone, PartialEq)]
pub struct CvOutcome {
    /// The result.
    pub result: CvResult,
    /// Every head's predictions for every test row.
    pub predictions: RowPredictions,
}

/// Runs a plan.
///
/// The outcome depends neither on the number of threads nor on the order in which fits end, but
/// for the seconds they took.
///
/// # Errors
/// [`EvaluateError`] where parts of the plan do not fit together, a head fails, the journal cannot
/// be written, or the run is cancelled. Finished fits stay in the journal.
pub fn cross_validate(plan: &CvPlan<'_>, run: &CvRun<'_>) -> Result<CvOutcome, EvaluateError> {
    cross_validate_with(plan, &[], run)
}

/// Runs a plan with further heads, whose settings were chosen for each of its splits.
///
/// # Errors
/// As [`cross_validate`], and where a chosen head has not one head a split.
pub fn cross_validate_with(
    plan: &CvPlan<'_>,
    chosen: &[ChosenHead],
    run: &CvRun<'_>,
) -> Result<CvOutcome, EvaluateError> {
    plan.check(chosen)?;
    let mut heads = Vec::new();
    let mut jobs = Vec::new();
    for ChosenHead { name, heads: of_partition } in chosen {
        let settings = plan.splits.iter().zip(of_partition);
        let settings = settings.map(|(split, head)| (split.name.clone(), head.settings()));
        heads.push((name.as_str(), settings.collect::<serde_json::Map<_, _>>().into()));
        for (split, head) in plan.splits.iter().zip(of_partition) {
            let job = |&seed| Job { name, head: head.as_ref(), split, seed, calibrated: true };
            jobs.extend(plan.seeds.iter().map(job));
        }
    }
    for head in &plan.heads {
        heads.push((head.name(), head.settings()));
        for split in &plan.splits {
            let job = |&seed| Job {
                name: head.name(),
                head: head.as_ref(),
                split,
                seed,
                calibrated: true,
            };
            jobs.extend(plan.seeds.iter().map(job));
        }
    }
    let fits = Fits::new(plan, run)?;
    let records = fits.all(&jobs)?;
    fits.pool().install(|| gather(plan, &heads, &records))
}

impl CvPlan<'_> {
    pub(crate) fn check(&self, chosen: &[ChosenHead]) -> Result<(), EvaluateError> {
        let inconsistent = |message: String| Err(EvaluateError::Inconsistent(message));
        let n = self.rows.len();
        if self.targets.len() != n || self.matrix_rows.len() != n {
            return inconsistent(format!(
                "{n} rows with {} targets and {} feature rows",
                self.targets.len(),
                self.matrix_rows.len()
            ));
        }
        if let Targets::Classes { count, .. } = self.targets
            && count != self.classes.len()
        {
            return inconsistent(format!("{count} classes with {} names", self.classes.len()));
        }
        let names: Vec<&str> = chosen
            .iter()
            .map(|head| head.name.as_str())
            .chain(self.heads.iter().map(|head| head.name()))
            .collect();
        if names.is_empty() || self.seeds.is_empty() || self.splits.is_empty() {
            return inconsistent("expected at least one head, seed and split".to_owned());
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return inconsistent(format!("head `{name}` is given twice"));
            }
        }
        for ChosenHead { name, heads } in chosen {
            if heads.len() != self.splits.len() {
                return inconsistent(format!(
                    "head `{name}` has settings for {} of {} splits",
                    heads.len(),
                    self.splits.len()
                ));
            }
        }
        for (index, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..index].contains(seed) {
                return inconsistent(format!("seed {seed} is given twice"));
            }
        }
        for split in &self.splits {
            let lists = [&split.train, &split.validation, &split.test];
            if let Some(row) = lists.into_iter().flatten().find(|&&row| row >= n) {
                return inconsistent(format!("split `{}` has row {row} of {n}", split.name));
            }
            if split.train.is_empty() || split.test.is_empty() {
                return inconsistent(format!(
                    "split `{}` has {} training and {} test rows",
                    split.name,
                    split.train.len(),
                    split.test.len()
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn ordered(&self) -> bool {
        self.task == Task::AgeGroup
    }
}
