//! What training measured, for a person.

use facefold_heads::Bundle;
use serde_json::Value;

/// A line a task: the rows trained on, and how the head does on the validation rows.
#[must_use]
pub fn training_summary(bundle: &Bundle) -> String {
    let tasks = bundle.metrics.as_object().into_iter().flatten();
    let lines = tasks.map(|(task, measured)| format!("{task}: {}", of_task(measured)));
    lines.collect::<Vec<_>>().join("\n")
}

fn of_task(measured: &Value) -> String {
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

fn find(value: &Value, key: &str) -> Option<f64> {
    let object = value.as_object()?;
    let here = object.get(key).and_then(Value::as_f64);
    here.or_else(|| object.values().find_map(|inner| find(inner, key)))
}
