//! Evaluation of heads: protocols, cross-validation, metrics and statistics.
//!
//! [`split::plan`] splits rows so that no subject is in two of them, [`search()`] tunes settings
//! by nested validation, [`cross_validate()`] fits every head on every split under every seed, and
//! [`compare()`] tests which head is significantly better. [`thresholds`] has decisions such as "18
//! or older", [`slices()`] metrics by age group, gender and other attributes, and
//! [`label_error_candidates()`] labels that may be wrong.

pub mod age_predictions;
mod agreement;
pub mod attributes;
pub mod auxiliary;
pub mod calibration;
pub mod compare;
pub mod cross_validate;
pub mod curves;
pub mod error;
pub mod external;
mod fits;
mod gather;
mod holdout;
pub mod journal;
pub mod label_errors;
pub mod matrix;
pub mod metrics;
pub mod predictions;
pub mod protocol;
pub mod result;
pub mod row_info;
pub mod search;
pub mod sets;
pub mod slices;
pub mod split;
pub mod statistics;
pub mod subjects;
pub mod summary;
mod summary_text;
pub mod thresholds;

pub use age_predictions::AgePredictions;
pub use attributes::{Attribute, AttributeValues, Attributes};
pub use auxiliary::{AuxiliaryLabels, MainTaskRows, TaskLabels};
pub use calibration::{CalibratedIntervals, Calibration};
pub use compare::{Candidate, Comparison, Decision, PairComparison, compare};
pub use cross_validate::{
    ChosenHead, CvOutcome, CvPlan, CvRun, Progress, cross_validate, cross_validate_with,
};
pub use curves::{AgeHistogram, RocCurve, roc_curves};
pub use error::EvaluateError;
pub use journal::{DirectoryJournal, FitAges, FitId, FitRecord, Journal, NoJournal, is_fit};
pub use label_errors::{LabelErrorCandidate, LabelErrorCandidates, label_error_candidates};
pub use matrix::{
    CellMetric, CellOutcome, HeadMatrix, MatrixCell, MatrixPlan, MatrixResult, MeasuredCell,
    PlannedCell, SetCounts, TrainedOn, matrix, plan_matrix,
};
pub use metrics::{
    AgeMetrics, AgeRangeMetrics, ClassMetrics, ExactAgeMetrics, Metric, Metrics, PredictedValues,
};
pub use predictions::{PredictedRow, PredictionColumn, RowPredictions, forget_rows};
pub use protocol::Protocol;
pub use result::{
    AgeBand, CvResult, FamiliarityCheck, FitResult, HeadResult, IntervalCheck, SplitSummary,
};
pub use row_info::RowInfo;
pub use search::{
    Budget, Choice, Configuration, InnerValidation, Search, SearchOutcome, SearchResult, Trial,
    search,
};
pub use sets::{
    JoinedSubjects, NarrowAges, SetName, SetRow, SetRows, SharedSubjects, join_subjects,
    narrow_ages,
};
pub use slices::{AttributeSlices, Slice, SliceIntervals, SliceReport, SmallSlice, slices};
pub use split::{CvSplit, plan, plan_training, uneven_folds};
pub use summary::MetricSummary;
pub use thresholds::{
    ChallengeAge, ChosenLimits, DecisionSlice, Decisions, Rate, RocPoint, ThresholdResult,
    Thresholds, choose_thresholds,
};
