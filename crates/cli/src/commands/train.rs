//! `facefold train`: a head trained on the rows of one or several stores becomes a bundle.

use anyhow::Result;
use facefold_core::{
    AgeGroups, AgeThreshold, FamiliarityModel, FeatureDataset, FittedHead, Targets, Task,
};
use facefold_datasets::DatasetKind;
use facefold_evaluate::{
    AgePredictions, AuxiliaryLabels, Calibration, CvSplit, Metrics, PredictedValues,
    choose_thresholds, plan_training,
};
use facefold_heads::{Bundle, FeatureChoice, TaskCounts, TaskHead, TrainingSet, WeightFormat};
use facefold_store::Features;
use serde_json::json;

use super::Usage;
use crate::arguments::{BundleWeightsName, TrainArguments};
use crate::learning::{self, DataSet, Learning, TaskRows};
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::{Outcome, provenance};

/// Runs `train`.
///
/// # Errors
/// If the store cannot be read or a head cannot be fitted.
pub fn run(arguments: &TrainArguments, output: Output) -> Result<Outcome> {
    let settings = Settings::check(&arguments.learning)?;
    let ages = arguments.thresholds.ages(&settings.tasks)?;
    settings.require_learner(&[learning::head(&arguments.head, &settings.heads)?])?;
    let learning = Learning::open(&arguments.learning, &[], &settings)?;
    settings.start.check(learning.store())?;
    let header = learning.store().header();
    let mut heads = Vec::new();
    let mut metrics = serde_json::Map::new();
    let all = settings.tasks.iter().map(|&task| learning.task(task, &settings));
    let all = all.collect::<Result<Vec<TaskRows>>>()?;
    let familiarity = familiarity(&learning, &all, arguments.learning.seed)?;
    let training = learning.sets.iter().map(|set| training_set(set, &all)).collect();
    for rows in all {
        learning::announce(&rows);
        learning::warn_of(&learning, &rows, &settings);
        let task = rows.task;
        let (head, measured) =
            fit(arguments, &settings, &learning, rows, (&ages, familiarity.as_ref()))?;
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
        familiarity,
        fingerprint: header.fingerprint.clone(),
        extractor: header.extractor.clone(),
        training,
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

/// A data set with the rows that each task uses of it.
fn training_set(set: &DataSet, tasks: &[TaskRows]) -> TrainingSet {
    let kind = set.store.header().dataset.kind.clone();
    let terms = kind.parse().map_or("not known", DatasetKind::terms).to_owned();
    let counted = |rows: &TaskRows| {
        let own = |at: &usize| rows.rows[*at].set.as_ref().is_none_or(|name| *name == set.name);
        let own: Vec<usize> = (0..rows.rows.len()).filter(own).collect();
        let subjects = own.iter().map(|&at| rows.rows[at].subject_name());
        TaskCounts::count(rows.task, &rows.classes, &rows.targets.select(&own), subjects)
    };
    let tasks = tasks.iter().map(counted).collect();
    TrainingSet { name: set.name.to_string(), kind, terms, tasks }
}

/// Familiarity of the faces of the task with most rows: one for all heads.
fn familiarity(
    learning: &Learning,
    tasks: &[TaskRows],
    seed: u64,
) -> Result<Option<FamiliarityModel>> {
    let Some(rows) = tasks.iter().max_by_key(|rows| rows.rows.len()) else { return Ok(None) };
    let CvSplit { train, validation, .. } = plan_training(&rows.rows, &rows.targets, seed)?;
    let calibration = Calibration {
        own: learning.own(rows),
        auxiliary_labels: &AuxiliaryLabels::default(),
        training: &train,
        held_out: &validation,
    };
    Ok(calibration.familiarity()?)
}

/// Fits one task's head, and measures it on the subjects it did not see.
fn fit(
    arguments: &TrainArguments,
    settings: &Settings,
    learning: &Learning,
    rows: TaskRows,
    (ages, familiarity): (&[u32], Option<&FamiliarityModel>),
) -> Result<(TaskHead, serde_json::Value)> {
    let seed = arguments.learning.seed;
    let of_sets = (!rows.of_sets.is_empty()).then(|| rows.of_sets.clone());
    let partition = plan_training(&rows.rows, &rows.targets, seed)?;
    announce_division(&rows, &partition);
    let CvSplit { train: trained, validation: held_out, .. } = partition;
    let options = settings.start.options(rows.task, &settings.heads);
    let head = learning::head(&arguments.head, &options).map_err(Usage::error)?;
    let auxiliary_labels = if head.uses_auxiliary_tasks() {
        learning.auxiliary_labels(rows.task, settings)?
    } else {
        AuxiliaryLabels::default()
    };
    let own = learning.own(&rows);
    let (training, kept) = auxiliary_labels.datasets(own, &trained, &held_out)?;
    output::note(&format!("{}: fitting {} on {} rows", rows.task, head.name(), training.len()));
    let fitted = head.fit(&training, &kept, seed)?;
    let predictions = fitted.predict_validation(&learning.matrix, kept.rows())?;
    let answers = PredictedValues::from_predictions(&predictions)?;
    let measured = Metrics::measure(&answers, kept.targets(), rows.task == Task::AgeGroup)?;
    let by_age_group = by_age_group(&answers, kept.targets())?;
    let by_set = by_set(&rows, &held_out, &answers)?;
    let calibration = Calibration {
        own,
        auxiliary_labels: &auxiliary_labels,
        training: &trained,
        held_out: &held_out,
    };
    let intervals = calibration.intervals(head.as_ref(), fitted.as_ref(), familiarity, seed)?;
    let spread = spread(fitted.as_ref(), &answers, &kept)?;
    let age_thresholds = thresholds(arguments, fitted.as_ref(), &answers, &kept, ages)?;
    let metrics = json!({
        "head": arguments.head,
        "training_rows": training.len(),
        "validation_rows": kept.len(),
        "rows_of_sets": of_sets,
        "validation": measured,
        "by_age_group": by_age_group,
        "by_set": by_set,
        "interval_sets_left_out": intervals.as_ref().map(|found| found.sets_left_out),
        "spread": spread,
        "log": fitted.log(),
    });
    let task_head = TaskHead {
        task: rows.task,
        classes: rows.classes,
        age_groups: (rows.task == Task::AgeGroup).then(|| settings.groups.clone()),
        age_intervals: intervals.map(|found| found.intervals),
        age_thresholds,
        state: fitted.state_dict(),
    };
    Ok((task_head, metrics))
}

/// Says where subjects or classes did not divide as they should.
fn announce_division(rows: &TaskRows, partition: &CvSplit) {
    for note in &partition.notes {
        output::note(&format!("{}: {note}", rows.task));
    }
    let untrained = partition.untrained_classes(&rows.targets, &rows.classes);
    let names: Vec<&str> = untrained.keys().map(String::as_str).collect();
    if !names.is_empty() {
        output::note(&format!(
            "{}: no training row is of the classes {}, which the head cannot predict",
            rows.task,
            names.join(", ")
        ));
    }
}

/// The limits of age decisions, chosen on the subjects that the head did not see; none for classes.
fn thresholds(
    arguments: &TrainArguments,
    fitted: &dyn FittedHead,
    answers: &PredictedValues,
    kept: &FeatureDataset<'_>,
    ages: &[u32],
) -> Result<Vec<AgeThreshold>> {
    let PredictedValues::Regression(years) = answers else { return Ok(Vec::new()) };
    let distribution = fitted.age_distribution_validation(kept.matrix(), kept.rows())?;
    let predicted = AgePredictions::new(years, distribution.as_ref()).decision_ages();
    let max_error = arguments.thresholds.max_false_adult;
    let chosen = choose_thresholds(ages, max_error, &predicted, kept.targets());
    for limits in &chosen {
        output::note(&decided(limits));
    }
    Ok(chosen)
}

/// What limits were chosen, in words.
fn decided(limits: &AgeThreshold) -> String {
    let AgeThreshold { age, max_error, over_from, under_below, minors, adults } = limits;
    let known = |limit: &Option<u32>| limit.map(|limit| limit.to_string());
    let over = known(over_from).map_or_else(
        || {
            format!(
                "nobody is called over ({minors} minors, at least {} are needed)",
                max_error.min_rows()
            )
        },
        |limit| format!("over from a lower decile of {limit} (chosen on {minors} minors)"),
    );
    let under = known(under_below).map_or_else(
        || format!("nobody is called under ({adults} adults)"),
        |limit| format!("under below a median of {limit} (on {adults} adults)"),
    );
    format!("threshold {age}, errors of at most {max_error}: {over}; {under}")
}

/// What a head says of how sure it is, and whether it is right in that: its mean spread on rows that
/// it is right about and on the others; for years, on the half of the rows with the smaller errors
/// and on the other. None for heads that say nothing.
fn spread(
    fitted: &dyn FittedHead,
    answers: &PredictedValues,
    kept: &FeatureDataset<'_>,
) -> Result<Option<serde_json::Value>> {
    let Some(spread) = fitted.uncertainty(kept.matrix(), kept.rows())? else { return Ok(None) };
    let errors: Vec<f32> = match (answers, kept.targets()) {
        (PredictedValues::Regression(told), Targets::Regression(truth)) => {
            told.iter().zip(truth).map(|(&told, age)| age.distance(told)).collect()
        }
        (PredictedValues::Classes { predicted, .. }, Targets::Classes { indices, .. }) => {
            predicted.iter().zip(indices).map(|(a, b)| f32::from(a != b)).collect()
        }
        _ => return Ok(None),
    };
    let mut sorted = errors.clone();
    sorted.sort_by(f32::total_cmp);
    let border = match kept.targets() {
        Targets::Regression(_) => sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
        Targets::Classes { .. } => 0.5,
    };
    let mean = |large: bool| {
        let chosen = spread.iter().zip(&errors).filter(|(_, error)| (**error >= border) == large);
        let chosen: Vec<f64> = chosen.map(|(spread, _)| f64::from(*spread)).collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    };
    Ok(Some(json!({ "of_small_errors": mean(false), "of_large_errors": mean(true) })))
}

/// The error in years for each group of true ages that has rows (of age ranges, those that lie in
/// it): a mean over all ages hides how much worse old people are told. Empty for heads that tell classes.
fn by_age_group(answers: &PredictedValues, targets: &Targets) -> Result<Vec<serde_json::Value>> {
    let (PredictedValues::Regression(told), Targets::Regression(truth)) = (answers, targets) else {
        return Ok(Vec::new());
    };
    let mut groups = Vec::new();
    for range in AgeGroups::nine().ranges() {
        let inside = || told.iter().zip(truth).filter(|(_, age)| range.covers(**age));
        let answers = PredictedValues::Regression(inside().map(|(told, _)| *told).collect());
        let targets = Targets::Regression(inside().map(|(_, truth)| *truth).collect());
        if let Some(Metrics::Regression(years)) = Metrics::measure(&answers, &targets, false)? {
            let mut group = json!({ "group": range.to_string() });
            if let Some(exact) = years.exact {
                group["rows"] = exact.rows.into();
                group["mean_absolute_error"] = exact.mean_absolute_error.into();
                group["mean_error"] = exact.mean_error.into();
            }
            if let Some(ranges) = years.ranges {
                group["ranges"] = json!(ranges);
            }
            groups.push(group);
        }
    }
    Ok(groups)
}

/// What is measured on the kept rows of each data set, where there are several.
fn by_set(
    rows: &TaskRows,
    kept: &[usize],
    answers: &PredictedValues,
) -> Result<Vec<serde_json::Value>> {
    let mut sets = Vec::new();
    for set in rows.of_sets.keys() {
        let of_set = |&place: &usize| rows.rows[kept[place]].set.as_ref() == Some(set);
        let places: Vec<usize> = (0..kept.len()).filter(of_set).collect();
        let kept: Vec<usize> = places.iter().map(|&place| kept[place]).collect();
        let targets = rows.targets.select(&kept);
        let measured =
            Metrics::measure(&answers.of_rows(&places), &targets, rows.task == Task::AgeGroup)?;
        let figures = match measured {
            None => continue,
            Some(Metrics::Classes(classes)) => json!({
                "set": set,
                "rows": classes.rows,
                "accuracy": classes.accuracy,
                "balanced_accuracy": classes.balanced_accuracy,
                "one_off_accuracy": classes.one_off_accuracy,
            }),
            Some(Metrics::Regression(years)) => json!({
                "set": set,
                "rows": years.exact.as_ref().map(|exact| exact.rows),
                "mean_absolute_error": years.exact.as_ref().map(|exact| exact.mean_absolute_error),
                "mean_error": years.exact.as_ref().map(|exact| exact.mean_error),
                "range_rows": years.ranges.map(|ranges| ranges.rows),
                "inside_range": years.ranges.map(|ranges| ranges.inside),
            }),
        };
        sets.push(figures);
    }
    Ok(sets)
}

/// One line for a person: rows, and how the head does on subjects it did not see.
fn summary(measured: &serde_json::Value) -> String {
    let validation = &measured["validation"];
    let mut names = [
        ("accuracy", "accuracy"),
        ("mean_absolute_error", "mean absolute error"),
        ("mean_distance", "mean distance to the age range"),
    ];
    let years = &validation["years"];
    if years["ranges"]["rows"].as_u64() > years["rows"].as_u64() {
        names.reverse();
    }
    let found = names.into_iter().find_map(|(key, name)| {
        let value = find(validation, key)?;
        Some(format!("{name} {value:.3}"))
    });
    let intervals = match measured["interval_sets_left_out"].as_u64() {
        Some(0) => "; intervals were calibrated inside the data set trained on".to_owned(),
        Some(sets) => format!("; intervals were calibrated on {sets} data sets left out in turn"),
        None => String::new(),
    };
    format!(
        "trained on {} rows; on {} rows of other subjects, which chose the epoch: {}{intervals}",
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
