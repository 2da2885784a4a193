//! `facefold train`: a head trained on the rows of a store becomes a bundle.

use anyhow::Result;
use facefold_core::{AgeGroups, AgeIntervals, Examples, FittedHead, Predictions, Targets, Task};
use facefold_datasets::DatasetKind;
use facefold_evaluate::{
    Answers, Metrics, OwnRows, Partition, Protocol, RowInfo, Surroundings, plan,
};
use facefold_heads::{Bundle, FeatureChoice, TaskCounts, TaskHead, TrainingSet, WeightFormat};
use facefold_store::Features;
use serde_json::json;

use super::Usage;
use crate::arguments::{BundleWeightsName, TrainArguments};
use crate::learning::{self, Learning, TaskRows};
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::{Outcome, provenance};

/// One subject in this many is kept for choosing: the epoch, the calibration.
const VALIDATION_SHARE: usize = 8;

/// Runs `train`.
///
/// # Errors
/// If the store cannot be read or a head cannot be fitted.
pub fn run(arguments: &TrainArguments, output: Output) -> Result<Outcome> {
    let settings = Settings::check(&arguments.learning)?;
    settings.require_learner(&[learning::head(&arguments.head, &settings.heads)?])?;
    let learning = Learning::open(&arguments.learning, &settings)?;
    settings.start.check(&learning.store)?;
    let header = learning.store.header();
    let mut heads = Vec::new();
    let mut metrics = serde_json::Map::new();
    let mut counts = Vec::new();
    for &task in &settings.tasks {
        let rows = learning.task(task, &settings)?;
        learning::announce(&rows);
        counts.push(counted(&rows));
        let (head, measured) = fit(arguments, &settings, &learning, rows)?;
        metrics.insert(task.to_string(), measured);
        heads.push(head);
    }
    let bundle = Bundle {
        heads,
        features: match learning.features {
            Features::Embedding => FeatureChoice::Embedding,
            Features::Taps => FeatureChoice::Taps,
            Features::Both => FeatureChoice::Both,
        },
        fingerprint: header.fingerprint.clone(),
        extractor: header.extractor.clone(),
        training: vec![training_set(&learning, counts)],
        weights: match arguments.weights {
            BundleWeightsName::F32 => WeightFormat::F32,
            BundleWeightsName::F16 => WeightFormat::F16,
        },
        label_policy: settings.policy.to_string(),
        command: provenance::training_command(),
        metrics: metrics.into(),
        licence: header.extractor.licence.clone(),
        seed: arguments.learning.seed,
        facefold_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    bundle.save(&arguments.out)?;
    let answer = json!({ "bundle": arguments.out, "metrics": bundle.metrics });
    output.answer(&answer, || {
        let mut lines: Vec<String> = bundle
            .metrics
            .as_object()
            .into_iter()
            .flatten()
            .map(|(task, measured)| format!("{task}: {}", summary(measured)))
            .collect();
        lines.push(bundle.licence.clone());
        lines.push(arguments.out.display().to_string());
        lines.join("\n")
    })?;
    Ok(Outcome::Done)
}

/// The rows of a task, counted.
fn counted(rows: &TaskRows) -> TaskCounts {
    let subjects = rows.rows.iter().map(RowInfo::subject_name);
    TaskCounts::count(rows.task, &rows.classes, &rows.targets, subjects)
}

/// The store's data set, by the name of the store's directory.
fn training_set(learning: &Learning, tasks: Vec<TaskCounts>) -> TrainingSet {
    let kind = learning.store.header().dataset.kind.clone();
    let terms = kind.parse().map_or("not known", DatasetKind::terms).to_owned();
    let name = learning.store.directory().file_name();
    let name = name.map_or_else(|| kind.clone(), |name| name.to_string_lossy().into_owned());
    TrainingSet { name, kind, terms, tasks }
}

/// Fits one task's head, and measures it on the subjects it did not see.
fn fit(
    arguments: &TrainArguments,
    settings: &Settings,
    learning: &Learning,
    rows: TaskRows,
) -> Result<(TaskHead, serde_json::Value)> {
    let seed = arguments.learning.seed;
    // A fold by subject is what is kept for choosing; everything else is trained on.
    let by_subject = Protocol::KFold(VALIDATION_SHARE);
    let partitions = plan(&by_subject, &rows.rows, &rows.targets, seed)?;
    let Partition { train, validation, test, .. } = &partitions[0];
    let training: Vec<usize> = train.iter().chain(validation).copied().collect();
    let options = settings.start.options(rows.task, &settings.heads);
    let head = learning::head(&arguments.head, &options).map_err(Usage::error)?;
    let surroundings = if head.uses_companions() {
        learning.surroundings(rows.task, settings)?
    } else {
        Surroundings::default()
    };
    let own = OwnRows {
        matrix: &learning.matrix,
        matrix_rows: &rows.matrix_rows,
        rows: &rows.rows,
        targets: &rows.targets,
    };
    let (training, kept) = surroundings.examples(own, &training, test)?;
    output::note(&format!("{}: fitting {} on {} rows", rows.task, head.name(), training.len()));
    let fitted = head.fit(&training, &kept, seed)?;
    let predictions = fitted.predict_validation(&learning.matrix, kept.rows())?;
    let answers = Answers::from_predictions(&predictions)?;
    let measured = Metrics::measure(&answers, kept.targets(), rows.task == Task::AgeGroup)?;
    let by_age_group = by_age_group(&answers, kept.targets())?;
    let task_head = TaskHead {
        task: rows.task,
        classes: rows.classes,
        age_groups: (rows.task == Task::AgeGroup).then(|| settings.groups.clone()),
        age_intervals: match (&predictions, kept.targets()) {
            (Predictions::Years(told), Targets::Years(truth)) => AgeIntervals::fit(told, truth),
            _ => None,
        },
        parts: fitted.parts(),
    };
    let metrics = json!({
        "head": arguments.head,
        "training_rows": training.len(),
        "validation_rows": kept.len(),
        "validation": measured,
        "by_age_group": by_age_group,
        "spread": spread(fitted.as_ref(), &answers, &kept)?,
        "log": fitted.log(),
    });
    Ok((task_head, metrics))
}

/// What a head says of how sure it is, and whether it is right in that: its mean spread on rows that
/// it is right about and on the others; for years, on the half of the rows with the smaller errors
/// and on the other. None for heads that say nothing.
fn spread(
    fitted: &dyn FittedHead,
    answers: &Answers,
    kept: &Examples<'_>,
) -> Result<Option<serde_json::Value>> {
    let Some(spread) = fitted.spread(kept.matrix(), kept.rows())? else { return Ok(None) };
    let errors: Vec<f32> = match (answers, kept.targets()) {
        (Answers::Years(told), Targets::Years(truth)) => {
            told.iter().zip(truth).map(|(told, truth)| (told - truth).abs()).collect()
        }
        (Answers::Classes { predicted, .. }, Targets::Classes { indices, .. }) => {
            predicted.iter().zip(indices).map(|(a, b)| f32::from(a != b)).collect()
        }
        _ => return Ok(None),
    };
    let mut sorted = errors.clone();
    sorted.sort_by(f32::total_cmp);
    let border = match kept.targets() {
        Targets::Years(_) => sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
        Targets::Classes { .. } => 0.5,
    };
    let mean = |large: bool| {
        let chosen = spread.iter().zip(&errors).filter(|(_, error)| (**error >= border) == large);
        let chosen: Vec<f64> = chosen.map(|(spread, _)| f64::from(*spread)).collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    };
    Ok(Some(json!({ "of_small_errors": mean(false), "of_large_errors": mean(true) })))
}

/// The error in years for each group of true ages that has rows: a mean over all ages hides how
/// much worse old people are told. Empty for heads that tell classes.
fn by_age_group(answers: &Answers, targets: &Targets) -> Result<Vec<serde_json::Value>> {
    let (Answers::Years(told), Targets::Years(truth)) = (answers, targets) else {
        return Ok(Vec::new());
    };
    let mut groups = Vec::new();
    for range in AgeGroups::nine().ranges() {
        let inside = || told.iter().zip(truth).filter(|(_, truth)| range.contains(**truth));
        let answers = Answers::Years(inside().map(|(told, _)| *told).collect());
        let targets = Targets::Years(inside().map(|(_, truth)| *truth).collect());
        if let Some(Metrics::Years(years)) = Metrics::measure(&answers, &targets, false)? {
            groups.push(json!({
                "group": range.to_string(),
                "rows": years.rows,
                "mean_absolute_error": years.mean_absolute_error,
                "mean_error": years.mean_error,
            }));
        }
    }
    Ok(groups)
}

/// One line for a person: rows, and how the head does on subjects it did not see.
fn summary(measured: &serde_json::Value) -> String {
    let validation = &measured["validation"];
    let found = [("accuracy", "accuracy"), ("mean_absolute_error", "mean absolute error")]
        .into_iter()
        .find_map(|(key, name)| {
            let value = find(validation, key)?;
            Some(format!("{name} {value:.3}"))
        });
    format!(
        "trained on {} rows; on {} rows of other subjects, which chose the epoch: {}",
        measured["training_rows"],
        measured["validation_rows"],
        found.unwrap_or_else(|| "nothing measured".to_owned())
    )
}

fn find(value: &serde_json::Value, key: &str) -> Option<f64> {
    let object = value.as_object()?;
    let here = object.get(key).and_then(serde_json::Value::as_f64);
    here.or_else(|| object.values().find_map(|inner| find(inner, key)))
}
