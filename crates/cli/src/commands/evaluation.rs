//! From a store to a report: what `cv` and `tune` do alike.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, bail};
use facefold_core::{Head, Task};
use facefold_evaluate::{
    Candidate, Comparison, CvOutcome, CvPlan, CvRun, DirectoryJournal, EvaluateError,
    LabelErrorCandidates, Protocol, SearchResult, Thresholds, compare, label_error_candidates,
    plan, slices, uneven_folds,
};
use facefold_heads::HeadOptions;
use facefold_report::{
    FITS, FORMAT, LabelErrorCount, Report, RowCounts, TaskReport, label_errors_file,
    predictions_file,
};

use super::threads;
use crate::arguments::EvaluationArguments;
use crate::learning::{self, Learning, TaskRows};
use crate::settings::Settings;
use crate::{columns, output, progress, provenance};

/// Pictures with a doubtful label that are named in a file; more nobody looks through.
const MOST_SUSPECTS: usize = 200;

/// Stands first in every report on an untrained network.
const UNTRAINED: &str = "The embeddings come from an untrained network (seeded random weights): \
                         these figures say that the pipeline runs, and nothing about faces.";

/// What came of one task: the outcome, and how settings were searched for, where they were.
pub type Evaluated = Result<(CvOutcome, Vec<SearchResult>), EvaluateError>;

/// What a command gives to [`evaluate`] beside its arguments.
pub struct Evaluation<'a> {
    /// The arguments, checked.
    pub settings: &'a Settings,
    /// Names of the heads with the settings given; the majority baseline is always added.
    pub heads: &'a [String],
    /// Come first in the report.
    pub warnings: &'a [String],
    /// Set when the user stops it.
    pub interrupted: &'a AtomicBool,
}

/// Evaluates heads task by task by `how`, and writes the report into the directory that the
/// arguments name; none if the user stopped it. A report that lies there stays whole until this one
/// is finished, and nothing of it is left then.
///
/// # Errors
/// If the store cannot be read, a subject leaks, or a head fails; finished fits are kept.
pub fn evaluate(
    arguments: &EvaluationArguments,
    evaluation: &Evaluation<'_>,
    how: impl Fn(&CvPlan<'_>, &CvRun<'_>) -> Evaluated,
) -> Result<Option<Report>> {
    let start = Instant::now();
    let Evaluation { settings, warnings, .. } = *evaluation;
    // Names and settings are checked before anything is read.
    settings.require_learner(&heads(evaluation.heads, &settings.heads)?)?;
    let asked = arguments.protocol.as_deref().map(str::parse::<Protocol>).transpose();
    asked.map_err(super::Usage::error)?;

    let ages = arguments.thresholds.ages(&settings.tasks)?;
    let columns = columns::parse(&arguments.columns)?;
    let mut learning = Learning::open(&arguments.learning, &arguments.test_store, settings)?;
    if !columns.is_empty() || arguments.without_mirrored {
        learning.narrow(&columns, !arguments.without_mirrored)?;
    }
    settings.start.check(learning.store())?;
    let protocol = learning.protocol(arguments.protocol.as_deref())?;
    let attributes = learning.attributes(settings)?;
    let max_error = arguments.thresholds.max_false_adult;
    let thresholds =
        (!ages.is_empty()).then_some(Thresholds { ages, max_error, attributes: &attributes });
    let mut warnings = warnings.to_vec();
    let (mut tasks, mut tables) = (Vec::new(), Vec::new());
    let _claim = claim(&arguments.out)?;
    announce_replacement(&arguments.out);
    let journal = DirectoryJournal::new(arguments.out.join(FITS));
    learning.note_report(&arguments.out);
    for &task in &settings.tasks {
        let rows = learning.task(task, settings)?;
        learning::announce(&rows);
        warnings.extend(learning::warn_of(&learning, &rows, settings));
        let (dropped, of_sets) = (rows.dropped.clone(), rows.of_sets.clone());
        let thresholds = thresholds.clone();
        let plan = plan_task(arguments, evaluation, &learning, rows, protocol, thresholds)?;
        if let Some(warning) = uneven_folds(&plan.protocol, &plan.rows, &plan.splits) {
            output::note(&format!("{task}: {warning}"));
            warnings.push(format!("{task}: {warning}"));
        }
        let threads = threads(arguments.learning.threads);
        let fitted =
            with_progress(threads, &journal, evaluation.interrupted, |run| how(&plan, run))?;
        let Some((outcome, searches)) = fitted else { return Ok(None) };
        if let Some(warning) = outcome.result.untrained_warning() {
            output::note(&warning);
            warnings.push(warning);
        }
        let comparison = compare_heads(&outcome, arguments.learning.seed)?;
        let (mut sliced, mut doubted) = (None, None);
        if let Some(best) = comparison.as_ref().and_then(best_head) {
            let predictions = &outcome.predictions;
            sliced = Some(slices(predictions, best, &attributes, arguments.learning.seed)?);
            doubted = Some(label_error_candidates(predictions, best)?);
        }
        let rows = RowCounts {
            samples: learning.samples.len(),
            used: outcome.result.rows,
            dropped,
            of_sets,
        };
        tasks.push(TaskReport {
            rows,
            result: outcome.result,
            comparison,
            slices: sliced,
            label_error_candidates: doubted.as_ref().map(|found| suspect_count(task, found)),
            searches,
        });
        tables.push((task, outcome.predictions, doubted));
    }
    warnings.extend(warnings_on(&learning, settings));
    let report = Report {
        format: FORMAT,
        warnings,
        provenance: provenance::of(&learning, start.elapsed()),
        dataset: provenance::dataset(&learning, settings),
        tasks,
    };
    facefold_report::remove(&arguments.out)?;
    for (task, predictions, doubted) in tables {
        predictions.write_csv(&arguments.out.join(predictions_file(task)))?;
        if let Some(suspects) = doubted {
            suspects.write_csv(&arguments.out.join(label_errors_file(task)), MOST_SUSPECTS)?;
        }
    }
    facefold_report::write(&report, &arguments.out)?;
    journal.remove_others()?;
    Ok(Some(report))
}

/// Keeps other runs out of a report's directory for as long as it is held: of two at once the
/// predictions of one would stand beside the report of the other. Where directories cannot be locked
/// there is none.
///
/// # Errors
/// If another run holds it.
pub(super) fn claim(directory: &Path) -> Result<Option<std::fs::File>> {
    fs_err::create_dir_all(directory)?;
    let Ok(handle) = std::fs::File::open(directory) else { return Ok(None) };
    match handle.try_lock() {
        Ok(()) => Ok(Some(handle)),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "another run writes its report into `{}`: wait for it, or name another directory with --out",
            directory.display()
        ),
        Err(std::fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// Says that the report of another command makes room for this one's.
pub(super) fn announce_replacement(directory: &Path) {
    let Ok(earlier) = Report::read(directory) else { return };
    if earlier.provenance.command != provenance::command_line() {
        output::note(&format!(
            "`{}` holds the report of another command ({}): it and its fits are replaced once this one \
             is finished",
            directory.display(),
            earlier.provenance.command
        ));
    }
}

/// What stands first in every report on these rows.
pub(super) fn warnings_on(learning: &Learning, settings: &Settings) -> Vec<String> {
    let untrained = learning.store().header().extractor.model == "untrained";
    let untrained = untrained.then(|| UNTRAINED.to_owned());
    let lost = learning.rejected.get(learning::LOST).map(|rows| {
        format!(
            "{rows} label rows are not used, as the store has lost their pictures: run the same `extract` \
             command again."
        )
    });
    untrained.into_iter().chain(lost).chain(provenance::ages_warning(settings)).collect()
}

/// What is fitted for a task.
fn plan_task<'a>(
    arguments: &EvaluationArguments,
    evaluation: &Evaluation<'_>,
    learning: &'a Learning,
    rows: TaskRows,
    protocol: Protocol,
    thresholds: Option<Thresholds<'a>>,
) -> Result<CvPlan<'a>> {
    let seed = arguments.learning.seed;
    let partitions = plan(&protocol, &rows.rows, &rows.targets, seed)?;
    let settings = evaluation.settings;
    Ok(CvPlan {
        protocol,
        splits: partitions,
        heads: heads(evaluation.heads, &settings.start.options(rows.task, &settings.heads))?,
        seeds: seeds(seed, arguments.seeds),
        thresholds,
        ..plan_of(learning, settings, rows, seed)?
    })
}

/// So many seeds from the first.
pub(super) fn seeds(first: u64, count: u64) -> Vec<u64> {
    (0..count).map(|further| first.wrapping_add(further)).collect()
}

/// The rows of a task as a plan that has no head, seed or partition yet.
pub(super) fn plan_of<'a>(
    learning: &'a Learning,
    settings: &Settings,
    rows: TaskRows,
    seed: u64,
) -> Result<CvPlan<'a>> {
    Ok(CvPlan {
        task: rows.task,
        auxiliary_labels: learning.auxiliary_labels(rows.task, settings)?,
        classes: rows.classes,
        matrix: &learning.matrix,
        matrix_rows: rows.matrix_rows,
        targets: rows.targets,
        rows: rows.rows,
        protocol: Protocol::LeaveOneSetOut,
        splits: Vec::new(),
        heads: Vec::new(),
        seed,
        seeds: Vec::new(),
        thresholds: None,
        context: format!("{} {}", learning.store().header().fingerprint, provenance::COMMIT),
    })
}

/// Runs fits with a progress bar; none if the user stopped them.
pub(super) fn with_progress<T>(
    threads: usize,
    journal: &DirectoryJournal,
    interrupted: &AtomicBool,
    fits: impl FnOnce(&CvRun<'_>) -> Result<T, EvaluateError>,
) -> Result<Option<T>> {
    let bar = progress::bar(0, "fitting");
    let outcome = fits(&CvRun {
        threads,
        journal,
        cancel: interrupted,
        progress: &|fit| {
            bar.set_length(fit.total as u64);
            bar.set_position(fit.done as u64);
            bar.set_message(format!("{} {}", fit.head, fit.split));
        },
    });
    bar.finish_and_clear();
    match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(EvaluateError::Cancelled { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn compare_heads(outcome: &CvOutcome, seed: u64) -> Result<Option<Comparison>> {
    let contenders: Vec<Candidate<'_>> = outcome
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

/// What the report says of the rows whose label a head doubts; a file beside the predictions names
/// them.
fn suspect_count(task: Task, suspects: &LabelErrorCandidates) -> LabelErrorCount {
    let found = suspects.rows.len();
    LabelErrorCount {
        head: suspects.head.clone(),
        found,
        listed: found.min(MOST_SUSPECTS),
        file: label_errors_file(task),
    }
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
