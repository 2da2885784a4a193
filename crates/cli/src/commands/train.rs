//! `facefold train`: a head trained on the rows of one or several stores becomes a bundle.

use anyhow::Result;
use facefold::{TrainOptions, train};
use facefold_core::files::RUN_FILE;
use facefold_heads::WeightFormat;
use serde_json::json;

use crate::arguments::{BundleWeightsName, TrainArguments};
use crate::config;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::progress::Terminal;

/// Runs `train`.
///
/// # Errors
/// If the store cannot be read or a head cannot be fitted.
pub fn run(arguments: &TrainArguments, output: Output) -> Result<Outcome> {
    let learning = arguments.learning.options()?;
    let options = TrainOptions {
        head: arguments.head.clone(),
        thresholds: arguments.thresholds.ages(&learning.tasks)?,
        max_false_adult: arguments.thresholds.max_false_adult,
        weights: match arguments.weights {
            BundleWeightsName::F32 => WeightFormat::F32,
            BundleWeightsName::F16 => WeightFormat::F16,
        },
        tensorboard: arguments.tensorboard.clone(),
        origin: config::origin(),
        learning,
    };
    let bundle = train(&options, &Terminal::default())?;
    bundle.save(&arguments.out)?;
    if let Some(file) = &options.origin.run_file {
        file.write(&arguments.out.with_extension(RUN_FILE))?;
    }
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
