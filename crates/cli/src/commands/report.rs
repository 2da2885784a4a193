//! `facefold report`: show a report that was written before, or write its pages anew.

use anyhow::Result;
use facefold_report::Report;
use serde_json::json;

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
            let report = Report::read(&result)?;
            output.answer(&report, || facefold_report::terminal(&report))?;
        }
        ReportCommand::Render { result, out } => {
            let html = facefold_report::render(&result, out.as_deref())?.html;
            output.answer(&json!({ "html": html }), || html.display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}
