//! One or several stores as one set of label rows with features and subjects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use facefold_core::{
    AuxiliaryKind, FeatureMatrix, ImageKey, Sample, Split, SubjectId, Targets, Task,
};
use facefold_datasets::{Selection, contradicted, select};
use facefold_evaluate::{AuxiliaryLabels, Protocol, RowInfo, SetName, TaskLabels};
use facefold_store::{Features, Store};

use super::store_rows::{self, DataSet, Role, StoreRows};
use super::subjects::joined_subjects;
use super::task_data::{RowId, TaskData};
use super::warnings;
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
    subjects: Vec<Option<SubjectId>>,
    /// Why a label row with an embedding is not used.
    left_out: Vec<Option<String>>,
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

    /// The rows that serve a task, with the auxiliary labels that the options ask for.
    ///
    /// # Errors
    /// If there is none; where race is among the auxiliary labels and rows have fewer than two.
    pub fn task(&self, task: Task, options: &LearningOptions) -> Result<TaskData> {
        let mut data = self.task_alone(task, options)?;
        data.auxiliary = self.auxiliary(task, options)?;
        data.warnings.splice(..0, warnings::of_task(self, &data, options));
        Ok(data)
    }

    /// The rows that serve a task, without auxiliary labels.
    fn task_alone(&self, task: Task, options: &LearningOptions) -> Result<TaskData> {
        let selection = self.selection(task, options)?;
        let form = selection.unserving_labels().map(|said| format!("{task}: {said}"));
        let mut dropped: BTreeMap<String, usize> =
            selection.dropped.iter().map(|(reason, &count)| (reason.to_string(), count)).collect();
        let mut kept = Vec::new();
        for (position, &index) in selection.rows.iter().enumerate() {
            match (self.matrix_rows[index], &self.left_out[index]) {
                (Some(row), None) => kept.push((position, index, row)),
                (Some(_), Some(reason)) => *dropped.entry(reason.clone()).or_default() += 1,
                (None, _) => *dropped.entry("no embedding".to_owned()).or_default() += 1,
            }
        }
        if kept.is_empty() {
            let reasons: Vec<String> =
                dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            return Err(Error::data(format!(
                "no row of the stores serves the task `{task}`: {}",
                reasons.join(", ")
            )));
        }
        let mut set_rows = BTreeMap::new();
        if self.sets.len() > 1 {
            set_rows.extend(self.sets.iter().map(|set| (set.name.clone(), 0)));
            for &(_, index, _) in &kept {
                *set_rows.entry(self.set_of(index).name.clone()).or_default() += 1;
            }
        }
        let positions: Vec<usize> = kept.iter().map(|&(position, ..)| position).collect();
        let row_ids: Vec<RowId> = kept.iter().map(|&(.., row)| RowId(row)).collect();
        let rows = kept.iter().map(|&(_, index, _)| self.row_info(index)).collect();
        let labels = selection.targets.select(&positions);
        let classes = selection.class_names;
        let mut data = TaskData::new((task, classes), self.matrix.clone(), &row_ids, rows, labels)?;
        data.dropped = dropped;
        data.set_rows = set_rows;
        data.warnings.extend(form);
        Ok(data)
    }

    /// The label rows that serve a task. Each set decides on its own whether it is labelled in
    /// years.
    ///
    /// # Errors
    /// Where the sets have other classes.
    pub(super) fn selection(&self, task: Task, options: &LearningOptions) -> Result<Selection> {
        let of_set = |set: &DataSet| {
            let samples = &self.samples[set.rows.clone()];
            select(samples, task, options.policy, &options.groups)
        };
        let selection = match &self.sets[..] {
            [only] => of_set(only),
            several => Selection::joined(
                several
                    .iter()
                    .map(|set| (set.name.as_str(), set.rows.len(), of_set(set)))
                    .collect(),
            )?,
        };
        Ok(selection.without_contradictions(&self.samples, &self.pictures(), task))
    }

    /// The picture of each label row that has an embedding.
    fn pictures(&self) -> Vec<Option<ImageKey>> {
        self.matrix_rows.iter().map(|row| row.map(|row| self.keys[row])).collect()
    }

    /// A label of each label row, apart from those whose byte-identical copies carry another.
    pub(super) fn agreed<'a, T: PartialEq>(
        &'a self,
        label: impl Fn(&'a Sample) -> Option<T>,
    ) -> Vec<Option<T>> {
        let labels: Vec<Option<T>> = self.samples.iter().map(label).collect();
        let contradicted = contradicted(&self.pictures(), &labels);
        labels.into_iter().zip(contradicted).map(|(label, not)| label.filter(|_| !not)).collect()
    }

    /// Labels for heads that learn tasks together: those of the other tasks asked for and the auxiliary
    /// ones; for age groups, years too, where they are known.
    fn auxiliary(&self, task: Task, options: &LearningOptions) -> Result<AuxiliaryLabels> {
        let kinds = options.companions();
        let others = kinds.iter().filter(|&&kind| kind != task.into());
        let mut labels = others
            .map(|kind| match kind {
                AuxiliaryKind::Task(task) => Ok(self.task_alone(*task, options)?.into_labels()),
                AuxiliaryKind::Race => self.races(),
            })
            .collect::<Result<Vec<TaskLabels>>>()?;
        if task == Task::AgeGroup && !kinds.contains(&Task::Age.into()) {
            labels.extend(self.task_alone(Task::Age, options).ok().map(TaskData::into_labels));
        }
        Ok(AuxiliaryLabels {
            tasks: labels,
            age_groups: (task == Task::AgeGroup).then(|| options.groups.clone()),
        })
    }

    /// Race of every row that has one and is used.
    fn races(&self) -> Result<TaskLabels> {
        let races = self.agreed(|sample| sample.race.as_deref().filter(|_| !sample.label_conflict));
        let mut found: Vec<(usize, usize, &str)> = Vec::new();
        for (index, race) in races.into_iter().enumerate() {
            let row = self.matrix_rows[index].filter(|_| self.left_out[index].is_none());
            if let (Some(row), Some(race)) = (row, race) {
                found.push((index, row, race));
            }
        }
        let names: BTreeSet<&str> = found.iter().map(|&(.., race)| race).collect();
        if names.len() < 2 {
            return Err(Error::data(format!(
                "--beside race: expected rows of at least two races, found {}; leave it out",
                names.len()
            )));
        }
        let names: Vec<&str> = names.into_iter().collect();
        let class = |race: &str| names.binary_search(&race).unwrap_or_default();
        Ok(TaskLabels {
            kind: AuxiliaryKind::Race,
            matrix_rows: found.iter().map(|&(_, row, _)| row).collect(),
            rows: found.iter().map(|&(index, ..)| self.row_info(index)).collect(),
            targets: Targets::Classes {
                indices: found.iter().map(|&(.., race)| class(race)).collect(),
                count: names.len(),
            },
        })
    }

    /// Path, subject, fold, split and set of a label row.
    fn row_info(&self, index: usize) -> RowInfo {
        let (sample, set) = (&self.samples[index], self.set_of(index));
        RowInfo {
            path: self.path(index),
            subject: self.subjects[index].clone(),
            fold: sample.fold,
            split: match set.role {
                Role::Both => sample.split,
                Role::Training => Some(Split::Train),
                Role::Test => Some(Split::Test),
            },
            set: (self.sets.len() > 1).then(|| set.name.clone()),
        }
    }

    /// The path of a label row's picture in results: behind its set's name, where several are
    /// tested on.
    pub(super) fn path(&self, index: usize) -> String {
        let path = self.samples[index].path.to_string_lossy();
        match self.tested().count() {
            1 => path.into_owned(),
            _ => format!("{}/{path}", self.set_of(index).name),
        }
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
