//! From a store to what heads learn from: rows, features, subjects, targets task by task.

mod across;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use anyhow::{Result, bail};
use facefold_core::{
    AgeLabel, CompanionKind, FeatureMatrix, ImageKey, Sample, SubjectId, Targets, Task,
};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, OwnRows, Protocol, RowInfo, Surroundings, TaskLabels, subjects,
};
use facefold_heads::HeadOptions;
use facefold_store::{FaceSummary, Features, SampleRow, Select, Store};

use crate::arguments::{FeaturesName, LearningArguments};
use crate::commands::Usage;
use crate::output;
use crate::quality::{MEASURES, Measure};
use crate::settings::Settings;

/// The rows of a store that have an embedding, with their features and subjects.
pub struct Learning {
    /// The store.
    pub store: Store,
    /// All label rows of the store, embedded or not.
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
    /// The store that is tested on, and its first label row, where it is another than
    /// [`Self::store`].
    tested: Option<(Store, usize)>,
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
}

impl From<TaskRows> for TaskLabels {
    fn from(rows: TaskRows) -> Self {
        let TaskRows { task, matrix_rows, rows, targets, .. } = rows;
        Self { kind: task.into(), matrix_rows, rows, targets }
    }
}

impl Learning {
    /// Opens the store of the arguments and loads its features.
    ///
    /// # Errors
    /// If the store cannot be read, has no label rows, or lacks the features asked for.
    pub fn open(arguments: &LearningArguments, settings: &Settings) -> Result<Self> {
        let store = Store::open(&arguments.store)?;
        let features = features(arguments.features, store.has_taps());
        Self::load(store, features, settings)
    }

    /// Loads the features of an open store.
    fn load(store: Store, features: Features, settings: &Settings) -> Result<Self> {
        let directory = store.directory().to_owned();
        let table = store.samples()?;
        if table.is_empty() {
            bail!(
                "the store `{}` has no label rows; run `facefold extract` to its end first",
                directory.display()
            );
        }
        let rejections = store.rejections()?;
        let mut keys: Vec<ImageKey> = Vec::new();
        let mut matrix_rows = Vec::with_capacity(table.len());
        let mut rejected = BTreeMap::new();
        for row in &table {
            let embedded = |key: &ImageKey| store.contains(key) && !rejections.contains_key(key);
            if let Some(key) = row.key.filter(embedded) {
                matrix_rows.push(Some(keys.len()));
                keys.push(key);
            } else {
                matrix_rows.push(None);
                *rejected.entry(why_not(row, &rejections)).or_default() += 1;
            }
        }
        if keys.is_empty() {
            bail!("no label row of the store `{}` has an embedding", directory.display());
        }
        let start = Instant::now();
        let matrix = store.load_features(features, &keys, settings.augmented)?;
        tracing::info!(
            "loaded {} x {} features in {:.1} s",
            matrix.rows(),
            matrix.width(),
            start.elapsed().as_secs_f64()
        );
        let augmented = matrix.augmented().count();
        let versions = format!(
            "{augmented} augmented versions of pictures are trained on beside them, in the folds and on \
             the side of their subjects; nothing is validated or tested on them."
        );
        let samples: Vec<Sample> = table.into_iter().map(|row| row.sample).collect();
        let mut learning = Self {
            store,
            subjects: samples.iter().map(|sample| sample.subject.clone()).collect(),
            samples,
            matrix_rows,
            features,
            keys,
            matrix,
            rejected,
            left_out: Vec::new(),
            tested: None,
            notes: if augmented > 0 { vec![versions] } else { Vec::new() },
        };
        learning.left_out = learning.refused(settings)?;
        learning.find_subjects()?;
        learning.warn_of_shared_pictures();
        Ok(learning)
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
        self.matrix = self.matrix.narrowed(seen, mirrored)?;
        let crops = if mirrored { "" } else { ", of crops as they are and not mirrored" };
        self.notes.push(format!("Heads see {} of {width} columns{crops}.", seen.len()));
        Ok(())
    }

    /// Which label rows show a face that is not good enough, and why.
    fn refused(&self, settings: &Settings) -> Result<Vec<Option<String>>> {
        if settings.quality.is_empty() {
            return Ok(vec![None; self.samples.len()]);
        }
        let faces = self.store.main_faces()?;
        let refused = |row: &Option<usize>| {
            let face = faces.get(&self.keys[(*row)?])?;
            settings.quality.iter().find_map(|least| least.refuses(face))
        };
        Ok(self.matrix_rows.iter().map(refused).collect())
    }

    /// Where a data set names no subject, groups faces that are surely of one person.
    fn find_subjects(&mut self) -> Result<()> {
        if self.subjects.iter().any(Option::is_some) {
            return Ok(());
        }
        let embeddings = self.store.load_matrix(&Select {
            variant: facefold_core::FaceVariant::PLAIN,
            features: Features::Embedding,
            keys: &self.keys,
        })?;
        let embedded = || self.matrix_rows.iter().enumerate().filter(|(_, row)| row.is_some());
        // A row without a known age is grouped like an adult's: most faces are.
        let ages: Vec<Option<f32>> = embedded()
            .map(|(index, _)| match AgeLabel::parse(&self.samples[index].raw_age) {
                AgeLabel::Years(years) => Some(years),
                AgeLabel::Range(low, _) => Some(low as f32),
                AgeLabel::Unknown => Some(subjects::LEAST_AGE),
            })
            .collect();
        let found = subjects::group_by_similarity(
            &self.keys,
            embeddings.view(),
            &ages,
            subjects::THRESHOLD,
        )?;
        let indices: Vec<usize> = embedded().map(|(index, _)| index).collect();
        for (index, subject) in indices.into_iter().zip(found) {
            self.subjects[index] = Some(subject);
        }
        self.notes.push(format!(
            "The data set names no subjects: pictures count as one subject where their bytes are \
             the same or, from age {}, where their embeddings have a cosine of at least {}.",
            subjects::LEAST_AGE,
            subjects::THRESHOLD
        ));
        Ok(())
    }

    fn warn_of_shared_pictures(&mut self) {
        let mut owner: BTreeMap<ImageKey, &Option<SubjectId>> = BTreeMap::new();
        let mut shared = 0;
        for (index, row) in self.matrix_rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let subject = &self.subjects[index];
            if *owner.entry(self.keys[*row]).or_insert(subject) != subject {
                shared += 1;
            }
        }
        if shared > 0 {
            self.notes.push(format!(
                "{shared} rows show the same picture, byte for byte, as a row of another subject."
            ));
        }
    }

    /// The rows that serve a task.
    ///
    /// # Errors
    /// If there is none.
    pub fn task(&self, task: Task, settings: &Settings) -> Result<TaskRows> {
        let selection = self.selection(task, settings)?;
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
            bail!("no row of the store serves the task `{task}`: {}", reasons.join(", "));
        }
        let positions: Vec<usize> = kept.iter().map(|&(position, ..)| position).collect();
        let targets = selection.targets.pick(&positions);
        let rows = kept.iter().map(|&(_, index, _)| self.row_info(index)).collect();
        Ok(TaskRows {
            task,
            classes: selection.class_names,
            matrix_rows: kept.into_iter().map(|(.., row)| row).collect(),
            rows,
            targets,
            dropped,
        })
    }

    /// The rows of a task with their features.
    pub fn own<'a>(&'a self, rows: &'a TaskRows) -> OwnRows<'a> {
        OwnRows {
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
    pub fn surroundings(&self, of: Task, settings: &Settings) -> Result<Surroundings> {
        let others = settings.companions.iter().filter(|&&kind| kind != of.into());
        let mut labels = others
            .map(|kind| match kind {
                CompanionKind::Task(task) => Ok(self.task(*task, settings)?.into()),
                CompanionKind::Race => self.races(),
            })
            .collect::<Result<Vec<TaskLabels>>>()?;
        if of == Task::AgeGroup && !settings.companions.contains(&Task::Age.into()) {
            labels.extend(self.task(Task::Age, settings).ok().map(TaskLabels::from));
        }
        Ok(Surroundings {
            tasks: labels,
            age_groups: (of == Task::AgeGroup).then(|| settings.groups.clone()),
        })
    }

    /// Race of every row that has one and is used.
    fn races(&self) -> Result<TaskLabels> {
        let mut found: Vec<(usize, usize, &str)> = Vec::new();
        for (index, sample) in self.samples.iter().enumerate() {
            let row = self.matrix_rows[index].filter(|_| self.left_out[index].is_none());
            if let (Some(row), Some(race)) = (row, &sample.race) {
                found.push((index, row, race));
            }
        }
        let names: BTreeSet<&str> = found.iter().map(|&(.., race)| race).collect();
        if names.len() < 2 {
            bail!(
                "--beside race: expected rows of at least two races, found {} in `{}`; leave it out",
                names.len(),
                self.store.directory().display()
            );
        }
        let names: Vec<&str> = names.into_iter().collect();
        let class = |race: &str| names.binary_search(&race).unwrap_or_default();
        Ok(TaskLabels {
            kind: CompanionKind::Race,
            matrix_rows: found.iter().map(|&(_, row, _)| row).collect(),
            rows: found.iter().map(|&(index, ..)| self.row_info(index)).collect(),
            targets: Targets::Classes {
                indices: found.iter().map(|&(.., race)| class(race)).collect(),
                count: names.len(),
            },
        })
    }

    /// Path, subject, fold and split of a label row.
    fn row_info(&self, index: usize) -> RowInfo {
        let sample = &self.samples[index];
        RowInfo {
            path: sample.path.to_string_lossy().into_owned(),
            subject: self.subjects[index].clone(),
            fold: sample.fold,
            split: sample.split,
        }
    }

    /// What is known of the pictures, to cut results into slices by: labels, and the quality of
    /// the face.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn attributes(&self, settings: &Settings) -> Result<Attributes> {
        // Rows that are only trained on have no slices.
        let first = self.tested.as_ref().map_or(0, |&(_, first)| first);
        let store = self.tested.as_ref().map_or(&self.store, |(store, _)| store);
        let faces: HashMap<ImageKey, FaceSummary> = store.main_faces()?;
        let face = |row: &Option<usize>| faces.get(&self.keys[(*row)?]);
        let number = |measure: Measure| Attribute {
            name: measure.title.to_owned(),
            values: AttributeValues::Numbers(
                self.matrix_rows[first..].iter().map(|row| (measure.of)(face(row)?)).collect(),
            ),
        };
        let names = |name: &str, values: Vec<Option<String>>| Attribute {
            name: name.to_owned(),
            values: AttributeValues::Names(values[first..].to_vec()),
        };
        let of_samples =
            |get: fn(&Sample) -> Option<String>| self.samples.iter().map(get).collect();
        let selection = self.selection(Task::AgeGroup, settings)?;
        let mut groups: Vec<Option<String>> = vec![None; self.samples.len()];
        if let Targets::Classes { indices, .. } = &selection.targets {
            for (&row, &class) in selection.rows.iter().zip(indices) {
                groups[row] = Some(selection.class_names[class].clone());
            }
        }
        let path = |sample: &Sample| sample.path.to_string_lossy().into_owned();
        let labels = [
            names("age group", groups),
            names("gender", of_samples(|sample| Some(sample.gender?.to_string()))),
            names("race", of_samples(|sample| sample.race.clone())),
        ];
        Ok(Attributes::new(
            self.samples[first..].iter().map(path).collect(),
            labels.into_iter().chain(MEASURES.map(number)).collect(),
        )?)
    }

    /// The protocol asked for, or the best the label rows allow: published folds, else a published
    /// test split, else five folds by subject. With a store to test on, that is the protocol.
    ///
    /// # Errors
    /// [`Usage`] where the name is none.
    pub fn protocol(&self, asked: Option<&str>) -> Result<Protocol> {
        if self.tested.is_some() {
            return Ok(Protocol::Stores);
        }
        match asked.map(str::parse) {
            Some(Ok(Protocol::Stores)) => {
                return Err(Usage::error("the protocol `stores` is asked for with --test-store"));
            }
            Some(asked) => return asked.map_err(Usage::error),
            None => {}
        }
        let has_test = |sample: &Sample| sample.split == Some(facefold_core::Split::Test);
        Ok(if self.samples.iter().any(|sample| sample.fold.is_some()) {
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

fn why_not(row: &SampleRow, rejections: &BTreeMap<ImageKey, facefold_core::Rejection>) -> String {
    let stored = row.key.and_then(|key| rejections.get(&key));
    match row.rejection.as_ref().or(stored) {
        Some(rejection) => rejection.reason.to_string(),
        None => "not extracted yet".to_owned(),
    }
}

/// Says on stderr which label rows are used.
pub fn announce(rows: &TaskRows) {
    let reasons: Vec<String> =
        rows.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let dropped = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    output::note(&format!("{}: {} rows used; dropped: {dropped}", rows.task, rows.rows.len()));
}

/// A head by its name.
///
/// # Errors
/// [`Usage`] where there is no such head or a setting is out of range.
pub fn head(name: &str, options: &HeadOptions) -> Result<Box<dyn facefold_core::Head>> {
    facefold_heads::registry::head(name, options).map_err(Usage::error)
}
