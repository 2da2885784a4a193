//! Training: heads fitted on the rows of one or several stores become a bundle.

mod measure;
mod summary;

use std::path::PathBuf;

use facefold_core::{AgeThreshold, ErrorBound, FamiliarityModel, Fit, Prediction, Targets, Task};
use facefold_datasets::DatasetKind;
use facefold_evaluate::{
    AgePredictions, AuxiliaryLabels, Calibration, CvSplit, Metrics, PredictedValues,
    choose_thresholds, plan_training,
};
use facefold_heads::{Bundle, FeatureChoice, TaskCounts, TaskHead, TrainingSet, WeightFormat};
use facefold_report::tensorboard::write_training;
use facefold_store::Features;
use serde_json::json;

use crate::data::{DataSet, JoinedStores, TaskData};
use crate::error::Result;
use crate::options::{LearningOptions, Origin, head};
use crate::progress::Progress;
pub use summary::training_summary;

use measure::{by_age_group, by_set, uncertainty_by_error};

/// What is trained.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The rows, tasks and settings of heads.
    pub learning: LearningOptions,
    /// Name of the head.
    pub head: String,
    /// Ages to decide at, by the predicted age; ascending.
    pub thresholds: Vec<u32>,
    /// Largest share of people below a threshold that may pass as older, and of people above it that
    /// may be called younger.
    pub max_false_adult: ErrorBound,
    /// How the bundle stores the heads' matrices.
    pub weights: WeightFormat,
    /// A directory for `TensorBoard` event files ([`facefold_report::tensorboard`]).
    pub tensorboard: Option<PathBuf>,
    /// Where the run comes from. The command is written into the bundle, without directories.
    pub origin: Origin,
}

impl TrainOptions {
    /// This head on these rows, with everything else as the command line has it by default.
    #[must_use]
    pub fn new(learning: LearningOptions, head: &str) -> Self {
        Self {
            learning,
            head: head.to_owned(),
            thresholds: Vec::new(),
            max_false_adult: ErrorBound::default(),
            weights: WeightFormat::F32,
            tensorboard: None,
            origin: Origin::default(),
        }
    }
}

/// Fits a head for each task on the rows of the stores, and measures it on the subjects that were
/// kept for validation. [`Bundle::metrics`] has the figures; [`Bundle::save`] writes the file.
///
/// # Errors
/// If a store cannot be read or a head cannot be fitted.
pub fn train(options: &TrainOptions, progress: &dyn Progress) -> Result<Bundle> {
    let learning = &options.learning;
    learning.check()?;
    learning.require_learner(&[head(&options.head, &learning.heads)?])?;
    let stores = JoinedStores::open(learning, &[], progress)?;
    learning.initial.check(stores.store())?;
    for warning in stores.warning_of_initial_heads(learning).iter().chain(stores.warnings()) {
        progress.note(warning);
    }
    let header = stores.store().header();
    let all = learning.tasks.iter().map(|&task| stores.task(task, learning));
    let all = all.collect::<Result<Vec<TaskData>>>()?;
    let familiarity = familiarity(&all, learning.seed).map_err(|error| stores.explained(error))?;
    let training = stores.sets.iter().map(|set| training_set(set, &all)).collect();
    let mut heads = Vec::new();
    let mut metrics = serde_json::Map::new();
    for data in &all {
        progress.note(&data.description());
        for warning in &data.warnings {
            progress.note(warning);
        }
        let (head, measured) = fit(options, data, familiarity.as_ref(), progress)?;
        metrics.insert(data.task.to_string(), measured);
        heads.push(head);
    }
    Ok(Bundle {
        heads,
        features: match stores.features {
            Features::Embedding => FeatureChoice::Embedding,
            Features::Taps => FeatureChoice::Taps,
            Features::Both => FeatureChoice::Both,
        },
        mirrored: stores.matrix.mirrored().is_some(),
        familiarity,
        fingerprint: header.fingerprint.clone(),
        extractor: header.extractor.clone(),
        training,
        weights: options.weights,
        label_policy: learning.policy.to_string(),
        command: options.origin.training_command(),
        metrics: metrics.into(),
        licence: header.extractor.licence.clone(),
        seed: learning.seed,
        facefold_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// A data set with the rows that each task uses of it.
fn training_set(set: &DataSet, tasks: &[TaskData]) -> TrainingSet {
    let kind = set.store.header().dataset.kind.clone();
    let terms = kind.parse().map_or("not known", DatasetKind::terms).to_owned();
    let counted = |data: &TaskData| {
        let own = |at: &usize| data.rows[*at].set.as_ref().is_none_or(|name| *name == set.name);
        let own: Vec<usize> = (0..data.len()).filter(own).collect();
        let subjects = own.iter().map(|&at| data.rows[at].subject_name());
        TaskCounts::count(data.task, &data.classes, &data.labels.select(&own), subjects)
    };
    let tasks = tasks.iter().map(counted).collect();
    TrainingSet { name: set.name.to_string(), kind, terms, tasks }
}

/// Familiarity of the faces of the task with most rows: one for all heads.
fn familiarity(tasks: &[TaskData], seed: u64) -> Result<Option<FamiliarityModel>> {
    let Some(data) = tasks.iter().max_by_key(|data| data.len()) else { return Ok(None) };
    let CvSplit { train, validation, .. } = plan_training(&data.rows, &data.labels, seed)?;
    let calibration = Calibration {
        own: data.view(),
        auxiliary_labels: &AuxiliaryLabels::default(),
        training: &train,
        held_out: &validation,
    };
    Ok(calibration.familiarity()?)
}

/// Fits one task's head, and measures it on the subjects it did not see.
fn fit(
    options: &TrainOptions,
    data: &TaskData,
    familiarity: Option<&FamiliarityModel>,
    progress: &dyn Progress,
) -> Result<(TaskHead, serde_json::Value)> {
    let learning = &options.learning;
    let (task, seed) = (data.task, learning.seed);
    let set_rows = (!data.set_rows.is_empty()).then_some(&data.set_rows);
    let partition = plan_training(&data.rows, &data.labels, seed)?;
    announce_split(data, &partition, progress);
    let CvSplit { train: trained, validation: held_out, .. } = partition;
    let head = head(&options.head, &learning.initial.options(task, &learning.heads))?;
    let alone = AuxiliaryLabels::default();
    let auxiliary = if head.uses_auxiliary_tasks() { &data.auxiliary } else { &alone };
    let own = data.view();
    let (training, kept) = auxiliary.datasets(own, &trained, &held_out)?;
    progress.note(&format!("{task}: fitting {} on {} rows", head.name(), training.len()));
    let Fit { head: fitted, validation } = head.fit(&training, &kept, seed)?;
    let predicted = PredictedValues::new(&validation.targets)?;
    let measured = Metrics::measure(&predicted, kept.targets(), task == Task::AgeGroup)?;
    if let Some(directory) = &options.tensorboard {
        let log = fitted.log();
        write_training((task, &options.head), log, measured.as_ref(), directory)?;
    }
    let by_age_group = by_age_group(&predicted, kept.targets())?;
    let by_set = by_set(data, &held_out, &predicted)?;
    let calibration =
        Calibration { own, auxiliary_labels: auxiliary, training: &trained, held_out: &held_out };
    let intervals = calibration.intervals(head.as_ref(), &validation, familiarity, seed)?;
    let uncertainty =
        uncertainty_by_error(validation.uncertainty.as_deref(), &predicted, kept.targets());
    let subjects: Vec<&str> = held_out.iter().map(|&row| data.rows[row].subject_name()).collect();
    let truth = (kept.targets(), subjects.as_slice());
    let age_thresholds = thresholds(options, &validation, truth, progress);
    let metrics = json!({
        "head": options.head,
        "training_rows": training.len(),
        "validation_rows": kept.len(),
        "rows_of_sets": set_rows,
        "validation": measured,
        "by_age_group": by_age_group,
        "by_set": by_set,
        "interval_sets_left_out": intervals.as_ref().map(|found| found.sets_left_out),
        "uncertainty": uncertainty,
        "log": fitted.log(),
    });
    let task_head = TaskHead {
        task,
        classes: data.classes.clone(),
        age_groups: (task == Task::AgeGroup).then(|| learning.groups.clone()),
        age_intervals: intervals.map(|found| found.intervals),
        age_thresholds,
        state: fitted.state_dict(),
    };
    Ok((task_head, metrics))
}

/// Notes where subjects or classes did not split as they should.
fn announce_split(data: &TaskData, partition: &CvSplit, progress: &dyn Progress) {
    for note in &partition.notes {
        progress.note(&format!("{}: {note}", data.task));
    }
    let untrained = partition.untrained_classes(&data.labels, &data.classes);
    let names: Vec<&str> = untrained.keys().map(String::as_str).collect();
    if !names.is_empty() {
        progress.note(&format!(
            "{}: no training row is of the classes {}, which the head cannot predict",
            data.task,
            names.join(", ")
        ));
    }
}

/// The limits of age decisions, chosen on the subjects that the head did not see; none for classes.
fn thresholds(
    options: &TrainOptions,
    validation: &Prediction,
    (truth, subjects): (&Targets, &[&str]),
    progress: &dyn Progress,
) -> Vec<AgeThreshold> {
    let Some(predicted) = AgePredictions::of(validation) else { return Vec::new() };
    let predicted = predicted.decision_ages();
    let (ages, bound) = (&options.thresholds, options.max_false_adult);
    let chosen = choose_thresholds(ages, bound, &predicted, truth, subjects);
    for limits in &chosen {
        progress.note(&description(limits));
    }
    chosen
}

/// The sentence on the limits that were chosen.
fn description(limits: &AgeThreshold) -> String {
    let AgeThreshold { age, max_error, over_from, under_below, minors, adults } = limits;
    let known = |limit: &Option<u32>| limit.map(|limit| limit.to_string());
    let over = known(over_from).map_or_else(
        || {
            format!(
                "no one is decided to be over ({minors} minors, at least {} are needed)",
                max_error.min_subjects()
            )
        },
        |limit| format!("over from a lower decile of {limit} (chosen on {minors} minors)"),
    );
    let under = known(under_below).map_or_else(
        || format!("no one is decided to be under ({adults} adults)"),
        |limit| format!("under below a median of {limit} (on {adults} adults)"),
    );
    format!("threshold {age}, errors of at most {max_error}: {over}; {under}")
}
