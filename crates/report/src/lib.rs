//! One result, several faces: Markdown, JSON, terminal tables and SVG plots.
//!
//! [`Report`] holds everything that a reviewer asks for; [`write()`] puts it into a directory as
//! `report.md`, `report.json` and `plots/*.svg`, [`terminal()`] into tables for the terminal.

pub mod comparison;
pub mod error;
mod figures;
mod format;
mod markdown;
mod model;
pub mod plot;
mod svg;
mod table;
mod terminal;
mod write;

pub use error::ReportError;
pub use markdown::markdown;
pub use model::{Dataset, FORMAT, Machine, Network, Provenance, Report, RowCounts, TaskReport};
pub use terminal::terminal;
pub use write::{Written, write};
