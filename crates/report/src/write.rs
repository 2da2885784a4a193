//! Writing a report into a directory.

use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;

use crate::error::ReportError;
use crate::figures::Figures;
use crate::markdown::markdown;
use crate::model::Report;

/// The files of a written report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.md`.
    pub markdown: PathBuf,
    /// `report.json`.
    pub json: PathBuf,
    /// `plots/*.svg`, which the Markdown links to.
    pub plots: Vec<PathBuf>,
}

/// Writes `report.md`, `report.json` and `plots/*.svg` into `directory`, which is created if need
/// be. The JSON comes last: where it is, the rest is.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write(report: &Report, directory: &Path) -> Result<Written, ReportError> {
    let mut plots = Vec::new();
    for task in &report.tasks {
        for figure in Figures::of(&task.result).all() {
            let path = directory.join("plots").join(&figure.file);
            write_atomic(&path, figure.svg.as_bytes())?;
            plots.push(path);
        }
    }
    let written = Written {
        markdown: directory.join("report.md"),
        json: directory.join("report.json"),
        plots,
    };
    write_atomic(&written.markdown, markdown(report).as_bytes())?;
    let mut json = serde_json::to_vec_pretty(report).map_err(|error| ReportError::Invalid {
        path: written.json.clone(),
        message: error.to_string(),
    })?;
    json.push(b'\n');
    write_atomic(&written.json, &json)?;
    Ok(written)
}
