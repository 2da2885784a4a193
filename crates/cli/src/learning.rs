//! From stores to what heads learn from: rows, features, subjects, targets task by task.

mod set;

pub(crate) use set::LOST;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use facefold_core::{
    AgeTarget, AuxiliaryKind, FeatureMatrix, ImageKey, Sample, Split, SubjectId, Targets, Task,
};
use facefold_datasets::{Selection, contradicted, select};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, AuxiliaryLabels, MainTaskRows, NarrowAges, Protocol,
    RowInfo, SetName, SharedPictures, TaskLabels, join_subjects, narrow_ages,
};
use facefold_heads::HeadOptions;
use facefold_store::{FaceSummary, Features, Store};

use crate::arguments::{FeaturesName, LearningArguments};
use crate::commands::Usage;
use crate::output;
use crate::quality::{MEASURES, Measure};
use crate::settings::Settings;
use set::Loaded;
pub use set::{DataSet, Role};

/// The rows of one or several stores that have an embedding, with their features and subjects.
pub struct Learning {
    /// The data sets, in the order given.
    pub sets: Vec<DataSet>,
    /// All label rows of all stores, embedded or not.
    pub samples: Vec<Sample>,
    /// For each label row its row in [`Self::matrix`], where it has an embedding.
    matrix_rows: Vec<Option<usize>>,
    /// What the heads see.
    pub features: Features,
    /// The picture of each row of the matrix.
    keys: Vec<ImageKey>,
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

/// The rows of one task.
pub struct TaskRows {
    /// The task.
    pub task: Task,
    /// Names of the classes; empty for years.
    pub classes: Vec<String>,
    /// Rows in the matrix.
    pub matrix_rows: Vec<usize>,
    /// Path, subject, fold and split of each row.
    pub rows: Vec<RowInfo>,
    /// What is right for each row.
    pub targets: Targets,
    /// Label rows that are not used, by reason.
    pub dropped: BTreeMap<String, usize>,
    /// What a reader must know of labels whose form does not serve.
    unserving: Option<String>,
    /// The rows of each set, where there are several.
    pub of_sets: BTreeMap<SetName, usize>,
}

impl From<TaskRows> for TaskLabels {
    fn from(rows: TaskRows) -> Self {
        let TaskRows { task, matrix_rows, rows, targets, .. } = rows;
        Self { kind: task.into(), matrix_rows, rows, targets }
    }
}

impl Learning {
    /// Opens the stores of the arguments, and others to test on where there are any, and joins
    /// their rows.
    ///
    /// # Errors
    /// If a store cannot be read, has no label rows, or lacks the features asked for; where two
    /// stores have one name, or were made by different networks.
    pub fn open(
        arguments: &LearningArguments,
        tested: &[PathBuf],
        settings: &Settings,
    ) -> Result<Self> {
        let role = if tested.is_empty() { Role::Both } else { Role::Training };
        let directories: Vec<(&Path, Role)> = arguments
            .store
            .iter()
            .map(|directory| (directory.as_path(), role))
            .chain(tested.iter().map(|directory| (directory.as_path(), Role::Test)))
            .collect();
        let named =
            directories.iter().map(|(directory, _)| Ok((set::name(directory)?, *directory)));
        let named: Vec<(SetName, &Path)> = named.collect::<Result<_>>()?;
        set::require_distinct(&named)?;
        let stores = named.iter().map(|(_, directory)| Store::open(directory));
        let stores: Vec<Store> = stores.collect::<Result<_, _>>()?;
        let embedding_only = arguments.features == Some(FeaturesName::Embedding);
        set::require_comparable(&stores, embedding_only)?;
        let features = features(arguments.features, stores.iter().all(Store::has_taps));
        let roles = directories.iter().map(|&(_, role)| role);
        let sets =
            named.into_iter().zip(stores).zip(roles).map(|(((name, _), store), role)| {
                Loaded::new(name, store, role, features, settings)
            });
        Self::joined(sets.collect::<Result<_>>()?, features)
    }

    /// The rows of all sets behind each other, with the subjects of all told apart.
    fn joined(sets: Vec<Loaded>, features: Features) -> Result<Self> {
        let mut notes = Vec::new();
        let subjects = subjects(&sets, &mut notes);
        let matrices: Vec<FeatureMatrix> = sets.iter().map(|set| set.matrix.clone()).collect();
        let matrix = match &matrices[..] {
            [only] => only.clone(),
            several => FeatureMatrix::concat(several)?,
        };
        let several = sets.len() > 1;
        let mut learning = Self {
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
            let (first, keys) = (learning.samples.len(), learning.keys.len());
            let rows = first..first + set.samples.len();
            let own = set.notes.into_iter();
            let named = |note| if several { format!("{}: {note}", set.name) } else { note };
            learning.notes.extend(own.map(named));
            learning.sets.push(DataSet { name: set.name, store: set.store, role: set.role, rows });
            learning.samples.extend(set.samples);
            learning
                .matrix_rows
                .extend(set.matrix_rows.into_iter().map(|row| row.map(|row| row + keys)));
            learning.keys.extend(set.keys);
            learning.left_out.extend(set.left_out);
            for (reason, count) in set.rejected {
                *learning.rejected.entry(reason).or_default() += count;
            }
        }
        Ok(learning)
    }

    /// The first store. What its embeddings were made with holds for all.
    pub fn store(&self) -> &Store {
        &self.sets[0].store
    }

    /// Notes in every store where a report on it lies, for whoever is to forget a picture.
    pub fn note_report(&self, directory: &Path) {
        for set in &self.sets {
            set.store.note_report(directory);
        }
    }

    /// Number of a set's label rows that have an embedding.
    pub fn embedded_rows(&self, set: &DataSet) -> usize {
        self.matrix_rows[set.rows.clone()].iter().flatten().count()
    }

    /// The set of a label row.
    fn set_of(&self, index: usize) -> &DataSet {
        let place = self.sets.partition_point(|set| set.rows.end <= index);
        &self.sets[place]
    }

    /// Keeps these columns of the features, or all where none is named.
    ///
    /// # Errors
    /// Where there is no such column.
    pub fn narrow(&mut self, columns: &[usize], mirrored: bool) -> Result<()> {
        let width = self.matrix.width();
        if let Some(column) = columns.iter().find(|&&column| column >= width) {
            bail!("--columns: expected columns from 0 to {}, found {column}", width - 1);
        }
        let all: Vec<usize> = (0..width).collect();
        let seen = if columns.is_empty() { &all } else { columns };
        self.matrix = self.matrix.select_columns(seen, mirrored)?;
        let crops = if mirrored { "" } else { ", of crops as they are and not mirrored" };
        self.notes.push(format!("Heads see {} of {width} columns{crops}.", seen.len()));
        Ok(())
    }

    /// The rows that serve a task.
    ///
    /// # Errors
    /// If there is none.
    pub fn task(&self, task: Task, settings: &Settings) -> Result<TaskRows> {
        let selection = self.selection(task, settings)?;
        let unserving = selection.unserving_labels().map(|said| format!("{task}: {said}"));
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
            bail!("no row of the stores serves the task `{task}`: {}", reasons.join(", "));
        }
        let mut of_sets = BTreeMap::new();
        if self.sets.len() > 1 {
            of_sets.extend(self.sets.iter().map(|set| (set.name.clone(), 0)));
            for &(_, index, _) in &kept {
                *of_sets.entry(self.set_of(index).name.clone()).or_default() += 1;
            }
        }
        let positions: Vec<usize> = kept.iter().map(|&(position, ..)| position).collect();
        let targets = selection.targets.select(&positions);
        let rows = kept.iter().map(|&(_, index, _)| self.row_info(index)).collect();
        Ok(TaskRows {
            task,
            classes: selection.class_names,
            matrix_rows: kept.into_iter().map(|(.., row)| row).collect(),
            rows,
            targets,
            dropped,
            unserving,
            of_sets,
        })
    }

    /// The label rows that serve a task. Each set decides on its own whether it is labelled in
    /// years.
    ///
    /// # Errors
    /// Where the sets have other classes.
    fn selection(&self, task: Task, settings: &Settings) -> Result<Selection> {
        let of_set = |set: &DataSet| {
            let samples = &self.samples[set.rows.clone()];
            select(samples, task, settings.policy, &settings.groups)
        };
        let selection = match &self.sets[..] {
            [only] => of_set(only),
            several => Selection::concat(
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
    fn agreed<'a, T: PartialEq>(
        &'a self,
        label: impl Fn(&'a Sample) -> Option<T>,
    ) -> Vec<Option<T>> {
        let labels: Vec<Option<T>> = self.samples.iter().map(label).collect();
        let contradicted = contradicted(&self.pictures(), &labels);
        labels.into_iter().zip(contradicted).map(|(label, not)| label.filter(|_| !not)).collect()
    }

    /// The rows of a task with their features.
    pub fn own<'a>(&'a self, rows: &'a TaskRows) -> MainTaskRows<'a> {
        MainTaskRows {
            matrix: &self.matrix,
            matrix_rows: &rows.matrix_rows,
            rows: &rows.rows,
            targets: &rows.targets,
        }
    }

    /// What else is known of the rows of a task, for heads that learn tasks together: the labels of
    /// the other tasks asked for and of what was named beside them; for age groups, years too, where
    /// they are known.
    ///
    /// # Errors
    /// As [`Self::task`], of the tasks asked for; where race was asked for and rows have fewer than two.
    pub fn auxiliary_labels(&self, of: Task, settings: &Settings) -> Result<AuxiliaryLabels> {
        let others = settings.companions.iter().filter(|&&kind| kind != of.into());
        let mut labels = others
            .map(|kind| match kind {
                AuxiliaryKind::Task(task) => Ok(self.task(*task, settings)?.into()),
                AuxiliaryKind::Race => self.races(),
            })
            .collect::<Result<Vec<TaskLabels>>>()?;
        if of == Task::AgeGroup && !settings.companions.contains(&Task::Age.into()) {
            labels.extend(self.task(Task::Age, settings).ok().map(TaskLabels::from));
        }
        Ok(AuxiliaryLabels {
            tasks: labels,
            age_groups: (of == Task::AgeGroup).then(|| settings.groups.clone()),
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
            bail!(
                "--beside race: expected rows of at least two races, found {}; leave it out",
                names.len()
            );
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
    fn path(&self, index: usize) -> String {
        let path = self.samples[index].path.to_string_lossy();
        match self.tested().count() {
            1 => path.into_owned(),
            _ => format!("{}/{path}", self.set_of(index).name),
        }
    }

    /// The sets that are tested on.
    fn tested(&self) -> impl Iterator<Item = &DataSet> {
        self.sets.iter().filter(|set| set.role != Role::Training)
    }

    /// What is known of the pictures that are tested on, to cut results into slices by: labels, and
    /// the quality of the face.
    ///
    /// # Errors
    /// If a store cannot be read.
    pub fn attributes(&self, settings: &Settings) -> Result<Attributes> {
        let mut faces: HashMap<ImageKey, FaceSummary> = HashMap::new();
        for set in self.tested() {
            faces.extend(set.store.main_faces()?);
        }
        let rows: Vec<usize> = self.tested().flat_map(|set| set.rows.clone()).collect();
        let face = |row: Option<usize>| faces.get(&self.keys[row?]);
        let number = |measure: Measure| Attribute {
            name: measure.title.to_owned(),
            values: AttributeValues::Numbers(
                rows.iter().map(|&row| (measure.of)(face(self.matrix_rows[row])?)).collect(),
            ),
        };
        let names = |name: &str, of: &dyn Fn(usize) -> Option<String>| Attribute {
            name: name.to_owned(),
            values: AttributeValues::Names(rows.iter().map(|&row| of(row)).collect()),
        };
        let selection = self.selection(Task::AgeGroup, settings)?;
        let mut groups: Vec<Option<String>> = vec![None; self.samples.len()];
        if let Targets::Classes { indices, .. } = &selection.targets {
            for (&row, &class) in selection.rows.iter().zip(indices) {
                groups[row] = Some(selection.class_names[class].clone());
            }
        }
        // A range that is no group of the policy's may still lie in one.
        let ages = self.agreed(|sample| sample.raw_age.parse::<AgeTarget>().ok());
        for (group, age) in groups.iter_mut().zip(ages) {
            let age = age.filter(|age| age.is_range());
            if let (None, Some(age)) = (&group, age) {
                let found = settings.groups.group_covering(age);
                *group = found.map(|class| selection.class_names[class].clone());
            }
        }
        let genders = self.agreed(|sample| sample.gender);
        let races = self.agreed(|sample| sample.race.as_deref());
        let mut labels = vec![
            names("age group", &|row| groups[row].clone()),
            names("gender", &|row| Some(genders[row]?.to_string())),
            names("race", &|row| races[row].map(str::to_owned)),
        ];
        if self.tested().count() > 1 {
            labels.push(names("set", &|row| Some(self.set_of(row).name.to_string())));
        }
        Ok(Attributes::new(
            rows.iter().map(|&row| self.path(row)).collect(),
            labels.into_iter().chain(MEASURES.map(number)).collect(),
        )?)
    }

    /// The protocol asked for, or the best the label rows allow: of one store published folds, else
    /// a published test split, else five folds by subject; of several stores five folds by subject.
    /// With stores to test on, that is the protocol.
    ///
    /// # Errors
    /// [`Usage`] where the name is none.
    pub fn protocol(&self, asked: Option<&str>) -> Result<Protocol> {
        if self.sets.iter().any(|set| set.role == Role::Test) {
            return Ok(Protocol::Stores);
        }
        match asked.map(str::parse) {
            Some(Ok(Protocol::Stores)) => {
                return Err(Usage::error("the protocol `stores` is asked for with --test-store"));
            }
            Some(asked) => return asked.map_err(Usage::error),
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

/// The features asked for; where nothing is, all there are.
fn features(asked: Option<FeaturesName>, has_taps: bool) -> Features {
    let all = if has_taps { FeaturesName::Both } else { FeaturesName::Embedding };
    match asked.unwrap_or(all) {
        FeaturesName::Embedding => Features::Embedding,
        FeaturesName::Taps => Features::Taps,
        FeaturesName::Both => Features::Both,
    }
}

/// The subject of each label row of all sets, and a note on those who stand in several.
fn subjects(sets: &[Loaded], notes: &mut Vec<String>) -> Vec<Option<SubjectId>> {
    if let [only] = sets {
        return only.subjects.clone();
    }
    let paths: Vec<Vec<String>> = sets
        .iter()
        .map(|set| set.samples.iter().map(|s| s.path.to_string_lossy().into_owned()).collect())
        .collect();
    let rows = sets.iter().zip(&paths).map(|(set, paths)| (set.name.clone(), set.set_rows(paths)));
    let joined = join_subjects(&rows.collect::<Vec<_>>());
    let SharedPictures { pictures, rows, subjects } = joined.shared;
    notes.push(match pictures {
        0 => "No picture stands in more than one set, byte for byte.".to_owned(),
        _ => format!(
            "{pictures} pictures ({rows} label rows) stand in more than one set, byte for byte; the \
             {subjects} subjects that they join count as one each, so that none stands on both sides \
             of a division."
        ),
    });
    joined.subjects.into_iter().map(Some).collect()
}

/// Says on stderr which label rows are used.
pub fn announce(rows: &TaskRows) {
    let reasons: Vec<String> =
        rows.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let dropped = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    let of_sets: Vec<String> =
        rows.of_sets.iter().map(|(set, count)| format!("{set} {count}")).collect();
    let of_sets =
        if of_sets.is_empty() { String::new() } else { format!(" ({})", of_sets.join(", ")) };
    let (all, ranges) = (rows.rows.len(), rows.targets.ranges());
    let scored = match rows.targets {
        Targets::Regression(_) => {
            format!(": {} can be scored in years, {ranges} by an age range", all - ranges)
        }
        Targets::Classes { .. } => String::new(),
    };
    output::note(&format!("{}: {all} rows used{of_sets}{scored}; dropped: {dropped}", rows.task));
}

/// What a reader must know before any number on these rows; said on stderr too.
pub fn warn_of(learning: &Learning, rows: &TaskRows, settings: &Settings) -> Vec<String> {
    let mut warnings = warn_of_narrow_ages(learning, rows);
    warnings.extend(propose_groups(rows, settings));
    warnings.extend(rows.unserving.clone());
    for warning in &warnings {
        output::note(warning);
    }
    warnings
}

/// What a reader must know of the ages that are learnt from: sets that teach their kind of picture
/// rather than ages.
fn warn_of_narrow_ages(learning: &Learning, rows: &TaskRows) -> Vec<String> {
    let trained = |set: &DataSet| set.role != Role::Test;
    let narrow = narrow_ages(&rows.rows, &rows.targets).into_iter();
    let narrow = narrow
        .filter(|found| learning.sets.iter().any(|set| set.name == found.set && trained(set)));
    narrow
        .map(|NarrowAges { set, low, high }| {
            format!(
                "Nine of ten ages of `{set}` are from {low} to {high}: beside the other sets they \
                 teach that pictures like these are of that age, which may cost years on pictures \
                 from elsewhere; compare with a run without `{set}`, or leave its ages out."
            )
        })
        .collect()
}

/// What a reader must know before any error in years, where most ages are ranges and nobody asked
/// for age groups.
fn propose_groups(rows: &TaskRows, settings: &Settings) -> Option<String> {
    let (all, ranges) = (rows.rows.len(), rows.targets.ranges());
    let proposed = 2 * ranges > all && !settings.tasks.contains(&Task::AgeGroup);
    proposed.then(|| {
        format!(
            "{ranges} of {all} ages are ranges, so that errors in years say little of this set: ask \
             for `--task age-group` as well."
        )
    })
}

/// A head by its name.
///
/// # Errors
/// [`Usage`] where there is no such head or a setting is out of range.
pub fn head(name: &str, options: &HeadOptions) -> Result<Box<dyn facefold_core::Head>> {
    facefold_heads::registry::head(name, options).map_err(Usage::error)
}
