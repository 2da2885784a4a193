//! `facefold report`: show a report that was written before, write its pages anew, or export its tables and plots.

use anyhow::Result;
use facefold_report::{AnyReport, Exported, Report};
use facefold_terminal::Output;
use serde_json::json;

use crate::arguments::ReportCommand;
use crate::outcome::Outcome;

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
        ReportCommand::Export { result, format, out } => {
            let report = Report::read(&result)?;
            let Some(out) = out else {
                let tables = report.tables(format);
                output.answer(&json!({ "tables": tables }), || tables.clone())?;
                return Ok(Outcome::Done);
            };
            let Exported { tables, plots } = facefold_report::export(&report, format, &out)?;
            let answer = json!({ "tables": tables, "plots": plots });
            output.answer(&answer, || format!("{}, {} plots", tables.display(), plots.len()))?;
        }
    }
    Ok(Outcome::Done)
}
