//! Writing a report into a directory.

use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;
use serde::Serialize;

use crate::either::AnyReport;
use crate::error::ReportError;
use crate::lock::DirectoryLock;
use crate::model::Report;
use crate::sealed::sealed;
use crate::{contents, html, markdown, matrix};

/// The files of a written report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.md`.
    pub markdown: PathBuf,
    /// `report.html`, which needs no other file.
    pub html: PathBuf,
    /// `report.json`.
    pub json: PathBuf,
    /// `plots/*.svg`, which the Markdown names.
    pub plots: Vec<PathBuf>,
}

/// A report's plots: the names of their files in `plots`, and what they hold, as SVG.
#[must_use]
pub fn plots(report: &Report) -> Vec<(String, String)> {
    let page = contents::page(report);
    page.figures().into_iter().map(|figure| (figure.file.clone(), figure.drawing.svg())).collect()
}

/// Writes `report.md`, `report.html`, `report.json` and `plots/*.svg` into `directory`, which is created if need
/// be. The JSON comes last: where it is, the rest is.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write(report: &Report, directory: &Path) -> Result<Written, ReportError> {
    let page = contents::page(report);
    let mut plots = Vec::new();
    for figure in page.figures() {
        let path = directory.join("plots").join(&figure.file);
        write_atomic(&path, figure.drawing.svg().as_bytes())?;
        plots.push(path);
    }
    let written = Written {
        markdown: directory.join("report.md"),
        html: directory.join("report.html"),
        json: directory.join("report.json"),
        plots,
    };
    write_atomic(&written.markdown, markdown::render(&page).as_bytes())?;
    write_atomic(&written.html, html::render(&page).as_bytes())?;
    let json = sealed(report).map_err(|error| ReportError::Invalid {
        path: written.json.clone(),
        message: error.to_string(),
    })?;
    write_atomic(&written.json, &json)?;
    Ok(written)
}

/// The page of a rendered report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rendered {
    /// `report.html`.
    Html(PathBuf),
    /// `report.md`, of a matrix.
    Markdown(PathBuf),
}

impl Rendered {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Html(path) | Self::Markdown(path) => path,
        }
    }
}

/// Writes all forms of a report anew from its `report.json`, into `out`, or where none is given next to it.
/// `result` is that file or its directory.
///
/// # Errors
/// A report that cannot be read; [`ReportError::OtherReport`] where `out` holds another one, whose
/// predictions would be taken for this one's; as [`DirectoryLock::claim`]; or any error of the file system,
/// naming the path.
pub fn render(result: &Path, out: Option<&Path>) -> Result<Rendered, ReportError> {
    let own = if result.is_dir() { Some(result) } else { result.parent() };
    let directory = out.or(own).unwrap_or(result);
    // Read before and after: a path that is no report makes no directory.
    AnyReport::read(result)?;
    let _lock = DirectoryLock::claim(directory)?;
    let report = AnyReport::read(result)?;
    let there = directory.join("report.json");
    if there.exists() && AnyReport::read(&there).ok().as_ref() != Some(&report) {
        return Err(ReportError::OtherReport { path: directory.to_owned() });
    }
    match report {
        AnyReport::Heads(report) => Ok(Rendered::Html(write(&report, directory)?.html)),
        AnyReport::Matrix(report) => Ok(Rendered::Markdown(matrix::write(&report, directory)?)),
    }
}
