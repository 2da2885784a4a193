//! The hash of all that a fit depends on, by which the journal knows it.
//!
//! What a fit does not use is not hashed, so that labels, names and settings of no influence leave
//! finished fits as they are.

use std::collections::{HashMap, HashSet};

use facefold_core::{AgeGroups, Targets};

use super::Job;
use crate::cross_validate::CvPlan;
use crate::row_info::RowInfo;
use crate::sets::SetName;

/// Raised whenever the same rows and settings give other fits than before.
const FITS: &str = "facefold 2026 cross-validation v2";

/// The keys of a plan's fits.
pub(super) struct FitKeys {
    /// Of what all fits depend on.
    base: blake3::Hash,
    /// Of what decides which auxiliary labels may be trained on; `None` where there are none.
    places: Option<blake3::Hash>,
}

impl FitKeys {
    pub(super) fn new(plan: &CvPlan<'_>) -> Self {
        let tasks = &plan.auxiliary_labels.tasks;
        let places = (!tasks.is_empty()).then(|| {
            let mut hasher = blake3::Hasher::new();
            hash_places(&mut hasher, &plan.rows);
            for labels in tasks {
                hash_places(&mut hasher, &labels.rows);
            }
            hasher.finalize()
        });
        Self { base: base(plan), places }
    }

    /// blake3, in hexadecimal digits.
    pub(super) fn of(&self, plan: &CvPlan<'_>, job: &Job<'_>) -> String {
        let Job { name, head, split, seed, calibrated } = *job;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.base.as_bytes());
        hasher.update(name.as_bytes());
        hasher.update(head.settings().to_string().as_bytes());
        hasher.update(&seed.to_le_bytes());
        hasher.update(&[u8::from(calibrated)]);
        if head.uses_auxiliary_tasks() {
            for labels in &plan.auxiliary_labels.tasks {
                hasher.update(labels.kind.to_string().as_bytes());
                hash_labels(&mut hasher, &labels.matrix_rows, &labels.targets);
            }
            let groups = plan.auxiliary_labels.age_groups.as_ref().map_or("", AgeGroups::name);
            hasher.update(groups.as_bytes());
            if let Some(places) = &self.places {
                hasher.update(places.as_bytes());
            }
        }
        for rows in [&split.train, &split.validation, &split.test] {
            hash_rows(&mut hasher, rows);
        }
        if calibrated && matches!(plan.targets, Targets::Regression(_)) {
            let seen = rows_across_sets(&plan.rows, &split.train);
            if !seen.is_empty() {
                hash_rows(&mut hasher, &seen);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// A hash of what every fit of the plan depends on. The matrix goes by its stamp: its values may be
/// gigabytes.
fn base(plan: &CvPlan<'_>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key(FITS);
    for text in [plan.stamp.as_str(), env!("CARGO_PKG_VERSION"), plan.task.as_str()] {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    }
    let mirrored = usize::from(plan.matrix.mirrored().is_some());
    hash_rows(&mut hasher, &[plan.matrix.rows(), plan.matrix.width(), mirrored]);
    let originals: Vec<usize> = plan.matrix.augmented().map(|(_, original)| original).collect();
    hash_rows(&mut hasher, &originals);
    hash_labels(&mut hasher, &plan.matrix_rows, &plan.targets);
    hasher.finalize()
}

/// Subject, set, fold and split of each row: by these
/// [`crate::auxiliary::AuxiliaryLabels::datasets`] chooses the rows that may be trained on.
fn hash_places(hasher: &mut blake3::Hasher, rows: &[RowInfo]) {
    hasher.update(&(rows.len() as u64).to_le_bytes());
    for row in rows {
        let set = row.set.as_ref().map_or("", SetName::as_str);
        for text in [row.subject_name(), set] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let fold = row.fold.map_or(-1, |fold| i32::from(fold.0));
        let split = row.split.map_or(u8::MAX, |split| split as u8);
        hasher.update(&fold.to_le_bytes());
        hasher.update(&[split]);
    }
}

/// Training rows whose subject has training rows in another data set too: a set that is left out to
/// calibrate on is calibrated without them.
fn rows_across_sets(rows: &[RowInfo], training: &[usize]) -> Vec<usize> {
    let mut first_set: HashMap<&str, Option<&SetName>> = HashMap::new();
    let mut several: HashSet<&str> = HashSet::new();
    for &row in training {
        let (subject, set) = (rows[row].subject_name(), rows[row].set.as_ref());
        if *first_set.entry(subject).or_insert(set) != set {
            several.insert(subject);
        }
    }
    let seen = |row: &usize| several.contains(rows[*row].subject_name());
    training.iter().copied().filter(seen).collect()
}

fn hash_labels(hasher: &mut blake3::Hasher, matrix_rows: &[usize], targets: &Targets) {
    hash_rows(hasher, matrix_rows);
    match targets {
        Targets::Classes { indices, count } => {
            hash_rows(hasher, indices);
            // Classes behind the last one with a row: a head predicts their probability too.
            if *count > indices.iter().max().map_or(0, |&last| last + 1) {
                hash_rows(hasher, &[*count]);
            }
        }
        Targets::Regression(ages) => {
            let ends = ages.iter().flat_map(|age| [age.low(), age.high()]);
            let bytes: Vec<u8> = ends.flat_map(f32::to_le_bytes).collect();
            hasher.update(&bytes);
        }
    }
}

fn hash_rows(hasher: &mut blake3::Hasher, rows: &[usize]) {
    hasher.update(&(rows.len() as u64).to_le_bytes());
    let bytes: Vec<u8> = rows.iter().flat_map(|&row| (row as u64).to_le_bytes()).collect();
    hasher.update(&bytes);
}
