//! Cross-validation: on the rows of a task, and on stores, which gives a report.

pub(crate) mod dimension;
mod embeddings;
mod judge;
mod matrix;
pub mod provenance;
mod report_directory;
mod run;
mod search_space;
mod stores;
mod table;
mod tune;

pub use embeddings::{LabelledEmbeddings, cross_validate_embeddings};
pub(crate) use judge::LABELS_ALONE;
pub use judge::{JudgeOptions, judge};
pub use matrix::{MatrixOptions, matrix_of_stores};
pub use report_directory::ReportDirectory;
pub use run::{CvOptions, compare, cross_validate};
pub use stores::{EvaluationOptions, cross_validate_stores};
pub use table::ResultRow;
pub use tune::{TuneOptions, tune_stores};
