//! Rows divided by a protocol: training, validation and test rows.

use std::collections::{BTreeMap, BTreeSet};

use facefold_core::rng::seeded;
use facefold_core::{Fold, Split, Targets};
use rand::seq::SliceRandom;

use crate::error::EvaluateError;
use crate::holdout::{LEAST, MOST, stratified_group_holdout, stratified_group_k_fold};
use crate::protocol::Protocol;
use crate::row_info::{
    RowInfo, largest_subject, set_names, subject_numbers, subjects_across_folds,
    subjects_across_splits,
};

/// One fold in so many is for validation where there are no test rows.
const TRAINING_FOLDS: usize = 8;

/// Fraction of rows that `random80` tests on.
const RANDOM_TEST_SHARE: f64 = 0.2;

/// One split of the rows. All three lists are ascending row numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CvSplit {
    /// `fold 0`, `test`, `random 80/20 of seed 0`, or the name of the data set that is tested on.
    pub name: String,
    /// Rows to fit.
    pub train: Vec<usize>,
    /// Validation rows; they share no subject with the training rows.
    pub validation: Vec<usize>,
    /// Rows to report on.
    pub test: Vec<usize>,
    /// Test rows whose subject has training or validation rows: 0 but for `random80`.
    pub shared_test_rows: usize,
    /// What a reader of the report must know about this split.
    pub notes: Vec<String>,
}

impl CvSplit {
    /// Test rows of each class that has some and no training row; where nothing is tested,
    /// validation rows. `targets` are one a row of all rows, `classes` the names.
    #[must_use]
    pub fn untrained_classes(
        &self,
        targets: &Targets,
        classes: &[String],
    ) -> BTreeMap<String, usize> {
        let Targets::Classes { indices, .. } = targets else { return BTreeMap::new() };
        let trained: BTreeSet<usize> = self.train.iter().map(|&row| indices[row]).collect();
        let mut untrained = BTreeMap::new();
        let tested = if self.test.is_empty() { &self.validation } else { &self.test };
        for class in tested.iter().map(|&row| indices[row]) {
            if !trained.contains(&class) {
                *untrained.entry(classes[class].clone()).or_default() += 1;
            }
        }
        untrained
    }
}

/// Divides rows by a protocol. The same rows and seed give the same splits.
///
/// Validation rows are always taken from the training side and exclusive by subject: about 12.5 %
/// of it, with labels and data sets mixed like the rest where the subjects allow. Where they do
/// not, a note of the split says so. `targets` (one a row) serve only to mix them.
///
/// # Errors
/// [`EvaluateError`] where rows lack a fold or split, a subject stands in two of them, or there
/// are too few rows or subjects to divide.
pub fn plan(
    protocol: &Protocol,
    rows: &[RowInfo],
    targets: &Targets,
    seed: u64,
) -> Result<Vec<CvSplit>, EvaluateError> {
    require_rows(rows, targets)?;
    let divider = Divider::new(rows, targets, seed);
    match protocol {
        Protocol::Folds => divider.folds(*protocol),
        Protocol::KFold(k) => divider.stratified_folds(*k),
        Protocol::Split => divider.split(*protocol),
        Protocol::Stores => divider.stores(),
        Protocol::LeaveOneSetOut => divider.each_set_out(),
        Protocol::Random80(times) => {
            (0..*times as u64).map(|split| divider.random(seed.wrapping_add(split))).collect()
        }
    }
}

/// Divides rows of which none is to be tested on into training and validation rows: about an
/// eighth, exclusive by subject, is kept for validation. That is the first of eight folds; it has
/// the largest subject, so where that is too large to be kept, whole subjects are drawn that are
/// not. The split has no test rows.
///
/// # Errors
/// [`EvaluateError::TooFew`] where there are fewer than two subjects.
pub fn plan_training(
    rows: &[RowInfo],
    targets: &Targets,
    seed: u64,
) -> Result<CvSplit, EvaluateError> {
    require_rows(rows, targets)?;
    let divider = Divider::new(rows, targets, seed);
    let name = "training".to_owned();
    let first = match divider.stratified_folds(TRAINING_FOLDS) {
        Ok(folds) => folds.into_iter().next(),
        Err(EvaluateError::TooFew(_)) => None,
        Err(error) => return Err(error),
    };
    let kept = first.filter(|fold| fold.test.len() as f64 <= MOST * rows.len() as f64 + 1.0);
    if let Some(CvSplit { train, validation, test, .. }) = kept {
        let train = [train, validation].concat();
        return Ok(divider.make_split(name, train, test, Vec::new(), Vec::new()));
    }
    let (mut notes, all) = (Vec::new(), (0..rows.len()).collect::<Vec<usize>>());
    let (train, validation) = divider.inner(&name, &all, &mut notes)?;
    if notes.is_empty() {
        notes.push(format!(
            "the largest subject, with {} of {} rows, is in the training set and not in the validation set",
            largest_subject(rows),
            rows.len()
        ));
    }
    Ok(divider.make_split(name, train, validation, Vec::new(), notes))
}

fn require_rows(rows: &[RowInfo], targets: &Targets) -> Result<(), EvaluateError> {
    if rows.len() != targets.len() {
        return Err(EvaluateError::Inconsistent(format!(
            "{} rows with {} targets",
            rows.len(),
            targets.len()
        )));
    }
    if rows.is_empty() {
        return Err(EvaluateError::TooFew("there are none left for this task".to_owned()));
    }
    Ok(())
}

/// A warning about uneven folds, where one has less than half or more than one and a half times its
/// equal part of the rows.
#[must_use]
pub fn uneven_folds(protocol: &Protocol, rows: &[RowInfo], splits: &[CvSplit]) -> Option<String> {
    let Protocol::KFold(folds) = protocol else { return None };
    let share = rows.len() as f64 / *folds as f64;
    let sizes = || splits.iter().map(|split| split.test.len());
    let (least, most) = (sizes().min()?, sizes().max()?);
    let uneven = 2.0 * (least as f64) < share || most as f64 > 1.5 * share;
    uneven.then(|| {
        format!(
            "The folds are of unlike size: they test from {least} to {most} rows, where an even fold \
             would test {share:.0}. The largest subject has {} of {} rows, and no subject is parted; \
             figures by fold weigh unlike numbers of rows.",
            largest_subject(rows),
            rows.len()
        )
    })
}

/// What rows are mixed by: the data set, and the class or the decade of life (of an age
/// range, of its middle).
fn strata(rows: &[RowInfo], targets: &Targets) -> Vec<usize> {
    let labels: Vec<usize> = match targets {
        Targets::Classes { indices, .. } => indices.clone(),
        Targets::Regression(ages) => {
            ages.iter().map(|age| (age.midpoint() / 10.0).max(0.0) as usize).collect()
        }
    };
    let of_set = labels.iter().max().map_or(0, |&last| last + 1);
    let sets = set_names(rows);
    let number = |row: &RowInfo| {
        let own = row.set.as_ref();
        sets.iter().position(|set| Some(*set) == own).unwrap_or_default()
    };
    rows.iter().zip(labels).map(|(row, label)| number(row) * of_set + label).collect()
}

/// Splits rows by subject, similar in size and strata.
pub(crate) struct Divider<'a> {
    rows: &'a [RowInfo],
    subjects: Vec<usize>,
    strata: Vec<usize>,
    seed: u64,
}

impl<'a> Divider<'a> {
    /// `targets` are one a row.
    pub(crate) fn new(rows: &'a [RowInfo], targets: &Targets, seed: u64) -> Self {
        Self { rows, subjects: subject_numbers(rows), strata: strata(rows, targets), seed }
    }

    /// The rows of each test set against all rows of the training split.
    fn stores(&self) -> Result<Vec<CvSplit>, EvaluateError> {
        let is = |row: usize, split| self.rows[row].split == Some(split);
        let mut splits = Vec::new();
        for set in set_names(self.rows) {
            let tested =
                |row: usize| is(row, Split::Test) && self.rows[row].set.as_ref() == Some(set);
            if (0..self.rows.len()).any(tested) {
                splits.push(self.across(set.to_string(), |row| is(row, Split::Train), tested)?);
            }
        }
        if splits.is_empty() {
            return Err(EvaluateError::TooFew(
                "no row of a data set to test on serves this task".to_owned(),
            ));
        }
        Ok(splits)
    }

    fn each_set_out(&self) -> Result<Vec<CvSplit>, EvaluateError> {
        let sets = set_names(self.rows);
        if sets.len() < 2 {
            let found = sets.first().map_or("one only".to_owned(), |set| format!("`{set}` only"));
            return Err(EvaluateError::TooFew(format!(
                "`leave-one-set-out` expects rows of at least two data sets, found those of {found}; \
                 give --store more than once"
            )));
        }
        sets.into_iter()
            .map(|set| {
                let own = |row: usize| self.rows[row].set.as_ref() == Some(set);
                self.across(set.to_string(), |row| !own(row), own)
            })
            .collect()
    }

    /// Trained on some rows and tested on others, apart from training rows of subjects that are
    /// tested on.
    pub(crate) fn across(
        &self,
        name: String,
        trained: impl Fn(usize) -> bool,
        tested: impl Fn(usize) -> bool,
    ) -> Result<CvSplit, EvaluateError> {
        let all = 0..self.rows.len();
        let test: Vec<usize> = all.clone().filter(|&row| tested(row)).collect();
        let met: BTreeSet<usize> = test.iter().map(|&row| self.subjects[row]).collect();
        let (left_out, rest): (Vec<usize>, Vec<usize>) =
            all.filter(|&row| trained(row)).partition(|&row| met.contains(&self.subjects[row]));
        if rest.is_empty() {
            return Err(EvaluateError::TooFew(format!(
                "no training rows are left for the test set `{name}`: expected subjects without a \
                 picture in it, found none among {} training rows",
                left_out.len()
            )));
        }
        let mut notes = Vec::new();
        if !left_out.is_empty() {
            notes.push(format!(
                "{} training rows are left out, as their subjects have a picture in the test set",
                left_out.len()
            ));
        }
        let (train, validation) = self.inner(&name, &rest, &mut notes)?;
        Ok(self.make_split(name, train, validation, test, notes))
    }

    fn folds(&self, protocol: Protocol) -> Result<Vec<CvSplit>, EvaluateError> {
        let folds = self.assigned(protocol, "fold", |row| row.fold)?;
        let leaks = subjects_across_folds(self.rows);
        if !leaks.is_empty() {
            return Err(EvaluateError::SharedSubjects { place: "fold", leaks });
        }
        let distinct: BTreeSet<Fold> = folds.iter().copied().collect();
        if distinct.len() < 2 {
            return Err(EvaluateError::TooFew(format!(
                "all rows are in fold {}; try `--protocol kfold:5`",
                folds[0]
            )));
        }
        distinct
            .into_iter()
            .map(|fold| self.tested_on(format!("fold {fold}"), |row| folds[row] == fold))
            .collect()
    }

    fn stratified_folds(&self, k: usize) -> Result<Vec<CvSplit>, EvaluateError> {
        let mut generator = seeded(self.seed, "kfold");
        let fold_of = stratified_group_k_fold(&self.subjects, &self.strata, k, &mut generator)
            .ok_or_else(|| {
                let found = self.subjects.iter().collect::<BTreeSet<_>>().len();
                EvaluateError::TooFew(format!(
                    "expected at least {k} subjects for {k} folds, found {found}"
                ))
            })?;
        (0..k)
            .map(|fold| self.tested_on(format!("fold {fold}"), |row| fold_of[row] == fold))
            .collect()
    }

    fn split(&self, protocol: Protocol) -> Result<Vec<CvSplit>, EvaluateError> {
        let splits = self.assigned(protocol, "split", |row| row.split)?;
        let leaks = subjects_across_splits(self.rows);
        if !leaks.is_empty() {
            return Err(EvaluateError::SharedSubjects { place: "split", leaks });
        }
        let of = |split: Split| -> Vec<usize> {
            (0..splits.len()).filter(|&row| splits[row] == split).collect()
        };
        let (train, validation, test) = (of(Split::Train), of(Split::Validation), of(Split::Test));
        let mut notes = Vec::new();
        // Sets such as FairFace publish training and validation rows only, and papers report on
        // the latter.
        let (train, validation, test) = match (validation.is_empty(), test.is_empty()) {
            (false, false) => (train, validation, test),
            (true, false) => {
                let (train, inner) = self.inner("test", &train, &mut notes)?;
                (train, inner, test)
            }
            (false, true) => {
                notes.push(
                    "tested on the published validation rows: there are no test rows".to_owned(),
                );
                let (train, inner) = self.inner("test", &train, &mut notes)?;
                (train, inner, validation)
            }
            (true, true) => {
                return Err(EvaluateError::TooFew(
                    "all rows are published as training rows; try `--protocol kfold:5`".to_owned(),
                ));
            }
        };
        if train.is_empty() {
            return Err(EvaluateError::TooFew("no row is published as a training row".to_owned()));
        }
        Ok(vec![self.make_split("test".to_owned(), train, validation, test, notes)])
    }

    fn random(&self, seed: u64) -> Result<CvSplit, EvaluateError> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.shuffle(&mut seeded(seed, "random80"));
        let tested = (order.len() as f64 * RANDOM_TEST_SHARE).round() as usize;
        if tested == 0 {
            return Err(EvaluateError::TooFew(format!(
                "{} rows leave none to test on",
                order.len()
            )));
        }
        let mut rest = order.split_off(tested);
        order.sort_unstable();
        rest.sort_unstable();
        let name = format!("random 80/20 of seed {seed}");
        let mut notes = Vec::new();
        let (train, validation) = self.inner(&name, &rest, &mut notes)?;
        let mut split = self.make_split(name, train, validation, order, notes);
        let shared = format!(
            "{} of {} test rows show a subject that also has training or validation rows",
            split.shared_test_rows,
            split.test.len()
        );
        split.notes.insert(0, shared);
        Ok(split)
    }

    fn assigned<T>(
        &self,
        protocol: Protocol,
        needed: &'static str,
        get: impl Fn(&RowInfo) -> Option<T>,
    ) -> Result<Vec<T>, EvaluateError> {
        let missing: Vec<&RowInfo> = self.rows.iter().filter(|row| get(row).is_none()).collect();
        match missing.first() {
            None => Ok(self.rows.iter().filter_map(get).collect()),
            Some(first) => Err(EvaluateError::Unassigned {
                protocol: protocol.to_string(),
                needed,
                missing: missing.len(),
                rows: self.rows.len(),
                path: first.path.to_string(),
            }),
        }
    }

    fn tested_on(
        &self,
        name: String,
        tested: impl Fn(usize) -> bool,
    ) -> Result<CvSplit, EvaluateError> {
        let (test, rest): (Vec<usize>, Vec<usize>) =
            (0..self.rows.len()).partition(|&row| tested(row));
        let mut notes = Vec::new();
        let (train, validation) = self.inner(&name, &rest, &mut notes)?;
        Ok(self.make_split(name, train, validation, test, notes))
    }

    /// Training and validation rows of some rows, and a note where subjects are too large for the
    /// share that validation should have.
    fn inner(
        &self,
        name: &str,
        rows: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<(Vec<usize>, Vec<usize>), EvaluateError> {
        let mut generator = seeded(self.seed, &format!("inner validation of {name}"));
        let divided = stratified_group_holdout(rows, &self.subjects, &self.strata, &mut generator);
        let (train, validation) = divided.ok_or_else(|| {
            EvaluateError::TooFew(format!(
                "split `{name}` has training rows of fewer than two subjects, so none can be \
                 kept for validation"
            ))
        })?;
        // Within a row of the bounds it is the count that does not divide, and no subject's size.
        let (taken, all) = (validation.len() as f64, rows.len() as f64);
        if taken > MOST * all + 1.0 || taken + 1.0 < LEAST * all {
            notes.push(format!(
                "validation takes {} of {} training rows and not an eighth, as subjects are not parted",
                validation.len(),
                rows.len()
            ));
        }
        Ok((train, validation))
    }

    fn make_split(
        &self,
        name: String,
        train: Vec<usize>,
        validation: Vec<usize>,
        test: Vec<usize>,
        notes: Vec<String>,
    ) -> CvSplit {
        let seen: BTreeSet<usize> =
            train.iter().chain(&validation).map(|&row| self.subjects[row]).collect();
        let shared_test_rows =
            test.iter().filter(|&&row| seen.contains(&self.subjects[row])).count();
        CvSplit { name, train, validation, test, shared_test_rows, notes }
    }
}
