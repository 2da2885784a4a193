//! A labelled picture, as a row of a data set's label file gives it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Binary gender as the annotators of the published sets recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    /// Class 0.
    Female,
    /// Class 1.
    Male,
}

impl Gender {
    /// Both, in class order.
    pub const ALL: [Self; 2] = [Self::Female, Self::Male];

    /// Class index: 0 female, 1 male.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The letter of label files and of CSV output: `f` or `m`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Female => "f",
            Self::Male => "m",
        }
    }

    /// Reads `f`, `m`, `female`, `male`, `woman`, `man` in any case; anything else is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "f" | "female" | "woman" | "women" => Some(Self::Female),
            "m" | "male" | "man" | "men" => Some(Self::Male),
            _ => None,
        }
    }
}

impl fmt::Display for Gender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Female => "female",
            Self::Male => "male",
        })
    }
}

/// Who is in the picture; rows of one subject are never split between training and test. A clone shares
/// the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SubjectId(Arc<str>);

impl From<String> for SubjectId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<SubjectId> for Arc<str> {
    fn from(subject: SubjectId) -> Self {
        subject.0
    }
}

impl From<SubjectId> for String {
    fn from(subject: SubjectId) -> Self {
        subject.as_str().to_owned()
    }
}

impl SubjectId {
    /// A subject by the data set's own name for it.
    pub fn new(name: impl Into<String>) -> Self {
        name.into().into()
    }

    /// The data set's name for the subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a published or assigned fold, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fold(pub u16);

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A published split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Rows to train on.
    Train,
    /// Rows to choose by.
    Validation,
    /// Rows to report on.
    Test,
}

impl Split {
    /// The name used in stores and exports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a split `train`, `validation` (or `val`) or `test`, found `{0}`")]
pub struct InvalidSplit(String);

impl FromStr for Split {
    type Err = InvalidSplit;

    fn from_str(text: &str) -> Result<Self, InvalidSplit> {
        match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Self::Train),
            "validation" | "valid" | "val" => Ok(Self::Validation),
            "test" | "testing" => Ok(Self::Test),
            _ => Err(InvalidSplit(text.to_owned())),
        }
    }
}

/// One label row, before any label policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The picture, relative to the data set's root, with `/` between its parts.
    pub path: PathBuf,
    /// The age exactly as the label file has it: `(25, 32)`, `35`, `None`, or empty.
    pub raw_age: String,
    /// Gender, where the row has one.
    pub gender: Option<Gender>,
    /// Race in the data set's own words, where given.
    pub race: Option<String>,
    /// Subject, where the data set names one.
    pub subject: Option<SubjectId>,
    /// Published fold.
    pub fold: Option<Fold>,
    /// Published split.
    pub split: Option<Split>,
    /// Class of a class-per-folder set: the folder's name as it is.
    pub class: Option<String>,
    /// Byte-identical pictures carry labels that disagree: left out of training and evaluation.
    pub label_conflict: bool,
}

impl Sample {
    /// A row with a path and no label.
    pub fn unlabelled(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            raw_age: String::new(),
            gender: None,
            race: None,
            subject: None,
            fold: None,
            split: None,
            class: None,
            label_conflict: false,
        }
    }
}
