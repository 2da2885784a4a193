//! What a data set holds and whether it is sound: counts that add up, subjects that stay in
//! their folds, pictures that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use facefold_core::{AgeGroups, Fold, Gender, Sample, Split, SubjectId, Targets, Task};
use serde::Serialize;

use crate::dataset::{Dataset, DatasetKind, SkipReason, Skipped};
use crate::policy::{DropReason, LabelPolicy};
use crate::select::{Selection, select};
use crate::tally::{LabelCount, Tally};

mod histogram;
mod text;

pub use histogram::{Bar, Histogram, Histograms};

/// Skipped rows and files, leaking subjects and missing pictures that are named, at most; all are
/// counted.
const EXAMPLES: usize = 20;

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Look whether the file of every sample is there.
    pub images: bool,
    /// The age groups that are counted under each label policy.
    pub groups: AgeGroups,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { images: false, groups: AgeGroups::adience() }
    }
}

/// How many samples serve a task; `used` and the sum of `dropped` make up all samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskCount {
    /// The task.
    pub task: Task,
    /// The label policy, for the age groups.
    pub policy: Option<LabelPolicy>,
    /// Samples with a target.
    pub used: usize,
    /// Samples without one, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
}

/// Samples in each age group under one label policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupCount {
    /// The label policy.
    pub policy: LabelPolicy,
    /// Counts by group, youngest first.
    pub groups: Vec<LabelCount>,
}

/// A subject in more than one fold or split: a head could be tested on a face that it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// Who.
    pub subject: SubjectId,
    /// The folds with pictures of the subject.
    pub folds: BTreeSet<Fold>,
    /// The splits with pictures of the subject.
    pub splits: BTreeSet<Split>,
}

/// Whether the samples' files are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageCheck {
    /// Samples whose file is there.
    pub present: usize,
    /// Samples whose file is not.
    pub missing: usize,
    /// The first missing files, relative to ROOT.
    pub examples: Vec<PathBuf>,
}

/// The result of `facefold data check`; its `Display` is the report for a terminal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The kind of the set.
    pub kind: DatasetKind,
    /// Its folder.
    pub root: PathBuf,
    /// The label files that were read.
    pub label_files: Vec<PathBuf>,
    /// Label rows read.
    pub rows: usize,
    /// Rows whose key an earlier row had.
    pub duplicates: usize,
    /// Label rows that gave no sample, by reason.
    pub dropped_rows: BTreeMap<SkipReason, usize>,
    /// `rows` less `duplicates` less the sum of `dropped_rows`.
    pub distinct: usize,
    /// Pictures without a label row.
    pub unlabelled: usize,
    /// `distinct` and `unlabelled` together.
    pub samples: usize,
    /// Samples whose labels contradict one another, left out of every task.
    pub label_conflicts: usize,
    /// Files and folders that were passed over, by reason.
    pub ignored_files: BTreeMap<SkipReason, usize>,
    /// The first rows and files that were skipped.
    pub skipped_examples: Vec<Skipped>,
    /// The folds, ascending; the order of every count by fold.
    pub folds: Vec<Fold>,
    /// Samples in each fold, before any label policy.
    pub distinct_per_fold: Vec<usize>,
    /// Samples in each split.
    pub splits: BTreeMap<Split, usize>,
    /// Age strings as they are, over all rows but the dropped ones, before deduplication.
    pub age_strings: Vec<LabelCount>,
    /// Gender strings as they are, over all rows but the dropped ones, before deduplication.
    pub gender_strings: Vec<LabelCount>,
    /// Samples by gender: female, male, unknown.
    pub genders: Vec<LabelCount>,
    /// Samples by race, where the set has races.
    pub races: Vec<LabelCount>,
    /// Samples by class, where the set has classes.
    pub classes: Vec<LabelCount>,
    /// The name of the age groups counted below.
    pub groups: AgeGroups,
    /// Samples by age group under each label policy that has a rule for the groups.
    pub age_groups: Vec<GroupCount>,
    /// How many samples serve each task.
    pub tasks: Vec<TaskCount>,
    /// Number of subjects.
    pub subjects: usize,
    /// Subjects in each fold.
    pub subjects_per_fold: Vec<usize>,
    /// Samples that name no subject.
    pub samples_without_subject: usize,
    /// Number of subjects in more than one fold or split.
    pub leaking_subjects: usize,
    /// The first of them.
    pub leaks: Vec<Leak>,
    /// Whether the files are there, if that was checked.
    pub images: Option<ImageCheck>,
    /// Distributions of age, gender and subject sizes.
    pub histograms: Histograms,
    /// What a reader of the counts should know.
    pub notes: Vec<String>,
}

impl Check {
    /// Problems that make the set unusable, a sentence each; empty for a valid set.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some(leak) = self.leaks.first() {
            errors.push(format!(
                "{} in more than one fold or split, for instance `{}`: a head would be tested on \
                 faces that it has seen; give each subject one fold and one split",
                counted(self.leaking_subjects, "subject is", "subjects are"),
                leak.subject
            ));
        }
        if let Some(images) = &self.images
            && let Some(example) = images.examples.first()
        {
            errors.push(format!(
                "{} not there, for instance `{}` in `{}`; unpack the pictures there or choose \
                 the right ROOT or tree",
                counted(images.missing, "picture is", "pictures are"),
                example.display(),
                self.root.display()
            ));
        }
        errors
    }
}

/// `1 subject is`, `2 subjects are`.
fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Checks a loaded set. Only with [`CheckOptions::images`] is the file system accessed.
#[must_use]
pub fn check(dataset: &Dataset, options: &CheckOptions) -> Check {
    let samples = &dataset.samples;
    let folds: Vec<Fold> =
        samples.iter().filter_map(|s| s.fold).collect::<BTreeSet<_>>().into_iter().collect();
    let in_fold = |fold: &Fold| samples.iter().filter(|s| s.fold == Some(*fold)).count();
    let subjects = Subjects::of(samples);
    let (age_groups, tasks) = tasks(samples, &options.groups, &folds);
    Check {
        kind: dataset.kind,
        root: dataset.root.clone(),
        label_files: dataset.label_files.clone(),
        rows: dataset.rows,
        duplicates: dataset.duplicates,
        dropped_rows: by_reason(&dataset.dropped),
        distinct: dataset.distinct(),
        unlabelled: dataset.unlabelled,
        samples: samples.len(),
        label_conflicts: samples.iter().filter(|s| s.label_conflict).count(),
        ignored_files: by_reason(&dataset.ignored),
        skipped_examples: dataset
            .dropped
            .iter()
            .chain(&dataset.ignored)
            .take(EXAMPLES)
            .cloned()
            .collect(),
        distinct_per_fold: folds.iter().map(in_fold).collect(),
        splits: count_splits(samples),
        age_strings: dataset.ages.table_by_age(&folds),
        gender_strings: dataset.genders.table(&folds),
        genders: genders(samples, &folds),
        races: tally(samples, |s| s.race.as_deref()).table(&folds),
        classes: tally(samples, |s| s.class.as_deref()).table(&folds),
        groups: options.groups.clone(),
        age_groups,
        tasks,
        subjects: subjects.places.len(),
        subjects_per_fold: folds.iter().map(|fold| subjects.in_fold(*fold)).collect(),
        samples_without_subject: samples.iter().filter(|s| s.subject.is_none()).count(),
        leaking_subjects: subjects.leaks().count(),
        leaks: subjects.leaks().take(EXAMPLES).collect(),
        images: options.images.then(|| look_for_images(dataset)),
        histograms: Histograms::of(samples),
        notes: dataset.notes.clone(),
        folds,
    }
}

fn by_reason(skipped: &[Skipped]) -> BTreeMap<SkipReason, usize> {
    let mut counts = BTreeMap::new();
    for found in skipped {
        *counts.entry(found.reason).or_insert(0) += 1;
    }
    counts
}

fn count_splits(samples: &[Sample]) -> BTreeMap<Split, usize> {
    let mut counts = BTreeMap::new();
    for split in samples.iter().filter_map(|sample| sample.split) {
        *counts.entry(split).or_insert(0) += 1;
    }
    counts
}

fn tally<'a>(samples: &'a [Sample], label: impl Fn(&'a Sample) -> Option<&'a str>) -> Tally {
    let mut tally = Tally::default();
    for sample in samples {
        if let Some(label) = label(sample) {
            tally.add(label, sample.fold);
        }
    }
    tally
}

fn gender_label(sample: &Sample) -> &'static str {
    match sample.gender {
        Some(Gender::Female) => "female",
        Some(Gender::Male) => "male",
        None => "unknown",
    }
}

fn genders(samples: &[Sample], folds: &[Fold]) -> Vec<LabelCount> {
    let counts = tally(samples, |sample| Some(gender_label(sample)));
    counts.table_of(&["female", "male", "unknown"], folds)
}

/// Every task that the set could serve, and the age groups under every policy.
fn tasks(
    samples: &[Sample],
    groups: &AgeGroups,
    folds: &[Fold],
) -> (Vec<GroupCount>, Vec<TaskCount>) {
    let run = |task, policy: Option<LabelPolicy>| {
        let selection = select(samples, task, policy.unwrap_or_default(), groups);
        let used = selection.rows.len();
        (TaskCount { task, policy, used, dropped: selection.dropped.clone() }, selection)
    };
    let mut counts = vec![run(Task::Gender, None).0];
    let mut tables = Vec::new();
    for policy in LabelPolicy::ALL.into_iter().filter(|policy| policy.check(groups).is_ok()) {
        let (count, selection) = run(Task::AgeGroup, Some(policy));
        counts.push(count);
        tables.push(GroupCount { policy, groups: group_table(samples, &selection, folds) });
    }
    counts.push(run(Task::Age, None).0);
    if samples.iter().any(|sample| sample.class.is_some()) {
        counts.push(run(Task::Class, None).0);
    }
    (tables, counts)
}

fn group_table(samples: &[Sample], selection: &Selection, folds: &[Fold]) -> Vec<LabelCount> {
    let mut tally = Tally::default();
    if let Targets::Classes { indices, .. } = &selection.targets {
        for (&row, &index) in selection.rows.iter().zip(indices) {
            tally.add(&selection.class_names[index], samples[row].fold);
        }
    }
    tally.table_of(&selection.class_names, folds)
}

/// Where each subject's samples lie.
struct Subjects<'a> {
    places: BTreeMap<&'a SubjectId, (BTreeSet<Fold>, BTreeSet<Split>)>,
}

impl<'a> Subjects<'a> {
    fn of(samples: &'a [Sample]) -> Self {
        let mut places: BTreeMap<&SubjectId, (BTreeSet<Fold>, BTreeSet<Split>)> = BTreeMap::new();
        for sample in samples {
            if let Some(subject) = &sample.subject {
                let (folds, splits) = places.entry(subject).or_default();
                folds.extend(sample.fold);
                splits.extend(sample.split);
            }
        }
        Self { places }
    }

    fn in_fold(&self, fold: Fold) -> usize {
        self.places.values().filter(|(folds, _)| folds.contains(&fold)).count()
    }

    fn leaks(&self) -> impl Iterator<Item = Leak> {
        self.places.iter().filter(|(_, (folds, splits))| folds.len() > 1 || splits.len() > 1).map(
            |(subject, (folds, splits))| Leak {
                subject: (*subject).clone(),
                folds: folds.clone(),
                splits: splits.clone(),
            },
        )
    }
}

fn look_for_images(dataset: &Dataset) -> ImageCheck {
    let missing: Vec<&Sample> = dataset
        .samples
        .iter()
        .filter(|sample| !dataset.root.join(&sample.path).is_file())
        .collect();
    ImageCheck {
        present: dataset.samples.len() - missing.len(),
        missing: missing.len(),
        examples: missing.iter().take(EXAMPLES).map(|sample| sample.path.clone()).collect(),
    }
}

#[cfg(test)]
mod tests;
