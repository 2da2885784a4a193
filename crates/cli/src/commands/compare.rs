//! `facefold compare`: the results of several runs side by side, on the rows they share.

use anyhow::Result;
use facefold_evaluate::Comparison;

use crate::arguments::CompareArguments;
use crate::outcome::Outcome;
use crate::output::Output;

/// Runs `compare`.
///
/// # Errors
/// If a result cannot be read, or no task is in two of them.
pub fn run(arguments: &CompareArguments, output: Output) -> Result<Outcome> {
    let comparisons = facefold_report::compare_results(&arguments.results, arguments.seed)?;
    output.answer(&comparisons, || text(&comparisons))?;
    Ok(Outcome::Done)
}

/// A table for each task.
pub fn text(comparisons: &[Comparison]) -> String {
    let blocks = comparisons.iter().map(|comparison| {
        format!("{}\n{}", comparison.task, facefold_report::comparison::terminal(comparison))
    });
    blocks.collect::<Vec<_>>().join("\n")
}
