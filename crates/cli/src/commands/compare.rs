//! `facefold compare`: the results of several runs side by side, on the rows they share.

use anyhow::Result;
use facefold_report::comparison;
use facefold_terminal::{self as terminal, Output};
use serde_json::json;

use crate::arguments::CompareArguments;
use crate::outcome::Outcome;

/// Runs `compare`; an error if a result cannot be read, or no task is in two of them.
pub fn run(arguments: &CompareArguments, output: Output) -> Result<Outcome> {
    let comparisons = facefold_report::compare_results(&arguments.results, arguments.seed)?;
    let Some(format) = arguments.format else {
        output.answer(&comparisons, || comparison::terminals(&comparisons))?;
        return Ok(Outcome::Done);
    };
    // Also where the tables are piped into a file: a CSV file has no place for them.
    for comparison in &comparisons {
        for warning in &comparison.warnings {
            terminal::note(&format!("{}: {warning}", comparison.task));
        }
    }
    let tables = facefold_report::comparison_tables(&comparisons, format)?;
    output.answer(&json!({ "tables": tables }), || tables.clone())?;
    Ok(Outcome::Done)
}
