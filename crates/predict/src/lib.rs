//! Pictures to answers with a trained bundle.
//!
//! A [`Predictor`] ties bundles to the extractor that their features come from; it gives an
//! [`Answer`] for each face of a picture. [`csv`] and [`table`] write answers for programs and
//! people.

pub mod answer;
pub mod csv;
pub mod predictor;
pub mod table;

pub use answer::{Answer, ClassAnswer, Status};
pub use predictor::{PredictError, Predictor};
