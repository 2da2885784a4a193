//! Renders a result as HTML, Markdown, JSON, terminal tables and SVG plots.
//!
//! [`Report`] has the data of a report; [`write()`] writes it into a directory as
//! `report.html`, `report.md`, `report.json` and `plots/*.svg`, [`terminal()`] into tables for the
//! terminal.

pub mod comparison;
mod contents;
mod directory;
mod drawing;
mod either;
pub mod error;
mod export;
mod figures;
mod font;
mod format;
mod html;
mod inline;
mod lock;
mod markdown;
mod matrix;
mod model;
mod page;
mod pdf;
pub mod plot;
mod png;
mod sealed;
mod side_by_side;
mod svg;
mod table;
pub mod tensorboard;
mod terminal;
mod write;

pub use directory::{FITS, forget_pictures, label_errors_file, remove};
pub use drawing::Drawing;
pub use either::AnyReport;
pub use error::ReportError;
pub use export::{Exported, TableFormat, comparison_tables, export};
pub use html::html;
pub use lock::DirectoryLock;
pub use markdown::markdown;
pub use matrix::{markdown as matrix_markdown, terminal as matrix_terminal, write as write_matrix};
pub use model::{
    Dataset, FORMAT, LabelErrorCount, Machine, MatrixReport, Network, Provenance, Report,
    RowCounts, SetInfo, TaskMatrix, TaskReport,
};
pub use side_by_side::{compare_results, predictions_file};
pub use terminal::terminal;
pub use write::{Rendered, Written, plots, render, write};
