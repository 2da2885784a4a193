//! The tasks: what a head predicts from a face.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A prediction task. The groups of an age-group task are a separate setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Female or male, as annotated.
    Gender,
    /// One of a list of age groups.
    AgeGroup,
    /// Age in years.
    Age,
    /// The folder's name, in a class-per-folder set.
    Class,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gender, Self::AgeGroup, Self::Age, Self::Class];

    /// The name on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gender => "gender",
            Self::AgeGroup => "age-group",
            Self::Age => "age",
            Self::Class => "class",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the labels of an auxiliary task are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuxiliaryKind {
    /// The labels of another task.
    Task(Task),
    /// Race, as annotated. It is no task of its own: no head predicts a person's race.
    Race,
}

impl From<Task> for AuxiliaryKind {
    fn from(task: Task) -> Self {
        Self::Task(task)
    }
}

impl fmt::Display for AuxiliaryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => task.fmt(f),
            Self::Race => f.write_str("race"),
        }
    }
}

impl FromStr for AuxiliaryKind {
    type Err = InvalidAuxiliaryKind;

    fn from_str(text: &str) -> Result<Self, InvalidAuxiliaryKind> {
        match text {
            "race" => Ok(Self::Race),
            _ => text.parse().map(Self::Task).map_err(|_| InvalidAuxiliaryKind(text.to_owned())),
        }
    }
}

/// A text that names no auxiliary task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `race` or a task (`gender`, `age-group`, `age`, `class`), found `{0}`")]
pub struct InvalidAuxiliaryKind(String);

/// A text that names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a task `gender`, `age-group`, `age` or `class`, found `{0}`")]
pub struct InvalidTask(String);

impl FromStr for Task {
    type Err = InvalidTask;

    fn from_str(text: &str) -> Result<Self, InvalidTask> {
        [Self::Gender, Self::AgeGroup, Self::Age, Self::Class]
            .into_iter()
            .find(|task| task.as_str() == text)
            .ok_or_else(|| InvalidTask(text.to_owned()))
    }
}
