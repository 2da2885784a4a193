//! The words every facefold crate speaks: samples, labels, tasks, embeddings, fingerprints, and
//! the traits [`Extractor`] and [`Head`].
//!
//! The two traits are the seams of the product. An extractor turns the bytes of a picture into
//! faces; a head turns a feature matrix into answers. Nothing else is known of either.

pub mod age;
pub mod age_target;
pub mod censored;
pub mod checksum;
pub mod examples;
pub mod extraction;
pub mod familiarity;
pub mod files;
pub mod fingerprint;
pub mod head;
pub mod intervals;
pub mod pictures;
pub mod rng;
pub mod rows;
pub mod sample;
pub mod task;
pub mod text;
pub mod threshold;

pub use age::{AgeGroups, AgeLabel, AgeRange};
pub use age_target::{AgeTarget, InvalidAgeTarget, LAST_YEAR, exact_ages_decide, exact_rows};
pub use examples::{Companion, Examples};
pub use extraction::{
    Embedding, Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, ImageKey,
    RejectReason, Rejection, TAPS_LAYOUT,
};
pub use familiarity::{Familiarity, FamiliarityModel, FamiliarityParts, WeightedRows};
pub use fingerprint::{Fingerprint, Precision};
pub use head::{
    Epoch, FeatureMatrix, FittedHead, Head, HeadError, HeadParts, MatrixIdentity, Predictions,
    TargetKind, Targets, TrainingLog,
};
pub use intervals::{AgeEstimate, AgeIntervals, CalibrationRow, year_deviation};
pub use rows::{FeatureRows, RowValues};
pub use sample::{Fold, Gender, Sample, Split, SubjectId};
pub use task::{CompanionKind, Task};
pub use threshold::{
    AgeDecision, AgeThreshold, DecisionAges, ErrorBound, median_age, probability_over, quantile_age,
};
