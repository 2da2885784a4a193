//! The types that all facefold crates share: samples, labels, tasks, embeddings, fingerprints, and
//! the traits [`Extractor`] and [`Head`].
//!
//! An extractor turns the bytes of a picture into faces with embeddings; a head turns a feature
//! matrix into predictions. The pipeline uses both through these traits only.

pub mod age;
pub mod age_target;
pub mod bounding_box;
pub mod censored;
pub mod checksum;
pub mod extraction;
pub mod familiarity;
pub mod feature_dataset;
pub mod feature_matrix;
pub mod file_lock;
pub mod files;
pub mod fingerprint;
pub mod font;
pub mod function_head;
pub mod head;
pub mod intervals;
pub mod links;
pub mod names;
pub mod pictures;
mod principal_components;
pub mod quotes;
pub mod rng;
pub mod rows;
pub mod sample;
pub mod targets;
pub mod task;
pub mod text;
pub mod threshold;
pub mod workers;

pub use age::{AgeGroups, AgeLabel, AgeRange};
pub use age_target::{AgeTarget, InvalidAgeTarget, LAST_YEAR, exact_ages_decide, exact_rows};
pub use bounding_box::BoundingBox;
pub use extraction::{
    Embedding, Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, IMPORTED,
    ImageKey, RejectReason, Rejection, SCORE_THRESHOLD, TAPS_LAYOUT, rows_of_equal_pictures,
};
pub use familiarity::{Familiarity, FamiliarityModel, FamiliarityParameters, WeightedRows};
pub use feature_dataset::{AuxiliaryTask, FeatureDataset};
pub use feature_matrix::{FeatureMatrix, MatrixIdentity};
pub use file_lock::FileLock;
pub use fingerprint::{Fingerprint, Precision};
pub use function_head::FunctionHead;
pub use head::{Epoch, Fit, FittedHead, Head, HeadError, StateDict, TrainingLog};
pub use intervals::{AgeEstimate, AgeIntervals, CalibrationRow, age_deviation};
pub use rows::{FeatureRows, RowPlace, RowValues};
pub use sample::{Fold, Gender, Sample, Split, SubjectId};
pub use targets::{PredictedTargets, Prediction, TargetKind, Targets};
pub use task::{AuxiliaryKind, Task};
pub use threshold::{
    AgeDecision, AgeThreshold, DecisionAges, ErrorBound, median_age, probability_over, quantile_age,
};
