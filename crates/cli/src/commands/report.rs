//! `facefold report`: show a report that was written before.

use anyhow::Result;
use facefold_report::Report;

use crate::Outcome;
use crate::arguments::ReportCommand;
use crate::output::Output;

/// Runs `report`.
///
/// # Errors
/// If there is no report.
pub fn run(command: ReportCommand, output: Output) -> Result<Outcome> {
    let ReportCommand::Open { result } = command;
    let report = Report::read(&result)?;
    output.answer(&report, || facefold_report::terminal(&report))?;
    Ok(Outcome::Done)
}
