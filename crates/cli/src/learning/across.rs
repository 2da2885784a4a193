//! Two stores as one: trained on the first, tested on the second.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use facefold_core::{
    FeatureMatrix, FeatureRows, ImageKey, Sample, Split, SubjectId, Targets, Task,
};
use facefold_datasets::{Selection, select};
use facefold_store::Store;
use ndarray::{Axis, concatenate};

use super::{Learning, features};
use crate::arguments::LearningArguments;
use crate::settings::Settings;

/// Why training rows are left out that would make the test too easy.
const SHARED: &str = "subject with a picture in the test store";

impl Learning {
    /// Opens the store of the arguments to train on, and another to test on. Rows of the first whose
    /// subject has a picture in the second are left out, byte-identical pictures being the same.
    ///
    /// # Errors
    /// As [`Learning::open`] of either, and where the two were made by different networks.
    pub fn across(
        arguments: &LearningArguments,
        tested: &Path,
        settings: &Settings,
    ) -> Result<Self> {
        let (store, test_store) = (Store::open(&arguments.store)?, Store::open(tested)?);
        let (one, other) = (store.header(), test_store.header());
        if one.fingerprint != other.fingerprint {
            bail!(
                "the store `{}` has the fingerprint {}, the store `{}` {}: their embeddings cannot be \
                 compared; extract one of them anew with the other's network and precision",
                arguments.store.display(),
                one.fingerprint,
                tested.display(),
                other.fingerprint
            );
        }
        let features = features(arguments.features, store.has_taps() && test_store.has_taps());
        let mut training = Self::load(store, features, settings)?;
        let test = Self::load(test_store, features, settings)?;
        training.leave_out_subjects_of(&test);
        let usable =
            |row: usize| training.matrix_rows[row].is_some() && training.left_out[row].is_none();
        if !(0..training.samples.len()).any(usable) {
            bail!(
                "nothing is left to train on: every usable row of the store `{}` is of a subject with a \
                 picture in the store `{}`",
                arguments.store.display(),
                tested.display()
            );
        }
        training.join(test)
    }

    /// The store that is tested on, where it is another than the one trained on.
    pub fn tested(&self) -> Option<&Store> {
        self.tested.as_ref().map(|(store, _)| store)
    }

    /// Leaves out all rows of subjects that show a picture of the other store.
    fn leave_out_subjects_of(&mut self, test: &Self) {
        let tested: HashSet<&ImageKey> = test.keys.iter().collect();
        let shared: Vec<usize> = (0..self.samples.len())
            .filter(|&row| self.matrix_rows[row].is_some_and(|at| tested.contains(&self.keys[at])))
            .collect();
        let subjects: HashSet<SubjectId> =
            shared.iter().filter_map(|&row| self.subjects[row].clone()).collect();
        let mut left_out = 0;
        for row in 0..self.samples.len() {
            let own = self.subjects[row].as_ref().is_some_and(|own| subjects.contains(own));
            if own || shared.contains(&row) {
                self.left_out[row].get_or_insert_with(|| SHARED.to_owned());
                left_out += 1;
            }
        }
        if !shared.is_empty() {
            self.notes.push(format!(
                "{} label rows of the training store show a picture that the test store has too, byte \
                 for byte; {left_out} rows, all of their subjects, are left out of training.",
                shared.len()
            ));
        }
    }

    /// Puts the rows of the test store behind those of this one.
    fn join(mut self, test: Self) -> Result<Self> {
        let (first, rows) = (self.samples.len(), self.keys.len());
        let kinds = [&self, &test].map(|learning| {
            let info = &learning.store.header().dataset;
            format!("{} ({} label rows)", info.kind, learning.samples.len())
        });
        self.notes.push(format!("Trained on {}, tested on {}.", kinds[0], kinds[1]));
        self.notes.extend(test.notes.into_iter().map(|note| format!("Test store: {note}")));
        self.matrix = joined(&self.matrix, &test.matrix)?;
        // One name in two data sets is two people; who really is the same was left out.
        for subject in self.subjects.iter_mut().flatten() {
            *subject = SubjectId::new(format!("training store: {subject}"));
        }
        for sample in &mut self.samples {
            sample.split = Some(Split::Train);
        }
        self.samples.extend(
            test.samples.into_iter().map(|sample| Sample { split: Some(Split::Test), ..sample }),
        );
        self.matrix_rows.extend(test.matrix_rows.into_iter().map(|row| row.map(|row| row + rows)));
        self.keys.extend(test.keys);
        self.subjects.extend(test.subjects);
        self.left_out.extend(test.left_out);
        for (reason, count) in test.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        self.tested = Some((test.store, first));
        Ok(self)
    }

    /// The label rows that serve a task. Each store decides on its own whether it is labelled in
    /// years.
    ///
    /// # Errors
    /// Where the stores tell other classes.
    pub(super) fn selection(&self, task: Task, settings: &Settings) -> Result<Selection> {
        let of = |samples: &[Sample]| select(samples, task, settings.policy, &settings.groups);
        let Some((_, first)) = self.tested else { return Ok(of(&self.samples)) };
        let (mut all, test) = (of(&self.samples[..first]), of(&self.samples[first..]));
        if all.class_names != test.class_names {
            bail!(
                "for the task `{task}` the training store tells {}, the test store {}",
                all.class_names.join(", "),
                test.class_names.join(", ")
            );
        }
        all.rows.extend(test.rows.into_iter().map(|row| row + first));
        match (&mut all.targets, test.targets) {
            (Targets::Classes { indices, .. }, Targets::Classes { indices: more, .. }) => {
                indices.extend(more);
            }
            (Targets::Years(years), Targets::Years(more)) => years.extend(more),
            _ => bail!("the two stores answer the task `{task}` in different ways"),
        }
        for (reason, count) in test.dropped {
            *all.dropped.entry(reason).or_default() += count;
        }
        Ok(all)
    }
}

/// The rows of both; mirrored rows where both have them.
fn joined(one: &FeatureMatrix, other: &FeatureMatrix) -> Result<FeatureMatrix> {
    // Pictures of both, then the versions that are trained on: those of the first.
    let originals: Vec<usize> = one.augmented().map(|(_, original)| original).collect();
    let pictures = [one.rows() - originals.len(), other.rows() - other.augmented().count()];
    let rows = |one: &FeatureRows, other: &FeatureRows| {
        let (one, other) = (one.to_array(), other.to_array());
        let (first, versions) = one.view().split_at(Axis(0), pictures[0]);
        let (second, _) = other.view().split_at(Axis(0), pictures[1]);
        concatenate(Axis(0), &[first, second, versions])
            .context("the features of the two stores differ in width")
    };
    let mirrored = match (one.mirrored(), other.mirrored()) {
        (Some(one), Some(other)) => Some(rows(one, other)?),
        _ => None,
    };
    let matrix = FeatureMatrix::new(rows(one.plain(), other.plain())?, mirrored)?;
    Ok(matrix.with_augmented(originals)?.with_embedding(one.embedding())?)
}
