//! `facefold report`: show a report that was written before, or write its pages anew.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
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
            require_same(&report, &directory)?;
            let html = facefold_report::write(&report, &directory)?.html;
            output.answer(&json!({ "html": html }), || html.display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}

/// Refuses a directory that holds another report: its predictions would be taken for this one's.
fn require_same(report: &Report, directory: &Path) -> Result<()> {
    let there = directory.join("report.json");
    if there.exists() && Report::read(&there).ok().as_ref() != Some(report) {
        bail!(
            "`{}` holds another report: expected an empty directory or this report's own, give another --out",
            directory.display()
        );
    }
    Ok(())
}

/// The directory of a report that is named by it or by its `report.json`.
fn directory_of(result: PathBuf) -> PathBuf {
    if result.is_dir() { result } else { result.parent().map(Path::to_owned).unwrap_or(result) }
}
