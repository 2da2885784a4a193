//! Protocols: how samples are split into training, validation and test rows without a common
//! subject.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;

/// A way to divide rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// The published folds, each the test rows once.
    Folds,
    /// Stratified group k-fold: K folds by subject, similar in size and labels.
    KFold(usize),
    /// The published training and test rows.
    Split,
    /// Trained on the rows of the training split, and tested on each data set of the test split,
    /// one a split.
    Stores,
    /// Each data set the test rows once; trained on all others.
    LeaveOneSetOut,
    /// A fifth of the rows drawn at random as test rows, as many papers do, and that so many times
    /// over: split k is drawn from the run's seed + k. Subjects may be on both sides; each
    /// split counts the test rows that this concerns.
    Random80(usize),
}

impl Protocol {
    /// What the protocol does, in a sentence for a report.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self {
            Self::Folds => "Each published fold is the test set once; the heads are fitted on the \
                other folds. No subject stands in two folds (checked)."
                .to_owned(),
            Self::KFold(k) => format!(
                "Subjects are assigned to {k} folds (stratified group k-fold), as similar in size and labels as whole subjects \
                 allow; each fold is the test set once. No subject stands in two folds."
            ),
            Self::Split => "The published training and test rows are used as they are. No subject \
                stands in both (checked)."
                .to_owned(),
            Self::Stores => {
                "The heads are fitted on one or several data sets and tested on others. \
                Subjects with a picture in the test set are left out of training, byte-identical \
                pictures being the same."
                    .to_owned()
            }
            Self::LeaveOneSetOut => "Each data set is the test set once; the heads are fitted on \
                all others. Subjects with a picture in the test set are left out of training, \
                byte-identical pictures being the same."
                .to_owned(),
            Self::Random80(times) => {
                let often = match times {
                    1 => String::new(),
                    _ => format!(", {times} times over, each from a seed of its own"),
                };
                format!(
                    "A fifth of the rows, drawn at random, is the test set{often}. Subjects may \
                     stand on both sides, so the numbers are higher than for people the head has \
                     never seen; use a protocol by subject to know those."
                )
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folds => f.write_str("folds"),
            Self::KFold(k) => write!(f, "kfold:{k}"),
            Self::Split => f.write_str("split"),
            Self::Stores => f.write_str("stores"),
            Self::LeaveOneSetOut => f.write_str("leave-one-set-out"),
            Self::Random80(1) => f.write_str("random80"),
            Self::Random80(times) => write!(f, "random80:{times}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = EvaluateError;

    fn from_str(text: &str) -> Result<Self, EvaluateError> {
        let invalid = || EvaluateError::InvalidProtocol(text.to_owned());
        match text.trim() {
            "folds" => Ok(Self::Folds),
            "split" => Ok(Self::Split),
            "stores" => Ok(Self::Stores),
            "leave-one-set-out" => Ok(Self::LeaveOneSetOut),
            "random80" => Ok(Self::Random80(1)),
            other => match other.split_once(':').map(|(name, count)| (name, count.parse())) {
                Some(("kfold", Ok(k))) if k >= 2 => Ok(Self::KFold(k)),
                Some(("random80", Ok(times))) if times >= 1 => Ok(Self::Random80(times)),
                _ => Err(invalid()),
            },
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

impl TryFrom<String> for Protocol {
    type Error = EvaluateError;

    fn try_from(text: String) -> Result<Self, EvaluateError> {
        text.parse()
    }
}
