//! Pictures to answers with a trained bundle.
//!
//! A [`Predictor`] ties bundles to the extractor that their features come from; it gives an
//! [`Answer`] for each face of a picture. [`csv`] and [`table`] write answers for programs and
//! people. A service, which wants other things of each picture, uses a [`Pipeline`].

pub mod answer;
mod bundles;
pub mod csv;
pub mod pipeline;
pub mod predictor;
pub mod table;

pub use answer::{Answer, ClassAnswer, Status};
pub use pipeline::{BundleCard, Pipeline, TaskCard, Wanted};
pub use predictor::{PredictError, Predictor};
