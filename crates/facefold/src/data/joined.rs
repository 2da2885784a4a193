//! One or several stores as one set of label rows with features and subjects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facefold_core::{FeatureMatrix, ImageKey, Sample, Split, SubjectId};
use facefold_evaluate::{EvaluateError, Protocol, SetName};
use facefold_store::{Features, Store};

use super::store_rows::{self, DataSet, Role, StoreRows};
use super::subjects::joined_subjects;
use super::task_data::RowId;
use crate::error::{Error, Result};
use crate::options::LearningOptions;
use crate::progress::Progress;
use crate::remote;

/// The rows of one or several stores that have an embedding, with their features and subjects.
#[derive(Debug)]
pub struct JoinedStores {
    /// The data sets, in the order given.
    pub sets: Vec<DataSet>,
    /// All label rows of all stores, embedded or not.
    pub samples: Vec<Sample>,
    /// For each label row its row in [`Self::matrix`], where it has an embedding.
    pub(super) matrix_rows: Vec<Option<usize>>,
    /// What the heads see.
    pub features: Features,
    /// The picture of each row of the matrix.
    pub(super) keys: Vec<ImageKey>,
    /// Features of the embedded rows.
    pub matrix: FeatureMatrix,
    /// The columns of the stores' features that the matrix has; empty for all.
    columns: Vec<usize>,
    /// Label rows without an embedding, by the reason of the rejection.
    pub rejected: BTreeMap<String, usize>,
    /// Subject of each label row.
    pub(super) subjects: Vec<Option<SubjectId>>,
    /// Why a label row with an embedding is not used.
    pub(super) left_out: BTreeMap<usize, String>,
    /// What a reader must know about the rows.
    pub notes: Vec<String>,
    /// Those of them on rows that count as one subject.
    subject_notes: Vec<String>,
    /// What must be known of the sets before any figure.
    warnings: Vec<String>,
}

/// Why a report on label rows cannot be made any more.
#[derive(Debug)]
pub(crate) enum Changed {
    /// Some were removed from their store.
    RowsGone(Error),
    /// Some may be removed, or the store cannot be read.
    Other(Error),
}

impl JoinedStores {
    /// Opens the stores of the options, and others to test on where there are any, and joins their
    /// rows.
    ///
    /// # Errors
    /// If a store cannot be read, has no label rows, or lacks the features asked for; where two
    /// stores have one name, or were made by different networks.
    pub fn open(
        options: &LearningOptions,
        test_stores: &[PathBuf],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let role = if test_stores.is_empty() { Role::Both } else { Role::Training };
        let directories: Vec<(&Path, Role)> = options
            .stores
            .iter()
            .map(|directory| (directory.as_path(), role))
            .chain(test_stores.iter().map(|directory| (directory.as_path(), Role::Test)))
            .collect();
        if directories.is_empty() {
            return Err(Error::options("expected at least one store, found none"));
        }
        let local = directories
            .iter()
            .map(|&(path, role)| Ok((remote::local_store(path, progress)?, role)));
        let local: Vec<(PathBuf, Role)> = local.collect::<Result<_>>()?;
        let directories: Vec<(&Path, Role)> =
            local.iter().map(|(directory, role)| (directory.as_path(), *role)).collect();
        let named =
            directories.iter().map(|(directory, _)| Ok((store_rows::name(directory)?, *directory)));
        let named: Vec<(SetName, &Path)> = named.collect::<Result<_>>()?;
        store_rows::require_distinct(&named)?;
        let stores = named.iter().map(|(_, directory)| Store::open(directory));
        let stores: Vec<Store> = stores.collect::<Result<_, _>>()?;
        store_rows::require_different(&stores)?;
        stores.iter().try_for_each(store_rows::require_no_removal)?;
        stores.iter().try_for_each(store_rows::require_no_merge)?;
        let embedding_only = options.features == Some(Features::Embedding);
        store_rows::require_comparable(&stores, embedding_only)?;
        let has_taps = stores.iter().all(Store::has_taps);
        let all = if has_taps { Features::Both } else { Features::Embedding };
        let features = options.features.unwrap_or(all);
        let roles = directories.iter().map(|&(_, role)| role);
        let sets = named.into_iter().zip(stores).zip(roles).map(|(((name, _), store), role)| {
            StoreRows::new(name, store, role, features, options, progress)
        });
        Self::joined(sets.collect::<Result<_>>()?, features)
    }

    /// What must be known of the sets before any figure.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What must be known where heads start from a bundle and are evaluated here, if they do.
    pub(crate) fn warning_of_initial_heads(&self, learning: &LearningOptions) -> Option<String> {
        let tested = self.sets.iter().filter(|set| set.role != Role::Training);
        learning.initial.warning(tested.map(|set| set.name.as_str()))
    }

    /// The rows of all sets behind each other, with the subjects of all.
    fn joined(sets: Vec<StoreRows>, features: Features) -> Result<Self> {
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
        let subjects = joined_subjects(&sets, &mut notes, &mut warnings)?;
        let matrices: Vec<FeatureMatrix> = sets.iter().map(|set| set.matrix.clone()).collect();
        let matrix = match &matrices[..] {
            [only] => only.clone(),
            several => FeatureMatrix::concat(several)?,
        };
        let several = sets.len() > 1;
        let mut joined = Self {
            sets: Vec::new(),
            samples: Vec::new(),
            matrix_rows: Vec::new(),
            features,
            keys: Vec::new(),
            matrix,
            columns: Vec::new(),
            rejected: BTreeMap::new(),
            subjects,
            left_out: BTreeMap::new(),
            subject_notes: notes.clone(),
            notes,
            warnings,
        };
        for set in sets {
            let (first, keys) = (joined.samples.len(), joined.keys.len());
            let rows = first..first + set.samples.len();
            let own = set.notes.into_iter();
            let named = |note| if several { format!("{}: {note}", set.name) } else { note };
            joined.notes.extend(own.map(named));
            joined.subject_notes.extend(set.subject_notes);
            joined.sets.push(DataSet { name: set.name, store: set.store, role: set.role, rows });
            joined.samples.extend(set.samples);
            joined
                .matrix_rows
                .extend(set.matrix_rows.into_iter().map(|row| row.map(|row| row + keys)));
            joined.keys.extend(set.keys);
            joined.left_out.extend(set.left_out.into_iter().map(|(row, why)| (first + row, why)));
            for (reason, count) in set.rejected {
                *joined.rejected.entry(reason).or_default() += count;
            }
        }
        Ok(joined)
    }

    /// The first store. What its embeddings were made with holds for all.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.sets[0].store
    }

    /// The picture of a row of the matrix.
    pub(crate) fn picture(&self, row: RowId) -> ImageKey {
        self.keys[row.0]
    }

    /// Notes in every store where a report on it lies, for the removal of a picture, and says where
    /// that is not possible.
    pub(crate) fn note_report(&self, directory: &Path, progress: &dyn Progress) {
        for set in &self.sets {
            if let Err(error) = set.store.note_report(directory, set.name.as_str()) {
                progress.note(&format!(
                    "the report is not noted in its store ({error}): `facefold store forget` on the store \
                     will not find `{}`, and leaves the people in it whom it removes",
                    directory.display()
                ));
            }
        }
    }

    /// Refuses to go on where a removal is under way, or has removed label rows that were loaded: a report
    /// on them would bring back the forgotten person.
    ///
    /// Called after [`Self::note_report`], it leaves no gap: [`crate::stores::forget`] looks for noted
    /// reports after it has announced the removal.
    ///
    /// # Errors
    /// [`Changed`], or a store that cannot be read.
    pub(crate) fn require_all_rows(&self) -> Result<(), Changed> {
        for set in &self.sets {
            // Before the rows are looked at: a removal that begins after this finds the report noted.
            store_rows::require_no_removal(&set.store).map_err(Changed::Other)?;
            let rows = &self.samples[set.rows.clone()];
            let gone = set.store.count_gone(rows.iter().map(|sample| sample.path.as_path()));
            let gone = gone.map_err(|error| Changed::Other(error.into()))?;
            if gone > 0 {
                return Err(Changed::RowsGone(Error::data(format!(
                    "{gone} label rows of the store `{}` were removed after they were read: nothing was \
                     written, and finished fits were deleted, as they were made with these rows; run the \
                     same command again",
                    set.store.directory().display()
                ))));
            }
        }
        Ok(())
    }

    /// Number of a set's label rows that have an embedding.
    pub(crate) fn embedded_rows(&self, set: &DataSet) -> usize {
        self.matrix_rows[set.rows.clone()].iter().flatten().count()
    }

    /// The set of a label row.
    pub(super) fn set_of(&self, index: usize) -> &DataSet {
        let place = self.sets.partition_point(|set| set.rows.end <= index);
        &self.sets[place]
    }

    /// An error of dividing the rows, with the reasons why there are few subjects where rows were joined to
    /// one.
    pub(crate) fn explained(&self, error: impl Into<Error>) -> Error {
        match error.into() {
            Error::Evaluate(EvaluateError::TooFew(what)) if !self.subject_notes.is_empty() => {
                let what = format!("{what}. {}", self.subject_notes.join(" "));
                EvaluateError::TooFew(what).into()
            }
            error => error,
        }
    }

    /// Keeps these columns of the features, or all where none is named, and the features of mirrored
    /// crops where they are wanted.
    ///
    /// # Errors
    /// Where there is no such column.
    pub fn narrow(&mut self, columns: &[usize], mirrored: bool) -> Result<()> {
        let width = self.matrix.width();
        if let Some(column) = columns.iter().find(|&&column| column >= width) {
            return Err(Error::data(format!(
                "--columns: expected columns from 0 to {}, found {column}",
                width - 1
            )));
        }
        let all: Vec<usize> = (0..width).collect();
        let seen = if columns.is_empty() { &all } else { columns };
        self.matrix = self.matrix.select_columns(seen, mirrored)?;
        columns.clone_into(&mut self.columns);
        let crops = if mirrored { "" } else { ", of crops as they are and not mirrored" };
        self.notes.push(format!("Heads see {} of {width} columns{crops}.", seen.len()));
        Ok(())
    }

    /// A name for the values of [`Self::matrix`]: the network, what the stores hold, and which pictures
    /// and columns of it were taken.
    pub(crate) fn stamp(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 joined stores v1");
        let stamps = self.sets.iter().map(|set| set.store.stamp());
        let header = self.store().header();
        let texts = [header.fingerprint.to_string(), self.features.to_string()];
        for text in texts.into_iter().chain(stamps) {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
        for key in &self.keys {
            hasher.update(key.as_bytes());
        }
        for &column in &self.columns {
            hasher.update(&(column as u64).to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The sets that are tested on.
    pub(super) fn tested(&self) -> impl Iterator<Item = &DataSet> {
        self.sets.iter().filter(|set| set.role != Role::Training)
    }

    /// The protocol asked for, or the best the label rows allow: of one store published folds, else
    /// a published test split, else five folds by subject; of several stores five folds by subject.
    /// With stores to test on, that is the protocol.
    ///
    /// # Errors
    /// [`Error::Options`] where [`Protocol::Stores`] is asked for without stores to test on.
    pub fn protocol(&self, asked: Option<Protocol>) -> Result<Protocol> {
        if self.sets.iter().any(|set| set.role == Role::Test) {
            return Ok(Protocol::Stores);
        }
        match asked {
            Some(Protocol::Stores) => {
                return Err(Error::options("the protocol `stores` is asked for with --test-store"));
            }
            Some(asked) => return Ok(asked),
            None => {}
        }
        let has_test = |sample: &Sample| sample.split == Some(Split::Test);
        Ok(if self.sets.len() > 1 {
            Protocol::KFold(5)
        } else if self.samples.iter().any(|sample| sample.fold.is_some()) {
            Protocol::Folds
        } else if self.samples.iter().any(has_test) {
            Protocol::Split
        } else {
            Protocol::KFold(5)
        })
    }
}
