//! `facefold report`: show a report that was written before, or write its pages anew.

use anyhow::Result;
use facefold_report::AnyReport;

use crate::arguments::ReportCommand;
use crate::outcome::Outcome;
use crate::output::Output;

/// Runs `report`.
///
/// # Errors
/// If there is no report, or its pages cannot be written.
pub fn run(command: ReportCommand, output: Output) -> Result<Outcome> {
    match command {
        ReportCommand::Open { result } => {
            let report = AnyReport::read(&result)?;
            output.answer(&report, || report.terminal())?;
        }
        ReportCommand::Render { result, out } => {
            let page = facefold_report::render(&result, out.as_deref())?;
            output.answer(&page, || page.path().display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}
