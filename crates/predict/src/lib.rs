//! Prediction: from pictures to predictions with a trained bundle.
//!
//! [`default_bundle()`] is one that the library embeds; a [`BundleCard`] has for any bundle what
//! it was trained, what it scored, and what it must not be used for.
//! A [`Predictor`] ties bundles to the extractor that their features come from; it gives a
//! [`FacePrediction`] for each face of a picture. [`csv`] and [`table`] write predictions for programs and
//! people, [`annotate()`] draws them on the picture, and [`Predictor::crops`] cuts its faces out.
//! [`Predictor::explain`] makes [occlusion maps](occlusion).
//! [`export()`](export::export) writes a bundle for other runtimes.
//! [`Frames`] reads videos and cameras; a [`TrackAggregator`] follows faces through them and averages the predictions
//! for each.

pub mod annotate;
mod bundles;
pub mod card;
mod crops;
pub mod csv;
mod default_bundle;
mod detections;
pub mod explain;
pub mod export;
pub mod frames;
mod lettering;
pub mod occlusion;
pub mod prediction;
pub mod predictor;
pub mod table;
pub mod tracker;
pub mod tracks;

pub use annotate::{Mark, annotate};
pub use bundles::trained_on_whole_pictures;
pub use card::{BundleCard, TaskCard};
pub use crops::CropFile;
pub use default_bundle::{DEFAULT_BUNDLE, default_bundle};
pub use detections::DetectionMarks;
pub use explain::{ExplainError, FaceExplained, FaceSelector};
pub use frames::{Frame, Frames, VideoError};
pub use occlusion::{Explanation, MeanMap, OcclusionMap};
pub use prediction::{ClassPrediction, FacePrediction, Status, ThresholdDecision};
pub use predictor::{ExtractedFaces, ExtractionRequest, PredictError, Predictor};
pub use tracks::{TrackAggregator, TrackSummary};
