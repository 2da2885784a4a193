//! `facefold cv`: cross-validates heads on a store and writes a report.

use std::path::Path;

use anyhow::Result;
use facefold::{EvaluationOptions, cross_validate_stores};
use facefold_report::Report;
use facefold_terminal::{Output, Terminal};

use crate::arguments::CvArguments;
use crate::outcome::Outcome;

/// Runs `cv`.
///
/// # Errors
/// If the store cannot be read, a subject leaks, or a head fails; finished fits are kept.
pub fn run(arguments: &CvArguments, output: Output) -> Result<Outcome> {
    let progress = Terminal::listening()?;
    let options =
        EvaluationOptions { heads: arguments.head.clone(), ..arguments.evaluation.options()? };
    let report = cross_validate_stores(&options, &progress)?;
    progress.finish();
    show(report, &options.out, output)
}

/// Prints a report's tables and where it lies; nothing where there is none, as the user stopped it.
///
/// # Errors
/// If stdout cannot be written.
pub fn show(report: Option<Report>, out: &Path, output: Output) -> Result<Outcome> {
    let Some(report) = report else { return Ok(Outcome::Interrupted) };
    output.answer(&report, || {
        format!("{}\n{}", facefold_report::terminal(&report), out.join("report.md").display())
    })?;
    Ok(Outcome::Done)
}
