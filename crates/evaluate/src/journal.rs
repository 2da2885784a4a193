//! Keeping finished fits, so that a run that was stopped goes on where it ended.

use std::path::PathBuf;

use facefold_core::files::write_atomic;
use serde::{Deserialize, Serialize};

use crate::age_predictions::AgePredictions;
use crate::error::EvaluateError;
use crate::metrics::Answers;
use crate::result::FitResult;

/// Which fit it is, and a hash of all that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitId {
    /// The task's name.
    pub task: String,
    /// The head's name.
    pub head: String,
    /// The partition's name.
    pub partition: String,
    /// The seed.
    pub seed: u64,
    /// blake3, in hexadecimal digits, of features, targets, partition, settings, seed and
    /// fingerprint: a fit with another hash is another fit.
    pub hash: String,
}

/// A finished fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitRecord {
    /// Which one.
    pub id: FitId,
    /// What it gave.
    pub result: FitResult,
    /// Answers for the partition's test rows.
    pub answers: Answers,
    /// What decisions at an age threshold need; none where classes were asked for.
    pub ages: Option<FitAges>,
    /// Intervals around the ages among them, where they were calibrated.
    pub intervals: Option<Vec<(f32, f32)>>,
    /// How familiar the faces of the test rows are ([`facefold_core::Familiarity::score`]), where
    /// that was calibrated.
    pub familiarity: Option<Vec<f32>>,
}

/// Predicted ages of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitAges {
    /// For the partition's validation rows, by what did not learn from them.
    pub validation: AgePredictions,
    /// For its test rows.
    pub test: AgePredictions,
}

/// A place for finished fits. Called from several threads at once.
pub trait Journal: Sync {
    /// The fit with this id, if it was finished before. Whatever cannot be read is as good as
    /// never finished.
    fn load(&self, id: &FitId) -> Option<FitRecord>;

    /// Keeps a finished fit.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn save(&self, record: &FitRecord) -> Result<(), EvaluateError>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn load(&self, _: &FitId) -> Option<FitRecord> {
        None
    }

    fn save(&self, _: &FitRecord) -> Result<(), EvaluateError> {
        Ok(())
    }
}

/// Keeps a JSON file a fit in a directory, written atomically.
#[derive(Debug, Clone)]
pub struct DirectoryJournal {
    directory: PathBuf,
}

impl DirectoryJournal {
    /// A journal in this directory, which is created with the first fit.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// A fit's file: `age-mlp-fold-0-7.json`. A fit with another hash replaces it.
    fn path(&self, id: &FitId) -> PathBuf {
        let name: String = format!("{}-{}-{}-{}", id.task, id.head, id.partition, id.seed)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        self.directory.join(format!("{name}.json"))
    }
}

impl Journal for DirectoryJournal {
    fn load(&self, id: &FitId) -> Option<FitRecord> {
        let path = self.path(id);
        let bytes = fs_err::read(&path).ok()?;
        match serde_json::from_slice::<FitRecord>(&bytes) {
            Ok(record) if record.id == *id => Some(record),
            Ok(_) => {
                tracing::debug!("`{}` belongs to another run and is replaced", path.display());
                None
            }
            Err(error) => {
                tracing::warn!("`{}` is damaged and its fit repeated: {error}", path.display());
                None
            }
        }
    }

    fn save(&self, record: &FitRecord) -> Result<(), EvaluateError> {
        let path = self.path(&record.id);
        let bytes = serde_json::to_vec(record).map_err(|error| EvaluateError::File {
            path: path.clone(),
            message: error.to_string(),
        })?;
        write_atomic(&path, &bytes)?;
        Ok(())
    }
}
