//! Age and gender heads on frozen `ArcFace` embeddings, as a library.

pub mod data;
mod error;
pub mod evaluation;
pub mod extract;
mod initial;
pub mod network;
mod options;
pub mod parallel;
pub mod progress;
pub mod synthetic;
mod train;

pub use data::{JoinedStores, RowId, TaskData};
pub use error::{Error, Result};
pub use evaluation::{
    CvOptions, EvaluationOptions, MatrixOptions, TuneOptions, compare, cross_validate,
    cross_validate_stores, matrix_of_stores, tune_stores,
};
pub use extract::{ExtractOptions, ExtractSummary, Source, extract};
pub use initial::InitialHeads;
pub use network::{Faces, NetworkOptions};
pub use options::{LearningOptions, Origin, each_once, head, head_options};
pub use progress::{Progress, Stage, Step};
pub use train::{TrainOptions, train};

/// The number of threads asked for; 0 means all cores.
#[must_use]
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}
