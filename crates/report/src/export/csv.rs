//! A line a task, head and metric.

use std::fmt::Write;

use facefold_core::text::cell;
use facefold_evaluate::{Comparison, Decision};

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

/// A line a task and pair of heads: the difference is that of the first less the second, a fraction or years.
pub(super) fn comparisons(comparisons: &[Comparison]) -> String {
    let mut text = "task,metric,first,second,first_value,second_value,difference,interval_low,interval_high,p_holm,\
                    better,rows,subjects\n"
        .to_owned();
    for comparison in comparisons {
        let value = |label: &str| {
            let found = comparison.candidates.iter().find(|candidate| candidate.label == label);
            found.map_or_else(String::new, |candidate| candidate.value.to_string())
        };
        for pair in &comparison.pairs {
            let better = match pair.decision {
                Decision::FirstBetter => "first",
                Decision::SecondBetter => "second",
                Decision::Undecided => "",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{better},{},{}",
                comparison.task,
                quoted(comparison.metric.name()),
                quoted(&pair.first),
                quoted(&pair.second),
                value(&pair.first),
                value(&pair.second),
                pair.difference,
                pair.interval.low,
                pair.interval.high,
                pair.adjusted_p,
                comparison.rows,
                comparison.subjects,
            );
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
