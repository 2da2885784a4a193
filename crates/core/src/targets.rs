//! What a head is fitted to, and what it predicts: classes or ages, one a row.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::age_target::AgeTarget;
use crate::head::HeadError;

/// The labels that a head is fitted to, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class indices below `count`.
    Classes {
        /// One index a row.
        indices: Vec<usize>,
        /// Number of classes, some of which may have no row here.
        count: usize,
    },
    /// Ages in years, each exact or known as a range.
    Regression(Vec<AgeTarget>),
}

impl Targets {
    /// Ages that are all known exactly, in years.
    #[must_use]
    pub fn exact_years(years: Vec<f32>) -> Self {
        Self::Regression(years.into_iter().map(AgeTarget::exact).collect())
    }

    /// Number of rows whose age is known only as a range.
    #[must_use]
    pub fn ranges(&self) -> usize {
        match self {
            Self::Classes { .. } => 0,
            Self::Regression(ages) => ages.iter().filter(|age| age.is_range()).count(),
        }
    }

    /// The targets at these positions, in this order.
    ///
    /// # Panics
    /// Where a position is past the end.
    #[must_use]
    pub fn select(&self, positions: &[usize]) -> Self {
        match self {
            Self::Classes { indices, count } => Self::Classes {
                indices: positions.iter().map(|&position| indices[position]).collect(),
                count: *count,
            },
            Self::Regression(years) => {
                Self::Regression(positions.iter().map(|&position| years[position]).collect())
            }
        }
    }

    /// These targets, followed by others of the same kind.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the kinds differ.
    pub fn concat(&self, other: &Self) -> Result<Self, HeadError> {
        match (self, other) {
            (Self::Regression(one), Self::Regression(two)) => {
                Ok(Self::Regression([&one[..], two].concat()))
            }
            (Self::Classes { indices, count }, Self::Classes { indices: more, count: same })
                if count == same =>
            {
                Ok(Self::Classes { indices: [&indices[..], more].concat(), count: *count })
            }
            _ => Err(HeadError::Shape(format!("{:?} with {:?}", self.kind(), other.kind()))),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { indices, .. } => indices.len(),
            Self::Regression(years) => years.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of target, without its rows.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Classes { count, .. } => TargetKind::Classes { count: *count },
            Self::Regression(_) => TargetKind::Regression,
        }
    }
}

/// The kind of target a head is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Classification into `count` classes.
    Classes {
        /// Number of classes.
        count: usize,
    },
    /// Regression of an age in years.
    Regression,
}

/// Class probabilities or ages, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum PredictedTargets {
    /// Class probabilities, n x classes; each row sums to 1.
    Classes(Array2<f32>),
    /// Ages in years.
    Regression(Vec<f32>),
}

/// The most probable class, of equally probable ones the first: the class that every head, command and service
/// predicts. `None` without classes.
///
/// ```
/// use facefold_core::targets::most_probable;
/// assert_eq!(most_probable([0.2, 0.4, 0.4]), Some(1));
/// assert_eq!(most_probable([]), None);
/// ```
#[must_use]
pub fn most_probable(probabilities: impl IntoIterator<Item = f32>) -> Option<usize> {
    let all = probabilities.into_iter().enumerate();
    all.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(class, _)| class)
}

/// What a fitted head predicts for some rows, all of it from one forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Class probabilities or ages.
    pub targets: PredictedTargets,
    /// The predicted probabilities of the ages 0, 1, 2, … years, n x ages; each row sums to 1.
    /// `None` for classifiers, and for regressors that predict a number only.
    pub age_distribution: Option<Array2<f32>>,
    /// The predictive standard deviation of each row: in years, or of the probability of the
    /// predicted class. `None` for heads that do not estimate it, and where their settings do not
    /// ask for it.
    pub uncertainty: Option<Vec<f32>>,
}

/// Without a distribution and an uncertainty.
impl From<PredictedTargets> for Prediction {
    fn from(targets: PredictedTargets) -> Self {
        Self { targets, age_distribution: None, uncertainty: None }
    }
}

impl Prediction {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.targets {
            PredictedTargets::Classes(probabilities) => probabilities.nrows(),
            PredictedTargets::Regression(years) => years.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
