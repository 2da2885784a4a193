//! `facefold matrix`: heads fitted on each of several stores and tested on each.

use anyhow::Result;
use facefold::{MatrixOptions, matrix_of_stores};
use facefold_terminal::{Output, Terminal};

use crate::arguments::MatrixArguments;
use crate::config;
use crate::outcome::Outcome;

/// Runs `matrix`.
///
/// # Errors
/// If a store cannot be read, or a head fails; finished fits are kept.
pub fn run(arguments: &MatrixArguments, output: Output) -> Result<Outcome> {
    let progress = Terminal::listening()?;
    let options = MatrixOptions {
        learning: arguments.learning.options()?,
        heads: arguments.head.clone(),
        seeds: arguments.seeds,
        out: arguments.out.clone(),
        origin: config::origin(),
    };
    let report = matrix_of_stores(&options, &progress)?;
    progress.finish();
    let Some(report) = report else { return Ok(Outcome::Interrupted) };
    output.answer(&report, || {
        let path = options.out.join("report.md");
        format!("{}\n{}", facefold_report::matrix_terminal(&report), path.display())
    })?;
    Ok(Outcome::Done)
}
