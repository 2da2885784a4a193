//! The journal of finished fits, from which an interrupted run resumes.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use facefold_core::checksum::{self, Checksum, UNSEALED};
use facefold_core::files::{children, sync_directory, write_atomic};
use serde::{Deserialize, Serialize};

use crate::age_predictions::AgePredictions;
use crate::error::EvaluateError;
use crate::metrics::PredictedValues;
use crate::result::FitResult;

/// Which fit it is, and a hash of all that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitId {
    /// The task's name.
    pub task: String,
    /// The head's name.
    pub head: String,
    /// The split's name.
    pub split: String,
    /// The seed.
    pub seed: u64,
    /// blake3, in hexadecimal digits, of features, targets, split, settings, seed and
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
    /// Predictions for the split's test rows.
    pub predicted_values: PredictedValues,
    /// Predicted ages for decisions at age thresholds; `None` for classification.
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
    /// For the split's validation rows, by a model that was not trained on them.
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
    /// Where it cannot be stored.
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

/// Keeps a JSON file a fit in a directory, written atomically, with a checksum of its bytes.
#[derive(Debug)]
pub struct DirectoryJournal {
    directory: PathBuf,
    /// The files of fits that were loaded or saved.
    used: Mutex<BTreeSet<PathBuf>>,
}

/// A fit as its file has it.
#[derive(Serialize, Deserialize)]
struct Checksummed<R> {
    record: R,
    checksum: String,
}

/// Stands before the checksum in a file.
const MARKER: &[u8] = br#""checksum":""#;

impl DirectoryJournal {
    /// A journal in this directory, which is created with the first fit.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), used: Mutex::default() }
    }

    /// A fit's file: `age-mlp-fold-0-7.json`. A fit with another hash replaces it.
    fn path(&self, id: &FitId) -> PathBuf {
        let name: String = format!("{}-{}-{}-{}", id.task, id.head, id.split, id.seed)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        let path = self.directory.join(format!("{name}.json"));
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        path
    }

    /// Deletes the fits that were neither loaded nor saved since this journal was made: another
    /// run's.
    ///
    /// # Errors
    /// Any error of the file system, naming the path.
    pub fn remove_others(&self) -> io::Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = children(&self.directory)?;
        if paths.is_empty() {
            return Ok(());
        }
        for path in paths {
            let is_fit = path.extension().is_some_and(|extension| extension == "json");
            if is_fit && !used.contains(&path) {
                fs_err::remove_file(path)?;
            }
        }
        sync_directory(&self.directory)
    }
}

impl Journal for DirectoryJournal {
    fn load(&self, id: &FitId) -> Option<FitRecord> {
        let path = self.path(id);
        let bytes = fs_err::read(&path).ok()?;
        let parsed = serde_json::from_slice::<Checksummed<FitRecord>>(&bytes);
        let corrupt = |what: &str| {
            tracing::warn!("`{}` is corrupt and its fit repeated: {what}", path.display());
            None
        };
        match (checksum::check(&bytes, MARKER), parsed) {
            (Checksum::Right, Ok(Checksummed { record, .. })) if record.id == *id => Some(record),
            (Checksum::Right, Ok(_)) => {
                tracing::debug!("`{}` belongs to another run and is replaced", path.display());
                None
            }
            (Checksum::Right, Err(error)) => corrupt(&error.to_string()),
            (Checksum::Wrong, _) => corrupt("its bytes do not have the checksum that it carries"),
            (Checksum::Absent, _) => corrupt("expected a checksum in it, found none"),
        }
    }

    fn save(&self, record: &FitRecord) -> Result<(), EvaluateError> {
        let path = self.path(&record.id);
        let sealed = Checksummed { record, checksum: UNSEALED.to_owned() };
        let mut bytes = serde_json::to_vec(&sealed).map_err(|error| EvaluateError::File {
            path: path.clone(),
            message: error.to_string(),
        })?;
        // The marker is there: it was just written.
        let _ = checksum::seal(&mut bytes, MARKER);
        write_atomic(&path, &bytes)?;
        Ok(())
    }
}
