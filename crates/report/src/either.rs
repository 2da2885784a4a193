//! A report of either kind: on heads, or on a matrix of training and test sets.

use std::path::Path;

use serde::Serialize;

use crate::error::ReportError;
use crate::matrix;
use crate::model::{self, MatrixReport, Provenance, Report};
use crate::terminal::terminal;

/// What `report.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AnyReport {
    /// Of `cv` or `tune`.
    Heads(Report),
    /// Of `matrix`.
    Matrix(MatrixReport),
}

impl AnyReport {
    /// Reads `report.json`, or the one in a directory.
    ///
    /// # Errors
    /// As [`Report::read`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let (path, bytes) = model::read_json(path)?;
        match (Report::parse(&bytes), MatrixReport::parse(&bytes)) {
            (Ok(report), _) => Ok(Self::Heads(report)),
            (_, Ok(report)) => Ok(Self::Matrix(report)),
            (Err(message), _) => Err(ReportError::Invalid { path, message }),
        }
    }

    /// Where the numbers come from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        match self {
            Self::Heads(report) => &report.provenance,
            Self::Matrix(report) => &report.provenance,
        }
    }

    /// The tables for the terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        match self {
            Self::Heads(report) => terminal(report),
            Self::Matrix(report) => matrix::terminal(report),
        }
    }
}
