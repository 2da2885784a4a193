//! Pictures to answers with a trained bundle.
//!
//! [`default_bundle()`] is one that the library embeds; a [`BundleCard`] says of any bundle on what
//! it was trained, what it scored, and what it must not be used for.
//! A [`Predictor`] ties bundles to the extractor that their features come from; it gives an
//! [`Answer`] for each face of a picture. [`csv`] and [`table`] write answers for programs and
//! people, [`annotate()`] draws them on the picture. [`Predictor::explain`] says
//! [which part of a face](occlusion) moved an answer.
//! [`export()`](export::export) writes a bundle for other runtimes.
//! [`Frames`] reads videos and cameras, in which [`People`] are followed and averaged.

pub mod annotate;
pub mod answer;
mod bundles;
pub mod card;
pub mod csv;
mod default_bundle;
pub mod explain;
pub mod export;
pub mod frames;
mod lettering;
pub mod occlusion;
pub mod people;
pub mod predictor;
pub mod table;
pub mod tracker;

pub use annotate::{Mark, annotate};
pub use answer::{Answer, ClassAnswer, Status, ThresholdAnswer};
pub use bundles::trained_on_whole_pictures;
pub use card::{BundleCard, TaskCard};
pub use default_bundle::{DEFAULT_BUNDLE, default_bundle};
pub use explain::{ExplainError, FaceExplained, Which};
pub use frames::{Frame, Frames, VideoError};
pub use occlusion::{Explanation, MeanMap, OcclusionMap};
pub use people::{People, Person};
pub use predictor::{PredictError, Predictor, Wanted};
