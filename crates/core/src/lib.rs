//! The words every facefold crate speaks: samples, labels, tasks, embeddings, fingerprints, and
//! the traits [`Extractor`] and [`Head`].
//!
//! The two traits are the seams of the product. An extractor turns the bytes of a picture into
//! faces; a head turns a feature matrix into answers. Nothing else is known of either.

pub mod age;
pub mod examples;
pub mod extraction;
pub mod familiarity;
pub mod files;
pub mod fingerprint;
pub mod head;
pub mod intervals;
pub mod rng;
pub mod rows;
pub mod sample;
pub mod task;

pub use age::{AgeGroups, AgeLabel, AgeRange};
pub use examples::{Companion, Examples};
pub use extraction::{
    Embedding, Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, ImageKey,
    RejectReason, Rejection,
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
