//! Protocols, cross-validation, metrics and statistics.
//!
//! The road: [`protocol::plan`] divides rows into partitions that never share a subject,
//! [`search()`] chooses settings without a look at the test rows where that is asked for,
//! [`cross_validate()`] fits every head on every partition under every seed, and
//! [`compare()`] says in words which head is better, or that nothing can be said; [`thresholds`] has
//! decisions such as "18 or older" and what they cost; [`slices()`] says
//! on whom it does worse, and [`suspects()`] which labels it doubts.

pub mod age_predictions;
pub mod attributes;
pub mod auxiliary;
pub mod calibration;
pub mod compare;
pub mod cross_validate;
pub mod error;
mod fits;
mod gather;
mod holdout;
pub mod journal;
mod links;
pub mod matrix;
pub mod metrics;
pub mod predictions;
pub mod protocol;
pub mod result;
pub mod search;
pub mod sets;
pub mod slices;
pub mod statistics;
pub mod subjects;
pub mod summary;
pub mod suspects;
pub mod thresholds;
mod words;

pub use age_predictions::AgePredictions;
pub use attributes::{Attribute, AttributeValues, Attributes};
pub use auxiliary::{AuxiliaryLabels, OwnRows, TaskLabels};
pub use calibration::{CalibratedIntervals, Calibration};
pub use compare::{Comparison, Contender, PairComparison, Verdict, compare};
pub use cross_validate::{
    ChosenHead, CvOutcome, CvPlan, CvRun, Progress, cross_validate, cross_validate_with,
};
pub use error::EvaluateError;
pub use journal::{DirectoryJournal, FitAges, FitId, FitRecord, Journal, NoJournal};
pub use matrix::{
    CellMetric, CellOutcome, HeadMatrix, MatrixCell, MatrixPlan, MatrixResult, MeasuredCell,
    PlannedCell, SetCounts, TrainedOn, matrix, plan_matrix,
};
pub use metrics::{
    AgeRangeMetrics, Answers, ClassMetrics, ExactYearsMetrics, Metric, Metrics, YearsMetrics,
};
pub use predictions::{PredictedRow, PredictionColumn, RowPredictions, forget_rows};
pub use protocol::{Partition, Protocol, RowInfo, plan, plan_training, uneven_folds};
pub use result::{
    AgeBand, CvResult, FamiliarityCheck, FitResult, HeadResult, IntervalCheck, PartitionSummary,
};
pub use search::{
    Budget, Choice, Configuration, Found, Inner, Search, SearchResult, Trial, search,
};
pub use sets::{
    JoinedSubjects, NarrowAges, SetName, SetRow, SharedPictures, join_subjects, narrow_ages,
};
pub use slices::{AttributeSlices, Slice, SliceIntervals, SliceReport, SmallSlice, slices};
pub use summary::MetricSummary;
pub use suspects::{Suspect, Suspects, suspects};
pub use thresholds::{
    ChallengeAge, ChosenLimits, DecisionSlice, Decisions, Rate, RocPoint, ThresholdResult,
    Thresholds, choose_thresholds,
};
