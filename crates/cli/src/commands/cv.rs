//! `facefold cv`: cross-validates heads on a store and writes a report.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use facefold_core::Head;
use facefold_evaluate::{
    Comparison, Contender, CvOutcome, CvPlan, CvRun, DirectoryJournal, EvaluateError, Protocol,
    RowPredictions, compare, plan, slices, suspects,
};
use facefold_heads::HeadOptions;
use facefold_report::{FORMAT, Report, RowCounts, SuspectCount, TaskReport, predictions_file};

use super::threads;
use crate::arguments::{CvArguments, LearningArguments};
use crate::learning::{self, Learning, Settings, TaskRows};
use crate::output::Output;
use crate::{Outcome, interrupt, progress, provenance};

/// Pictures with a doubtful label that are named in a file; more nobody looks through.
const MOST_SUSPECTS: usize = 200;

/// Stands first in every report on an untrained network.
const UNTRAINED: &str = "The embeddings come from an untrained network (seeded random weights): \
                         these figures say that the pipeline runs, and nothing about faces.";

/// Runs `cv`.
///
/// # Errors
/// If the store cannot be read, a subject leaks, or a head fails; finished fits are kept.
pub fn run(arguments: &CvArguments, output: Output) -> Result<Outcome> {
    let interrupted = interrupt::listen()?;
    let Some(report) = cross_validate(arguments, &[], &interrupted)? else {
        return Ok(Outcome::Interrupted);
    };
    output.answer(&report, || {
        let path = arguments.out.join("report.md");
        format!("{}\n{}", facefold_report::terminal(&report), path.display())
    })?;
    Ok(Outcome::Done)
}

/// Cross-validates, and writes the report into the directory that the arguments name; none if the
/// user stopped it. `warnings` come first in the report.
///
/// # Errors
/// As [`run`].
pub fn cross_validate(
    arguments: &CvArguments,
    warnings: &[String],
    interrupted: &AtomicBool,
) -> Result<Option<Report>> {
    let start = Instant::now();
    let settings = Settings::check(&arguments.learning)?;
    // Names and settings are checked before anything is read.
    heads(&arguments.head, &settings.heads)?;
    let asked = arguments.protocol.as_deref().map(str::parse::<Protocol>).transpose();
    asked.map_err(super::Usage::error)?;

    let learning = Learning::open(&arguments.learning)?;
    settings.start.check(&learning.store)?;
    let protocol = learning.protocol(arguments.protocol.as_deref())?;
    let attributes = learning.attributes(&settings)?;
    let mut tasks = Vec::new();
    for &task in &settings.tasks {
        let rows = learning.task(task, &settings)?;
        learning::announce(&rows);
        let dropped = rows.dropped.clone();
        let Some(outcome) = run_task(arguments, &settings, &learning, rows, protocol, interrupted)?
        else {
            return Ok(None);
        };
        let path = arguments.out.join(predictions_file(task));
        outcome.predictions.write_csv(&path)?;
        let comparison = compare_heads(&outcome, arguments.learning.seed)?;
        let (mut sliced, mut doubted) = (None, None);
        if let Some(best) = comparison.as_ref().and_then(best_head) {
            let predictions = &outcome.predictions;
            sliced = Some(slices(predictions, best, &attributes, arguments.learning.seed)?);
            doubted = Some(write_suspects(predictions, best, &arguments.out)?);
        }
        let rows =
            RowCounts { samples: learning.samples.len(), used: outcome.result.rows, dropped };
        tasks.push(TaskReport {
            rows,
            result: outcome.result,
            comparison,
            slices: sliced,
            suspects: doubted,
        });
    }
    let mut warnings = warnings.to_vec();
    if learning.store.header().extractor.model == "untrained" {
        warnings.push(UNTRAINED.to_owned());
    }
    let report = Report {
        format: FORMAT,
        warnings,
        provenance: provenance::of(&learning, start.elapsed()),
        dataset: provenance::dataset(&learning, &settings),
        tasks,
    };
    facefold_report::write(&report, &arguments.out)?;
    Ok(Some(report))
}

fn run_task(
    arguments: &CvArguments,
    settings: &Settings,
    learning: &Learning,
    rows: TaskRows,
    protocol: Protocol,
    interrupted: &AtomicBool,
) -> Result<Option<CvOutcome>> {
    let LearningArguments { seed, threads: asked, .. } = arguments.learning;
    let partitions = plan(&protocol, &rows.rows, &rows.targets, seed)?;
    let surroundings = learning.surroundings(rows.task, settings)?;
    let plan = CvPlan {
        task: rows.task,
        surroundings,
        classes: rows.classes,
        matrix: &learning.matrix,
        matrix_rows: rows.matrix_rows,
        targets: rows.targets,
        rows: rows.rows,
        protocol,
        partitions,
        heads: heads(&arguments.head, &settings.start.options(rows.task, &settings.heads))?,
        seed,
        seeds: (seed..seed + arguments.seeds.max(1)).collect(),
        context: format!("{} {}", learning.store.header().fingerprint, provenance::COMMIT),
    };
    let fits = plan.heads.len() * plan.partitions.len() * plan.seeds.len();
    let bar = progress::bar(fits as u64, "fitting");
    let journal = DirectoryJournal::new(arguments.out.join("fits"));
    let outcome = facefold_evaluate::cross_validate(
        &plan,
        &CvRun {
            threads: threads(asked),
            journal: &journal,
            cancel: interrupted,
            progress: &|fit| {
                bar.set_position(fit.done as u64);
                bar.set_message(format!("{} {}", fit.head, fit.partition));
            },
        },
    );
    bar.finish_and_clear();
    match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(EvaluateError::Cancelled { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn compare_heads(outcome: &CvOutcome, seed: u64) -> Result<Option<Comparison>> {
    let contenders: Vec<Contender<'_>> = outcome
        .result
        .heads
        .iter()
        .map(|head| Contender {
            label: head.name.clone(),
            head: head.name.clone(),
            predictions: &outcome.predictions,
            partitions: &outcome.result.partitions,
        })
        .collect();
    if contenders.len() < 2 {
        return Ok(None);
    }
    Ok(Some(compare(&contenders, seed)?))
}

/// The best head that looks at pictures.
fn best_head(comparison: &Comparison) -> Option<&str> {
    let mut ranked = comparison.ranked().into_iter().map(|contender| contender.label.as_str());
    ranked.find(|&label| label != "majority")
}

/// Names the pictures whose label a head doubts in a file beside the predictions.
fn write_suspects(
    predictions: &RowPredictions,
    head: &str,
    directory: &Path,
) -> Result<SuspectCount> {
    let suspects = suspects(predictions, head)?;
    let file = format!("{}/suspects.csv", predictions.task);
    suspects.write_csv(&directory.join(&file), MOST_SUSPECTS)?;
    let found = suspects.rows.len();
    Ok(SuspectCount { head: suspects.head, found, listed: found.min(MOST_SUSPECTS), file })
}

/// The heads asked for, each once, and always the majority baseline.
fn heads(names: &[String], settings: &HeadOptions) -> Result<Vec<Box<dyn Head>>> {
    let mut wanted: Vec<&str> = Vec::new();
    for name in names.iter().map(String::as_str).chain(["majority"]) {
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    wanted.into_iter().map(|name| learning::head(name, settings)).collect()
}
