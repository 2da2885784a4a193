//! One or several stores as one set of label rows with features and subjects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facefold_core::{FeatureMatrix, ImageKey, Sample, Split, SubjectId};
use facefold_evaluate::{Protocol, SetName};
use facefold_store::{Features, Store};

use super::store_rows::{self, DataSet, Role, StoreRows};
use super::subjects::joined_subjects;
use super::task_data::RowId;
use crate::error::{Error, Result};
use crate::options::LearningOptions;
use crate::progress::Progress;

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
    /// Label rows without an embedding, by the reason of the rejection.
    pub rejected: BTreeMap<String, usize>,
    /// Subject of each label row.
    pub(super) subjects: Vec<Option<SubjectId>>,
    /// Why a label row with an embedding is not used.
    pub(super) left_out: Vec<Option<String>>,
    /// What a reader must know about the rows.
    pub notes: Vec<String>,
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
        let named =
            directories.iter().map(|(directory, _)| Ok((store_rows::name(directory)?, *directory)));
        let named: Vec<(SetName, &Path)> = named.collect::<Result<_>>()?;
        store_rows::require_distinct(&named)?;
        let stores = named.iter().map(|(_, directory)| Store::open(directory));
        let stores: Vec<Store> = stores.collect::<Result<_, _>>()?;
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

    /// The rows of all sets behind each other, with the subjects of all.
    fn joined(sets: Vec<StoreRows>, features: Features) -> Result<Self> {
        let mut notes = Vec::new();
        let subjects = joined_subjects(&sets, &mut notes)?;
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
            rejected: BTreeMap::new(),
            subjects,
            left_out: Vec::new(),
            notes,
        };
        for set in sets {
            let (first, keys) = (joined.samples.len(), joined.keys.len());
            let rows = first..first + set.samples.len();
            let own = set.notes.into_iter();
            let named = |note| if several { format!("{}: {note}", set.name) } else { note };
            joined.notes.extend(own.map(named));
            joined.sets.push(DataSet { name: set.name, store: set.store, role: set.role, rows });
            joined.samples.extend(set.samples);
            joined
                .matrix_rows
                .extend(set.matrix_rows.into_iter().map(|row| row.map(|row| row + keys)));
            joined.keys.extend(set.keys);
            joined.left_out.extend(set.left_out);
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

    /// Notes in every store where a report on it lies, for whoever is to forget a picture.
    pub(crate) fn note_report(&self, directory: &Path) {
        for set in &self.sets {
            set.store.note_report(directory, set.name.as_str());
        }
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
        let crops = if mirrored { "" } else { ", of crops as they are and not mirrored" };
        self.notes.push(format!("Heads see {} of {width} columns{crops}.", seen.len()));
        Ok(())
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
