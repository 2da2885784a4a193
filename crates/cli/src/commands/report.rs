//! `facefold report`: show a report that was written before, or write its pages anew.

use std::path::{Path, PathBuf};

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
            let report = Report::read(&result)?;
            let directory = out.unwrap_or_else(|| directory_of(result));
            let html = facefold_report::write(&report, &directory)?.html;
            output.answer(&json!({ "html": html }), || html.display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}

/// The directory of a report that is named by it or by its `report.json`.
fn directory_of(result: PathBuf) -> PathBuf {
    if result.is_dir() { result } else { result.parent().map(Path::to_owned).unwrap_or(result) }
}
