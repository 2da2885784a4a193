//! `facefold matrix`: heads fitted on each of several stores and tested on each.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use facefold_core::Head;
use facefold_evaluate::{CvPlan, DirectoryJournal, MatrixPlan, SetName, matrix, plan_matrix};
use facefold_report::{FITS, FORMAT, MatrixReport, RowCounts, TaskMatrix};

use super::evaluation::{announce_replacement, claim, plan_of, seeds, warnings_on, with_progress};
use super::{Usage, threads};
use crate::arguments::MatrixArguments;
use crate::learning::{self, Learning, TaskRows};
use crate::output::Output;
use crate::settings::Settings;
use crate::{Outcome, interrupt, provenance};

/// Runs `matrix`.
///
/// # Errors
/// If a store cannot be read, or a head fails; finished fits are kept.
pub fn run(arguments: &MatrixArguments, output: Output) -> Result<Outcome> {
    let start = Instant::now();
    let interrupted = interrupt::listen()?;
    let settings = Settings::check(&arguments.learning)?;
    settings.require_learner(&heads(arguments, &settings, None)?)?;
    if arguments.learning.store.len() < 2 {
        return Err(Usage::error(
            "`matrix` expects at least two stores, found one; give --store more than once",
        ));
    }
    let learning = Learning::open(&arguments.learning, &[], &settings)?;
    settings.start.check(learning.store())?;
    let (mut tasks, mut warnings) = (Vec::new(), Vec::new());
    let _claim = claim(&arguments.out)?;
    announce_replacement(&arguments.out);
    let journal = DirectoryJournal::new(arguments.out.join(FITS));
    learning.note_report(&arguments.out);
    for &task in &settings.tasks {
        let rows = learning.task(task, &settings)?;
        learning::announce(&rows);
        warnings.extend(learning::warn_of(&learning, &rows, &settings));
        let task = of_task(arguments, &settings, &learning, &journal, rows, &interrupted)?;
        let Some(task) = task else {
            return Ok(Outcome::Interrupted);
        };
        tasks.push(task);
    }
    warnings.extend(warnings_on(&learning, &settings));
    let report = MatrixReport {
        format: FORMAT,
        warnings,
        provenance: provenance::of(&learning, start.elapsed()),
        dataset: provenance::dataset(&learning, &settings),
        tasks,
    };
    facefold_report::remove(&arguments.out)?;
    let path = facefold_report::write_matrix(&report, &arguments.out)?;
    journal.remove_others()?;
    output.answer(&report, || {
        format!("{}\n{}", facefold_report::matrix_terminal(&report), path.display())
    })?;
    Ok(Outcome::Done)
}

/// The matrix of one task; none if the user stopped it.
fn of_task(
    arguments: &MatrixArguments,
    settings: &Settings,
    learning: &Learning,
    journal: &DirectoryJournal,
    rows: TaskRows,
    interrupted: &AtomicBool,
) -> Result<Option<TaskMatrix>> {
    let seed = arguments.learning.seed;
    let counts = RowCounts {
        samples: learning.samples.len(),
        used: rows.rows.len(),
        dropped: rows.dropped.clone(),
        of_sets: rows.of_sets.clone(),
    };
    let names: Vec<SetName> = learning.sets.iter().map(|set| set.name.clone()).collect();
    let MatrixPlan { sets, cells, splits } = plan_matrix(&names, &rows.rows, &rows.targets, seed)?;
    let plan = CvPlan {
        splits,
        heads: heads(arguments, settings, Some(&rows))?,
        seeds: seeds(seed, arguments.seeds),
        ..plan_of(learning, settings, rows, seed)?
    };
    let threads = threads(arguments.learning.threads);
    let result =
        with_progress(threads, journal, interrupted, |run| matrix(&plan, &sets, &cells, run))?;
    Ok(result.map(|result| TaskMatrix { rows: counts, result }))
}

/// The heads asked for, each once; for the rows of a task, starting from a bundle's where one is
/// given.
fn heads(
    arguments: &MatrixArguments,
    settings: &Settings,
    rows: Option<&TaskRows>,
) -> Result<Vec<Box<dyn Head>>> {
    let options = match rows {
        Some(rows) => settings.start.options(rows.task, &settings.heads),
        None => settings.heads.clone(),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in &arguments.head {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| learning::head(name, &options)).collect()
}
