//! Heads fitted on each of several stores and tested on each.

use std::path::PathBuf;
use std::time::Instant;

use facefold_evaluate::{CvPlan, MatrixPlan, SetName, matrix, plan_matrix};
use facefold_report::{FORMAT, MatrixReport, TaskMatrix};

use super::provenance;
use super::report_directory::ReportDirectory;
use super::run::{consecutive, with_progress};
use super::stores::{row_counts, unless_cancelled};
use crate::data::{JoinedStores, TaskData, warnings};
use crate::error::{Error, Result};
use crate::options::{LearningOptions, Origin};
use crate::progress::Progress;

/// Which heads are fitted and tested on which stores, and where the report goes.
#[derive(Debug, Clone)]
pub struct MatrixOptions {
    /// The rows of at least two stores, tasks and settings of heads.
    pub learning: LearningOptions,
    /// Names of the heads.
    pub heads: Vec<String>,
    /// Number of seeds.
    pub seeds: u64,
    /// The report's directory.
    pub out: PathBuf,
    /// Where the run comes from.
    pub origin: Origin,
}

impl MatrixOptions {
    fn head_names(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(String::as_str)
    }
}

/// Fits heads on each store alone and on all others together, tests them on each, and writes the
/// report; `None` where it was cancelled.
///
/// # Errors
/// If a store cannot be read, or a head fails; finished fits are kept.
pub fn matrix_of_stores(
    options: &MatrixOptions,
    progress: &dyn Progress,
) -> Result<Option<MatrixReport>> {
    let start = Instant::now();
    let learning = &options.learning;
    learning.check()?;
    learning.require_learner(&learning.heads(options.head_names(), None)?)?;
    if learning.stores.len() < 2 {
        return Err(Error::options(
            "`matrix` expects at least two stores, found one; give --store more than once",
        ));
    }
    let stores = JoinedStores::open(learning, &[], progress)?;
    learning.initial.check(stores.store())?;
    let (mut tasks, mut warnings) = (Vec::new(), Vec::new());
    if let Some(warning) = stores.warning_of_initial_heads(learning) {
        progress.note(&warning);
        warnings.push(warning);
    }
    let directory = ReportDirectory::claim(&options.out)?;
    directory.announce_replacement(&options.origin.command, progress);
    directory.note_in(&stores, progress)?;
    for &task in &learning.tasks {
        let data = stores.task(task, learning)?;
        progress.note(&data.description());
        for warning in &data.warnings {
            progress.note(warning);
        }
        warnings.extend(data.warnings.clone());
        let Some(task) = matrix_of_task(options, &stores, data, &directory, progress)? else {
            return Ok(None);
        };
        tasks.push(task);
    }
    warnings.extend(warnings::of_run(&stores, learning));
    let report = MatrixReport {
        format: FORMAT,
        warnings,
        provenance: provenance::of(&stores, &options.origin, start.elapsed()),
        dataset: provenance::dataset(&stores, learning),
        tasks,
    };
    directory.require_all_rows(&stores)?;
    facefold_report::remove(&options.out)?;
    options.origin.leave_run_file(&options.out)?;
    facefold_report::write_matrix(&report, &options.out)?;
    directory.journal().remove_others()?;
    Ok(Some(report))
}

fn matrix_of_task(
    options: &MatrixOptions,
    stores: &JoinedStores,
    data: TaskData,
    directory: &ReportDirectory,
    progress: &dyn Progress,
) -> Result<Option<TaskMatrix>> {
    let learning = &options.learning;
    let seed = learning.seed;
    let names: Vec<SetName> = stores.sets.iter().map(|set| set.name.clone()).collect();
    let MatrixPlan { sets, cells, splits } = plan_matrix(&names, &data.rows, &data.labels, seed)
        .map_err(|error| stores.explained(error))?;
    let plan = CvPlan {
        splits,
        heads: learning.heads(options.head_names(), Some(data.task))?,
        seeds: consecutive(seed, options.seeds),
        ..data.plan(seed, stores.stamp())
    };
    let fitted = with_progress(learning.threads, directory.journal(), progress, |run| {
        matrix(&plan, &sets, &cells, run)
    });
    let result = unless_cancelled(fitted)?;
    drop(plan);
    Ok(result.map(|result| TaskMatrix { rows: row_counts(stores, data), result }))
}
