//! From stores to a report: what cross-validation and the search for settings do alike.

use std::path::PathBuf;
use std::time::Instant;

use facefold_core::{ErrorBound, Head, Task};
use facefold_evaluate::{
    Attributes, Comparison, CvOutcome, CvPlan, CvRun, EvaluateError, LabelErrorCandidates,
    Protocol, RowPredictions, SearchResult, Thresholds, label_error_candidates, plan, slices,
    uneven_folds,
};
use facefold_report::{
    FORMAT, LabelErrorCount, Report, RowCounts, TaskReport, label_errors_file, predictions_file,
};

use super::provenance;
use super::report_directory::ReportDirectory;
use super::run::{compare, consecutive, with_progress};
use crate::data::{JoinedStores, TaskData, warnings};
use crate::error::Result;
use crate::options::{LearningOptions, Origin};
use crate::progress::Progress;

/// Candidates for label errors that are named in a file; a reader looks through no more.
const MOST_LABEL_ERRORS: usize = 200;

/// Which heads are evaluated on which rows, and where the report goes.
#[derive(Debug, Clone)]
pub struct EvaluationOptions {
    /// The rows, tasks and settings of heads.
    pub learning: LearningOptions,
    /// Names of the heads; the majority baseline is always added.
    pub heads: Vec<String>,
    /// Stores to test on, where training is on all of [`LearningOptions::stores`].
    pub test_stores: Vec<PathBuf>,
    /// The columns of the features that heads see; empty for all.
    pub columns: Vec<usize>,
    /// Train on mirrored crops and average predictions over them, where the stores have them.
    pub mirrored: bool,
    /// How the rows are split; `None` for what the label rows allow ([`JoinedStores::protocol`]).
    pub protocol: Option<Protocol>,
    /// Ages to decide at, by the predicted age; ascending.
    pub thresholds: Vec<u32>,
    /// Largest share of people below a threshold that may pass as older, and of people above it that
    /// may be called younger.
    pub max_false_adult: ErrorBound,
    /// Number of seeds.
    pub seeds: u64,
    /// The report's directory. A report that lies there stays whole until this one is finished.
    pub out: PathBuf,
    /// Sentences that come first in the report.
    pub warnings: Vec<String>,
    /// A directory for `TensorBoard` event files of all fits ([`facefold_report::tensorboard`]).
    pub tensorboard: Option<PathBuf>,
    /// Where the run comes from.
    pub origin: Origin,
}

impl EvaluationOptions {
    /// These heads on these rows, with everything else as the command line has it by default.
    pub fn new(learning: LearningOptions, heads: &[&str], out: impl Into<PathBuf>) -> Self {
        Self {
            learning,
            heads: heads.iter().map(ToString::to_string).collect(),
            test_stores: Vec::new(),
            columns: Vec::new(),
            mirrored: true,
            protocol: None,
            thresholds: Vec::new(),
            max_false_adult: ErrorBound::default(),
            seeds: 1,
            out: out.into(),
            warnings: Vec::new(),
            tensorboard: None,
            origin: Origin::default(),
        }
    }

    fn head_names(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(String::as_str).chain(["majority"])
    }
}

/// What came of one task: the outcome, and how settings were searched for, where they were.
pub(super) type Evaluated = Result<(CvOutcome, Vec<SearchResult>), EvaluateError>;

/// Cross-validates heads on stores, task by task, and writes the report with every row's
/// predictions; `None` where it was cancelled. Finished fits are kept in the report's directory:
/// called again with the same options it goes on from there.
///
/// # Errors
/// If the stores cannot be read, a subject leaks, or a head fails; finished fits are kept.
pub fn cross_validate_stores(
    options: &EvaluationOptions,
    progress: &dyn Progress,
) -> Result<Option<Report>> {
    evaluate(options, progress, |plan, run| {
        Ok((facefold_evaluate::cross_validate(plan, run)?, Vec::new()))
    })
}

/// Evaluates heads task by task by `how`, and writes the report.
pub(super) fn evaluate(
    options: &EvaluationOptions,
    progress: &dyn Progress,
    how: impl Fn(&CvPlan<'_>, &CvRun<'_>) -> Evaluated,
) -> Result<Option<Report>> {
    let learning = &options.learning;
    // Names and settings are checked before anything is read.
    learning.check()?;
    learning.require_learner(&learning.heads(options.head_names(), None)?)?;
    let mut stores = JoinedStores::open(learning, &options.test_stores, progress)?;
    if !options.columns.is_empty() || !options.mirrored {
        stores.narrow(&options.columns, options.mirrored)?;
    }
    learning.initial.check(stores.store())?;
    let prepare = |stores: &JoinedStores, task| {
        let data = stores.task(task, learning)?;
        Ok(PreparedTask { data, heads: learning.heads(options.head_names(), Some(task))? })
    };
    evaluate_rows(options, &stores, &prepare, progress, how)
}

/// The rows of a task, and what is evaluated on them.
pub(super) struct PreparedTask {
    pub(super) data: TaskData,
    pub(super) heads: Vec<Box<dyn Head>>,
}

/// Evaluates heads on the rows of stores task by task by `how`, and writes the report.
pub(super) fn evaluate_rows(
    options: &EvaluationOptions,
    stores: &JoinedStores,
    prepare: &dyn Fn(&JoinedStores, Task) -> Result<PreparedTask>,
    progress: &dyn Progress,
    how: impl Fn(&CvPlan<'_>, &CvRun<'_>) -> Evaluated,
) -> Result<Option<Report>> {
    let start = Instant::now();
    let learning = &options.learning;
    let protocol = stores.protocol(options.protocol)?;
    // Needed by the fits for thresholds alone, and as large as they are.
    let has_thresholds = !options.thresholds.is_empty();
    let mut attributes = has_thresholds.then(|| stores.attributes(learning)).transpose()?;
    let mut warnings = options.warnings.clone();
    if let Some(warning) = stores.warning_of_initial_heads(learning) {
        progress.note(&warning);
        warnings.push(warning);
    }
    let mut tasks = Vec::new();
    let directory = ReportDirectory::claim(&options.out)?;
    directory.announce_replacement(&options.origin.command, progress);
    directory.note_in(stores, progress)?;
    for &task in &learning.tasks {
        let PreparedTask { data, heads } = prepare(stores, task)?;
        progress.note(&data.description());
        warnings.extend(data.warnings.clone());
        for warning in &data.warnings {
            progress.note(warning);
        }
        let plan = plan_task(options, stores, (&data, heads), protocol, attributes.as_ref())?;
        if let Some(warning) = uneven_folds(&plan.protocol, &plan.rows, &plan.splits) {
            progress.note(&format!("{task}: {warning}"));
            warnings.push(format!("{task}: {warning}"));
        }
        let journal = directory.journal();
        let fitted = with_progress(learning.threads, journal, progress, |run| how(&plan, run));
        let Some((outcome, searches)) = unless_cancelled(fitted)? else { return Ok(None) };
        if let Some(warning) = outcome.result.untrained_warning() {
            progress.note(&warning);
            warnings.push(warning);
        }
        if let Some(directory) = &options.tensorboard {
            facefold_report::tensorboard::write_fits(&outcome.result, directory)?;
        }
        drop(plan);
        let attributes = match &mut attributes {
            Some(known) => known,
            unknown => unknown.insert(stores.attributes(learning).or_else(|error| {
                // Shards that are gone are those of a person who was removed meanwhile.
                directory.require_all_rows(stores)?;
                Err(error)
            })?),
        };
        tasks.push(EvaluatedTask::new(stores, data, outcome, searches, attributes, learning.seed)?);
    }
    warnings.extend(warnings::of_run(stores, learning));
    let provenance = provenance::of(stores, &options.origin, start.elapsed());
    let dataset = provenance::dataset(stores, learning);
    let (reports, tables): (Vec<_>, Vec<_>) =
        tasks.into_iter().map(|task| (task.report, (task.predictions, task.label_errors))).unzip();
    let report = Report { format: FORMAT, warnings, provenance, dataset, tasks: reports };
    directory.require_all_rows(stores)?;
    facefold_report::remove(&options.out)?;
    for (predictions, label_errors) in tables {
        let task = predictions.task;
        predictions.write_csv(&options.out.join(predictions_file(task)))?;
        if let Some(label_errors) = label_errors {
            label_errors
                .write_csv(&options.out.join(label_errors_file(task)), MOST_LABEL_ERRORS)?;
        }
    }
    options.origin.leave_run_file(&options.out)?;
    facefold_report::write(&report, &options.out)?;
    directory.journal().remove_others()?;
    Ok(Some(report))
}

/// What fits gave; `None` where they were cancelled.
pub(super) fn unless_cancelled<T>(fits: Result<T, EvaluateError>) -> Result<Option<T>> {
    match fits {
        Ok(fits) => Ok(Some(fits)),
        Err(EvaluateError::Cancelled { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is fitted for a task.
fn plan_task<'a>(
    options: &EvaluationOptions,
    stores: &JoinedStores,
    (data, heads): (&'a TaskData, Vec<Box<dyn Head>>),
    protocol: Protocol,
    attributes: Option<&'a Attributes>,
) -> Result<CvPlan<'a>> {
    let learning = &options.learning;
    let thresholds = attributes.filter(|_| !options.thresholds.is_empty());
    let thresholds = thresholds.map(|attributes| Thresholds {
        ages: options.thresholds.clone(),
        max_error: options.max_false_adult,
        attributes,
    });
    let seed = learning.seed;
    Ok(CvPlan {
        protocol,
        splits: plan(&protocol, &data.rows, &data.labels, seed)
            .map_err(|error| stores.explained(error))?,
        heads,
        seeds: consecutive(seed, options.seeds),
        thresholds,
        ..data.plan(seed, stores.stamp())
    })
}

/// A task with all that is written about it.
struct EvaluatedTask {
    report: TaskReport,
    predictions: RowPredictions,
    label_errors: Option<LabelErrorCandidates>,
}

impl EvaluatedTask {
    /// Compares the heads, and looks closer at the best one.
    fn new(
        stores: &JoinedStores,
        data: TaskData,
        outcome: CvOutcome,
        searches: Vec<SearchResult>,
        attributes: &Attributes,
        seed: u64,
    ) -> Result<Self> {
        let comparison = compare(&outcome, seed)?;
        let CvOutcome { result, predictions } = outcome;
        let (mut sliced, mut label_errors) = (None, None);
        if let Some(best) = comparison.as_ref().and_then(best_head) {
            sliced = Some(slices(&predictions, best, attributes, seed)?);
            label_errors = Some(label_error_candidates(&predictions, best)?);
        }
        let report = TaskReport {
            rows: row_counts(stores, data),
            result,
            comparison,
            slices: sliced,
            label_error_candidates: label_errors
                .as_ref()
                .map(|found| label_error_count(predictions.task, found)),
            searches,
        };
        Ok(Self { report, predictions, label_errors })
    }
}

/// How many label rows are used, and why others are not.
pub(super) fn row_counts(stores: &JoinedStores, data: TaskData) -> RowCounts {
    RowCounts {
        samples: stores.samples.len(),
        used: data.len(),
        dropped: data.dropped,
        of_sets: data.set_rows,
    }
}

/// The best head that looks at pictures.
fn best_head(comparison: &Comparison) -> Option<&str> {
    let mut ranked = comparison.ranked().into_iter().map(|candidate| candidate.label.as_str());
    ranked.find(|&label| label != "majority")
}

/// What the report says of the rows whose label a head doubts; a file next to the predictions names
/// them.
fn label_error_count(task: Task, label_errors: &LabelErrorCandidates) -> LabelErrorCount {
    let found = label_errors.rows.len();
    LabelErrorCount {
        head: label_errors.head.clone(),
        found,
        listed: found.min(MOST_LABEL_ERRORS),
        file: label_errors_file(task),
    }
}
