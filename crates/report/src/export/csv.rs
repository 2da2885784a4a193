//! A line a task, head and metric.

use std::fmt::Write;

use facefold_core::text::cell;

use crate::model::Report;

/// Values as they were measured: fractions from 0 to 1, years, coefficients. An unknown value is empty.
pub(super) fn table(report: &Report) -> String {
    let mut text =
        "task,head,metric,value,interval_low,interval_high,sd_over_folds,sd_over_seeds\n"
            .to_owned();
    for task in &report.tasks {
        for head in &task.result.heads {
            for line in &head.summary {
                let ends = line.interval.map(|interval| [interval.low, interval.high]);
                let numbers = [
                    Some(line.pooled),
                    ends.map(|ends| ends[0]),
                    ends.map(|ends| ends[1]),
                    line.deviation_over_folds,
                    line.deviation_over_seeds,
                ];
                let numbers =
                    numbers.map(|number| number.map_or_else(String::new, |n| n.to_string()));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{},{},{},{}",
                    task.result.task,
                    quoted(&head.name),
                    quoted(line.metric.name()),
                    numbers.join(",")
                );
            }
        }
    }
    text
}

/// A text that no program takes for several cells or for a formula.
fn quoted(text: &str) -> String {
    let text = cell(text);
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
