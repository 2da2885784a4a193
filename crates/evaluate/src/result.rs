//! What a cross-validation found, in a form that can be stored and reported.

use std::collections::BTreeMap;

use facefold_core::{Task, TrainingLog};
use serde::{Deserialize, Serialize};

use crate::curves::{AgeHistogram, RocCurve};
use crate::metrics::{AgeMetrics, Metric, Metrics};
use crate::protocol::Protocol;
use crate::statistics::bootstrap::Interval;
use crate::summary::MetricSummary;
use crate::summary_text;
use crate::thresholds::ThresholdResult;

/// The result of one task under one protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvResult {
    /// The task.
    pub task: Task,
    /// Names of the classes, in index order; empty for the age task.
    pub classes: Vec<String>,
    /// How rows were divided.
    pub protocol: Protocol,
    /// Seed of the splits, the bootstrap and the tests.
    pub seed: u64,
    /// Seeds of the fits; each head is fitted once a split and seed.
    pub seeds: Vec<u64>,
    /// Number of rows.
    pub rows: usize,
    /// Number of subjects; rows without a subject count as subjects of their own.
    pub subjects: usize,
    /// Rows of each class, in index order; empty for the age task.
    pub class_rows: Vec<usize>,
    /// Rows whose age is known as a range; 0 for tasks of classes.
    #[serde(default)]
    pub range_rows: usize,
    /// Number of features of a row.
    pub features: usize,
    /// The splits.
    pub splits: Vec<SplitSummary>,
    /// The heads, in the given order.
    pub heads: Vec<HeadResult>,
}

/// The size of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Its name.
    pub name: String,
    /// Training rows.
    pub train: usize,
    /// Validation rows.
    pub validation: usize,
    /// Test rows.
    pub test: usize,
    /// Test rows whose subject has training or validation rows.
    pub shared_test_rows: usize,
    /// Test rows of each class that has some and no training row, so that no head can predict it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub untrained_classes: BTreeMap<String, usize>,
    /// What a reader must know about it.
    pub notes: Vec<String>,
}

/// All fits of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadResult {
    /// The head's name.
    pub name: String,
    /// Its checked settings.
    pub settings: serde_json::Value,
    /// One entry a split and seed, splits first.
    pub fits: Vec<FitResult>,
    /// All test rows of all splits and seeds together.
    pub pooled: Metrics,
    /// Mean, standard deviation and interval of each metric of the task.
    pub summary: Vec<MetricSummary>,
    /// The ROC curves over all test rows; empty for ages, and in reports from before they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roc: Vec<RocCurve>,
    /// Predicted against true ages of all test rows with an exact one; none for classes, and in
    /// reports from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_histogram: Option<AgeHistogram>,
    /// Test rows of children and of old people, whom the mean over all ages hides; empty for
    /// classification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_age: Vec<AgeBand>,
    /// Decisions at the requested age thresholds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdResult>,
}

/// Test rows of some true ages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeBand {
    /// `under 18`, `60 and older`.
    pub name: String,
    /// Rows with such an age, each once.
    pub rows: usize,
    /// Errors on them under all seeds together.
    pub metrics: AgeMetrics,
}

/// One fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitResult {
    /// The split's name.
    pub split: String,
    /// The seed.
    pub seed: u64,
    /// Metrics on the rows that were fitted.
    pub train: Option<Metrics>,
    /// Metrics on the rows that were chosen by.
    pub validation: Option<Metrics>,
    /// Metrics on the test rows.
    pub test: Metrics,
    /// How intervals do on the test rows; years only.
    #[serde(default)]
    pub intervals: Option<IntervalCheck>,
    /// How many test rows are unlike the training faces, and how the head does on them; none where
    /// too few validation rows say what is usual.
    #[serde(default)]
    pub familiarity: Option<FamiliarityCheck>,
    /// How the fit went.
    pub log: TrainingLog,
    /// Wall-clock seconds of the fit and its predictions.
    pub seconds: f64,
}

/// Intervals around predicted ages, calibrated to hold eight of ten true ages, on test rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntervalCheck {
    /// Test rows whose age is known.
    pub rows: usize,
    /// Fraction of them whose age lies in its interval; for a range the probability of it
    /// that does.
    pub coverage: f64,
    /// Its 95 % interval by subject.
    pub coverage_interval: Interval,
    /// Mean width in years.
    pub width: f64,
    /// Data sets that were left out in turn to calibrate on, in addition to the validation rows; 0
    /// where the intervals are calibrated on the validation rows alone, which are of the sets
    /// fitted.
    pub sets_left_out: usize,
}

/// Test rows that are like the training faces, and others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FamiliarityCheck {
    /// Test rows.
    pub rows: usize,
    /// Those that are unlike the training faces.
    pub unfamiliar_rows: usize,
    /// The metric that decides on the others; none without rows.
    pub familiar: Option<f64>,
    /// The metric on the unfamiliar ones.
    pub unfamiliar: Option<f64>,
}

impl CvResult {
    /// The metrics that were measured, the one that decides first.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let measured = |metric: &Metric| {
            self.heads.iter().flat_map(|head| &head.summary).any(|line| line.metric == *metric)
        };
        let mut metrics: Vec<Metric> =
            Metric::of(self.task).iter().copied().filter(measured).collect();
        if 2 * self.range_rows > self.rows {
            metrics.sort_by_key(|metric| !metric.of_ranges());
        }
        metrics
    }

    /// Test rows of a class, one a split that tests them, in splits without a training row of
    /// it.
    #[must_use]
    pub fn untrained_rows(&self, class: &str) -> usize {
        let rows = self.splits.iter().filter_map(|part| part.untrained_classes.get(class));
        rows.sum()
    }

    /// What a reader must know before the figures of classes that were tested without a training
    /// row.
    #[must_use]
    pub fn untrained_warning(&self) -> Option<String> {
        let of_class = |class: &String| match self.untrained_rows(class) {
            0 => None,
            rows => Some(format!("{} ({rows} test rows)", summary_text::class(class))),
        };
        let named: Vec<String> = self.classes.iter().filter_map(of_class).collect();
        (!named.is_empty()).then(|| {
            format!(
                "Classes of {} are tested without a single training row, so that no head can predict \
                 them, and every prediction for their rows counts as wrong: {}.",
                self.task,
                named.join(", ")
            )
        })
    }

    /// The head of this name.
    #[must_use]
    pub fn head(&self, name: &str) -> Option<&HeadResult> {
        self.heads.iter().find(|head| head.name == name)
    }
}
