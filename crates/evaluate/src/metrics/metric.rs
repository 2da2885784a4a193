//! The metrics by name: of which task, in which unit, and which way is better.

use std::fmt;

use facefold_core::{Targets, Task, exact_ages_decide};
use serde::{Deserialize, Serialize};

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Fraction of rows predicted with their class.
    Accuracy,
    /// Mean over the classes of their recall.
    BalancedAccuracy,
    /// Fraction of rows predicted with their age group or an adjacent one.
    OneOffAccuracy,
    /// Mean of the classes' F1, their harmonic mean of precision and recall.
    MacroF1,
    /// Cohen's kappa: agreement beyond that of chance.
    CohensKappa,
    /// Area under the ROC curve; of more than two classes the mean over classes against all others.
    RocAuc,
    /// Expected calibration error.
    CalibrationError,
    /// Mean absolute error in years, of rows with an exact age.
    MeanAbsoluteError,
    /// Root mean squared error in years, of rows with an exact age.
    RootMeanSquaredError,
    /// Fraction of rows with an exact age whose error is at most 5 years.
    CumulativeScore5,
    /// Mean distance to the age range in years, of rows whose age is known as a range.
    RangeDistance,
    /// Fraction of rows whose age is known as a range and is predicted inside it.
    InsideRange,
    /// Mean signed error, predicted less true age: above 0 where ages are overestimated. Not used
    /// to choose anything.
    MeanError,
    /// Pearson's correlation of predicted and true years.
    Correlation,
    /// Fraction of rows whose age lies in the interval predicted for it.
    IntervalCoverage,
}

impl Metric {
    /// The metrics of a task, the one that decides first. Of an age task those of exact ages come
    /// first, then those of age ranges; each is measured only where there are such rows.
    #[must_use]
    pub fn of(task: Task) -> &'static [Self] {
        match task {
            Task::Gender | Task::Class => &[
                Self::Accuracy,
                Self::BalancedAccuracy,
                Self::MacroF1,
                Self::CohensKappa,
                Self::RocAuc,
                Self::CalibrationError,
            ],
            Task::AgeGroup => &[
                Self::Accuracy,
                Self::BalancedAccuracy,
                Self::OneOffAccuracy,
                Self::MacroF1,
                Self::CohensKappa,
                Self::RocAuc,
                Self::CalibrationError,
            ],
            Task::Age => &[
                Self::MeanAbsoluteError,
                Self::RootMeanSquaredError,
                Self::CumulativeScore5,
                Self::RangeDistance,
                Self::InsideRange,
            ],
        }
    }

    /// The metric that decides on rows with these targets: where most ages are ranges, the distance
    /// to the age range.
    #[must_use]
    pub fn primary(task: Task, targets: &Targets) -> Self {
        match targets {
            Targets::Regression(ages) if !exact_ages_decide(ages) => Self::RangeDistance,
            _ => Self::of(task)[0],
        }
    }

    /// The secondary metrics of a slice.
    #[must_use]
    pub fn secondary(task: Task) -> &'static [Self] {
        match task {
            Task::Age => &[Self::MeanError, Self::CumulativeScore5, Self::InsideRange],
            Task::AgeGroup => {
                &[Self::BalancedAccuracy, Self::OneOffAccuracy, Self::CalibrationError]
            }
            Task::Gender | Task::Class => &[Self::BalancedAccuracy, Self::CalibrationError],
        }
    }

    /// The metrics across data sets.
    #[must_use]
    pub fn across_sets(task: Task) -> &'static [Self] {
        match task {
            Task::Gender | Task::Class => &[Self::Accuracy],
            Task::AgeGroup => &[Self::Accuracy, Self::OneOffAccuracy],
            Task::Age => &[
                Self::MeanAbsoluteError,
                Self::MeanError,
                Self::CumulativeScore5,
                Self::Correlation,
                Self::IntervalCoverage,
                Self::RangeDistance,
                Self::InsideRange,
            ],
        }
    }

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced accuracy",
            Self::OneOffAccuracy => "one-off accuracy",
            Self::MacroF1 => "macro F1",
            Self::CohensKappa => "Cohen's kappa",
            Self::RocAuc => "AUC",
            Self::CalibrationError => "calibration error (ECE)",
            Self::MeanAbsoluteError => "MAE (years)",
            Self::RootMeanSquaredError => "RMSE (years)",
            Self::CumulativeScore5 => "CS@5",
            Self::RangeDistance => "distance to the age range (years)",
            Self::InsideRange => "inside the age range",
            Self::MeanError => "mean error (years)",
            Self::Correlation => "correlation",
            Self::IntervalCoverage => "coverage of the 80 % intervals",
        }
    }

    /// Whether it is measured on rows whose age is known as a range.
    #[must_use]
    pub fn of_ranges(self) -> bool {
        matches!(self, Self::RangeDistance | Self::InsideRange)
    }

    /// Whether it is a quotient of sums over rows, so that its interval can be drawn by subject. The
    /// calibration error grows in every resampled set.
    #[must_use]
    pub fn has_interval(self) -> bool {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::OneOffAccuracy
            | Self::MeanAbsoluteError
            | Self::CumulativeScore5
            | Self::RangeDistance
            | Self::InsideRange
            | Self::MeanError
            | Self::Correlation
            | Self::IntervalCoverage => true,
            Self::MacroF1
            | Self::CohensKappa
            | Self::RocAuc
            | Self::CalibrationError
            | Self::RootMeanSquaredError => false,
        }
    }

    /// Whether more is better.
    #[must_use]
    pub fn higher_is_better(self) -> bool {
        self.unit() != Unit::Years && self != Self::CalibrationError
    }

    /// Whether it is a fraction, shown in per cent; else it is in years, or a coefficient.
    #[must_use]
    pub fn is_fraction(self) -> bool {
        self.unit() == Unit::Fraction
    }

    /// Whether it is a coefficient up to 1: a correlation, or kappa.
    #[must_use]
    pub fn is_coefficient(self) -> bool {
        self.unit() == Unit::Coefficient
    }

    fn unit(self) -> Unit {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::OneOffAccuracy
            | Self::MacroF1
            | Self::RocAuc
            | Self::CalibrationError
            | Self::CumulativeScore5
            | Self::InsideRange
            | Self::IntervalCoverage => Unit::Fraction,
            Self::MeanAbsoluteError
            | Self::RootMeanSquaredError
            | Self::RangeDistance
            | Self::MeanError => Unit::Years,
            Self::CohensKappa | Self::Correlation => Unit::Coefficient,
        }
    }
}

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// From 0 to 1, shown in per cent.
    Fraction,
    /// Errors in years.
    Years,
    /// Up to 1.
    Coefficient,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
