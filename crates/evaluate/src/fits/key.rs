//! The hash of all that a fit depends on, by which the journal knows it.
//!
//! What a fit does not use is not hashed, so that labels, names and settings of no influence leave
//! finished fits as they are.

use facefold_core::{AgeGroups, Targets};

use super::Job;
use crate::cross_validate::CvPlan;
use crate::row_info::RowInfo;
use crate::sets::SetName;
use crate::statistics::sums::numbers_of;

/// Raised whenever the same rows and settings give other fits than before.
const FITS: &str = "facefold 2026 cross-validation v3";

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
        // Which rows show one person, and which are of one set: heads and intervals are calibrated by both.
        let kept = || split.train.iter().chain(&split.validation).map(|&row| &plan.rows[row]);
        hash_rows(&mut hasher, &numbers_of(kept().map(RowInfo::subject_name)));
        hash_rows(&mut hasher, &numbers_of(kept().map(set_name)));
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

fn set_name(row: &RowInfo) -> &str {
    row.set.as_ref().map_or("", SetName::as_str)
}

/// Subject, set, fold and split of each row: by these
/// [`crate::auxiliary::AuxiliaryLabels::datasets`] chooses the rows that may be trained on.
fn hash_places(hasher: &mut blake3::Hasher, rows: &[RowInfo]) {
    hasher.update(&(rows.len() as u64).to_le_bytes());
    for row in rows {
        for text in [row.subject_name(), set_name(row)] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let fold = row.fold.map_or(-1, |fold| i32::from(fold.0));
        let split = row.split.map_or(u8::MAX, |split| split as u8);
        hasher.update(&fold.to_le_bytes());
        hasher.update(&[split]);
    }
}

fn hash_labels(hasher: &mut blake3::Hasher, matrix_rows: &[usize], targets: &Targets) {
    hash_rows(hasher, matrix_rows);
    match targets {
        Targets::Classes { indices, count } => {
            // Classes without a row too: a head predicts their probability.
            hash_rows(hasher, &[*count]);
            hash_rows(hasher, indices);
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
