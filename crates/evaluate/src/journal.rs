//! The journal of finished fits, from which an interrupted run resumes.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use facefold_core::Task;
use facefold_core::checksum::{self, Checksum, UNSEALED};
use facefold_core::files::{children, sync_directory, write_atomic};
use serde::de::IgnoredAny;
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

impl FitId {
    /// The name of the fit's file: `age-mlp-fold-0-7.json`. One that other fits may have too, or that is too
    /// long, ends in a checksum of the whole.
    fn file_name(&self) -> String {
        let full = format!("{}-{}-{}-{}", self.task, self.head, self.split, self.seed);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let mut name: String = full.chars().map(plain).collect();
        // The arrow stands between the sets of a matrix.
        let is_distinct = full.chars().all(|c| c.is_ascii() || c == '→');
        if !is_distinct || name.len() + ENDING.len() > LONGEST_NAME {
            name.truncate(LONGEST_NAME - ENDING.len() - SUM_DIGITS - 1);
            let sum = blake3::hash(full.as_bytes()).to_hex();
            name = format!("{name}-{}", &sum[..SUM_DIGITS]);
        }
        name + ENDING
    }
}

/// How the name of a fit's file ends.
const ENDING: &str = ".json";

/// Most bytes of a name; file systems take 255.
const LONGEST_NAME: usize = 200;

/// Digits of the checksum in a name.
const SUM_DIGITS: usize = 16;

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

/// How the file of a fit begins.
const BEGINNING: &[u8] = br#"{"record":{"id":{"task":"#;

/// Whether a file is one that a [`DirectoryJournal`] wrote, and not another program: a corrupt one is known by its
/// name.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn is_fit(path: &Path) -> io::Result<bool> {
    if !fs_err::symlink_metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    let mut file = fs_err::File::open(path)?;
    Read::by_ref(&mut file).take(BEGINNING.len() as u64).read_to_end(&mut bytes)?;
    if bytes == BEGINNING {
        return Ok(true);
    }
    if !has_name_of_fit(path) {
        return Ok(false);
    }
    file.read_to_end(&mut bytes)?;
    let is_json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
    Ok(!is_json || checksum::check(&bytes, MARKER) != Checksum::Absent)
}

/// Whether a name is made as [`FitId::file_name`] makes them.
fn has_name_of_fit(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((front, last)) = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once('-'))
    else {
        return false;
    };
    let is_sum = last.len() == SUM_DIGITS && last.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_of =
        |task: &Task| front.strip_prefix(task.as_str()).is_some_and(|rest| rest.starts_with('-'));
    (is_sum || last.parse::<u64>().is_ok()) && Task::ALL.iter().any(is_of)
}

impl DirectoryJournal {
    /// A journal in this directory, which is created with the first fit.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), used: Mutex::default() }
    }

    /// A fit's file. A fit with another hash replaces it.
    fn path(&self, id: &FitId) -> PathBuf {
        let path = self.directory.join(id.file_name());
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        path
    }

    /// Deletes the fits that were neither loaded nor saved since this journal was made: another
    /// run's. Files that are no fits stay.
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
            if !used.contains(&path) && is_fit(&path)? {
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
        if path.exists() && !is_fit(&path)? {
            let message = "expected a fit of an earlier run, or no file, found one of another program; move it away, \
                           or write the report into another directory"
                .to_owned();
            return Err(EvaluateError::File { path, message });
        }
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

#[cfg(test)]
mod tests {
    use super::{FitId, LONGEST_NAME};

    fn name(split: &str) -> String {
        let id = FitId {
            task: "age".to_owned(),
            head: "mlp".to_owned(),
            split: split.to_owned(),
            seed: 7,
            hash: String::new(),
        };
        id.file_name()
    }

    #[test]
    fn names_in_ascii_are_read_as_they_are() {
        assert_eq!(name("fold-0"), "age-mlp-fold-0-7.json");
        assert_eq!(name("utk_face → wiki, fold 0"), "age-mlp-utk-face---wiki--fold-0-7.json");
    }

    #[test]
    fn fits_of_sets_in_other_letters_or_with_long_names_have_files_of_their_own() {
        let long = "a".repeat(120);
        let splits = ["ЖЖ", "ФФ", "ЖЖ → ФФ", "ФФ → ЖЖ"].map(str::to_owned);
        let long = [format!("{long} → {long}b"), format!("{long} → {long}c")];
        let mut names: Vec<String> = splits.iter().chain(&long).map(|split| name(split)).collect();
        for name in &names {
            assert!(name.is_ascii() && name.len() <= LONGEST_NAME, "{name}");
            assert!(super::has_name_of_fit(name.as_ref()), "{name}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6, "{names:?}");
    }
}
