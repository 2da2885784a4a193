//! From a store to what heads learn from: rows, features, subjects, targets task by task.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, bail};
use facefold_core::{
    AgeGroups, AgeLabel, FeatureMatrix, ImageKey, Sample, SubjectId, Targets, Task,
};
use facefold_datasets::{LabelPolicy, select};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, Protocol, RowInfo, Surroundings, TaskLabels, subjects,
};
use facefold_heads::HeadOptions;
use facefold_store::{FaceSummary, Features, SampleRow, Select, Store};

use crate::arguments::{FeaturesName, LearningArguments};
use crate::commands::Usage;
use crate::output;
use crate::start::Start;

/// The options of `cv` and `train`, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tasks, each once, in the order given.
    pub tasks: Vec<Task>,
    /// How age strings become groups.
    pub policy: LabelPolicy,
    /// The groups.
    pub groups: AgeGroups,
    /// Settings of all heads.
    pub heads: HeadOptions,
    /// What they start from.
    pub start: Start,
}

impl Settings {
    /// Checks the options that need no store.
    ///
    /// # Errors
    /// [`Usage`] naming the option.
    pub fn check(arguments: &LearningArguments) -> Result<Self> {
        let mut tasks = Vec::new();
        for name in &arguments.task {
            let task = name.parse().map_err(Usage::error)?;
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        Ok(Self {
            tasks,
            policy: arguments.label_policy.parse().map_err(Usage::error)?,
            groups: arguments.age_groups.parse().map_err(Usage::error)?,
            heads: head_options(&arguments.settings, arguments.memory)?,
            start: Start::load(arguments.init.as_deref())?,
        })
    }
}

/// Lays `mlp.epochs=20` and the like, and the memory given, over the defaults.
fn head_options(settings: &[String], memory: Option<f64>) -> Result<HeadOptions> {
    let mut options = serde_json::to_value(HeadOptions::default())?;
    for setting in settings {
        let (path, value) = setting.split_once('=').ok_or_else(|| {
            Usage::error(format!("expected --set HEAD.KEY=VALUE, found `{setting}`"))
        })?;
        let mut place = &mut options;
        for key in path.split('.') {
            place = place.get_mut(key).ok_or_else(|| {
                Usage::error(format!("`{path}` is no setting of a head (at `{key}`)"))
            })?;
        }
        // A bare word is a string; everything else is JSON.
        *place = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    if let Some(gigabytes) = memory {
        options["svm"]["memory"] = gigabytes.into();
    }
    serde_json::from_value(options)
        .map_err(|error| Usage::error(format!("--set {}: {error}", settings.join(" --set "))))
}

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

impl Learning {
    /// Opens a store and loads its features.
    ///
    /// # Errors
    /// If the store cannot be read, has no label rows, or lacks the features asked for.
    pub fn open(arguments: &LearningArguments) -> Result<Self> {
        let store = Store::open(&arguments.store)?;
        let table = store.samples()?;
        if table.is_empty() {
            bail!(
                "the store `{}` has no label rows; run `facefold extract` to its end first",
                arguments.store.display()
            );
        }
        let features = match arguments.features {
            Some(FeaturesName::Embedding) => Features::Embedding,
            Some(FeaturesName::Taps) => Features::Taps,
            Some(FeaturesName::Both) => Features::Both,
            None => {
                if store.has_taps() {
                    Features::Both
                } else {
                    Features::Embedding
                }
            }
        };
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
            bail!("no label row of the store `{}` has an embedding", arguments.store.display());
        }
        let start = Instant::now();
        let matrix = store.load_features(features, &keys)?;
        tracing::info!(
            "loaded {} x {} features in {:.1} s",
            matrix.rows(),
            matrix.width(),
            start.elapsed().as_secs_f64()
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
            notes: Vec::new(),
        };
        learning.find_subjects()?;
        learning.warn_of_shared_pictures();
        Ok(learning)
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
        let selection = select(&self.samples, task, settings.policy, &settings.groups);
        let mut dropped: BTreeMap<String, usize> =
            selection.dropped.iter().map(|(reason, &count)| (reason.to_string(), count)).collect();
        let mut kept = Vec::new();
        for (position, &index) in selection.rows.iter().enumerate() {
            match self.matrix_rows[index] {
                Some(row) => kept.push((position, index, row)),
                None => *dropped.entry("no embedding".to_owned()).or_default() += 1,
            }
        }
        if kept.is_empty() {
            let reasons: Vec<String> =
                dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            bail!("no row of the store serves the task `{task}`: {}", reasons.join(", "));
        }
        let positions: Vec<usize> = kept.iter().map(|&(position, ..)| position).collect();
        let targets = selection.targets.pick(&positions);
        let rows = kept
            .iter()
            .map(|&(_, index, _)| {
                let sample = &self.samples[index];
                RowInfo {
                    path: sample.path.to_string_lossy().into_owned(),
                    subject: self.subjects[index].clone(),
                    fold: sample.fold,
                    split: sample.split,
                }
            })
            .collect();
        Ok(TaskRows {
            task,
            classes: selection.class_names,
            matrix_rows: kept.into_iter().map(|(.., row)| row).collect(),
            rows,
            targets,
            dropped,
        })
    }

    /// What else is known of the rows of a task, for heads that learn tasks together: the labels of
    /// the other tasks asked for; for age groups, years too, where they are known.
    ///
    /// # Errors
    /// As [`Self::task`], of the tasks asked for.
    pub fn surroundings(&self, of: Task, settings: &Settings) -> Result<Surroundings> {
        let others = settings.tasks.iter().copied().filter(|&task| task != of);
        let mut tasks = others.map(|task| self.task(task, settings)).collect::<Result<Vec<_>>>()?;
        if of == Task::AgeGroup && !settings.tasks.contains(&Task::Age) {
            tasks.extend(self.task(Task::Age, settings).ok());
        }
        let labels = tasks.into_iter().map(|rows| TaskLabels {
            task: rows.task,
            matrix_rows: rows.matrix_rows,
            rows: rows.rows,
            targets: rows.targets,
        });
        Ok(Surroundings {
            tasks: labels.collect(),
            age_groups: (of == Task::AgeGroup).then(|| settings.groups.clone()),
        })
    }

    /// What is known of the pictures, to cut results into slices by: labels, and the quality of
    /// the face.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn attributes(&self, settings: &Settings) -> Result<Attributes> {
        let faces = self.store.main_faces()?;
        let face = |row: &Option<usize>| faces.get(&self.keys[(*row)?]);
        let number = |name: &str, get: fn(&FaceSummary) -> Option<f32>| Attribute {
            name: name.to_owned(),
            values: AttributeValues::Numbers(
                self.matrix_rows.iter().map(|row| get(face(row)?)).collect(),
            ),
        };
        let names = |name: &str, values: Vec<Option<String>>| Attribute {
            name: name.to_owned(),
            values: AttributeValues::Names(values),
        };
        let of_samples =
            |get: fn(&Sample) -> Option<String>| self.samples.iter().map(get).collect();
        let selection = select(&self.samples, Task::AgeGroup, settings.policy, &settings.groups);
        let mut groups: Vec<Option<String>> = vec![None; self.samples.len()];
        if let Targets::Classes { indices, .. } = &selection.targets {
            for (&row, &class) in selection.rows.iter().zip(indices) {
                groups[row] = Some(selection.class_names[class].clone());
            }
        }
        let path = |sample: &Sample| sample.path.to_string_lossy().into_owned();
        Ok(Attributes::new(
            self.samples.iter().map(path).collect(),
            vec![
                names("age group", groups),
                names("gender", of_samples(|sample| Some(sample.gender?.to_string()))),
                names("race", of_samples(|sample| sample.race.clone())),
                number("face size (pixels)", |face| Some(face.size())),
                number("detector score", |face| Some(face.score)),
                number("embedding norm", |face| face.norm),
                number("luminance", |face| Some(face.luminance)),
                number("sharpness", |face| Some(face.sharpness)),
            ],
        )?)
    }

    /// The protocol asked for, or the best the label rows allow: published folds, else a published
    /// test split, else five folds by subject.
    ///
    /// # Errors
    /// [`Usage`] where the name is none.
    pub fn protocol(&self, asked: Option<&str>) -> Result<Protocol> {
        if let Some(asked) = asked {
            return asked.parse().map_err(Usage::error);
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
