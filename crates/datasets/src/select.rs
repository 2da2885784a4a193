//! Which samples serve a task, with which target, and why the others do not.
//!
//! Task by task: a sample without a gender still serves the age tasks. Works on samples alone,
//! wherever they come from, so that `cv` and `train` can call it on a store's samples.

use std::collections::{BTreeMap, BTreeSet};

use facefold_core::{
    AgeGroups, AgeLabel, AgeTarget, Gender, InvalidAgeTarget, Sample, Targets, Task,
};

use crate::error::DatasetError;
use crate::missing::known;
use crate::policy::{AgeLabelling, DropReason, LabelPolicy};

/// The samples that serve one task. `rows.len()` plus the sum of `dropped` is the number of
/// samples given.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Indices into the samples given, ascending.
    pub rows: Vec<usize>,
    /// The targets of `rows`, in the same order.
    pub targets: Targets,
    /// Names of the classes in the order of their indices; empty for years.
    pub class_names: Vec<String>,
    /// How many samples were left out, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
}

impl Selection {
    /// Number of samples left out.
    #[must_use]
    pub fn dropped_rows(&self) -> usize {
        self.dropped.values().sum()
    }

    /// What a reader must know where a fifth or more of the labels there are do not serve because
    /// of their form.
    #[must_use]
    pub fn unserving_labels(&self) -> Option<String> {
        let of_form = || self.dropped.iter().filter(|(reason, _)| reason.is_of_form());
        let dropped: usize = of_form().map(|(_, count)| count).sum();
        let labelled = self.rows.len() + dropped;
        let reasons: Vec<String> =
            of_form().map(|(reason, count)| format!("{count} {reason}")).collect();
        (dropped > 0 && 5 * dropped >= labelled).then(|| {
            format!(
                "{dropped} of {labelled} labelled rows do not serve because of their label's form: {}.",
                reasons.join(", ")
            )
        })
    }

    /// The selections of several sets as one; each with the set's name and its number of samples,
    /// which follow those of the sets before it. A set that has no row for the task adds none.
    ///
    /// # Errors
    /// [`DatasetError::OtherClasses`] where two sets with rows have other classes.
    pub fn concat(sets: Vec<(&str, usize, Self)>) -> Result<Self, DatasetError> {
        let mut all: Option<(&str, Self)> = None;
        let (mut first, mut dropped) = (0, BTreeMap::new());
        for (name, samples, mut set) in sets {
            for (reason, count) in std::mem::take(&mut set.dropped) {
                *dropped.entry(reason).or_insert(0) += count;
            }
            for row in &mut set.rows {
                *row += first;
            }
            first += samples;
            all = Some(match all {
                None => (name, set),
                Some(before) if set.rows.is_empty() => before,
                Some((_, before)) if before.rows.is_empty() => (name, set),
                Some((other, before)) => (other, before.and(other, name, set)?),
            });
        }
        let empty = || Self {
            rows: Vec::new(),
            targets: Targets::Classes { indices: Vec::new(), count: 0 },
            class_names: Vec::new(),
            dropped: BTreeMap::new(),
        };
        let (_, all_sets) = all.unwrap_or_else(|| ("", empty()));
        Ok(Self { dropped, ..all_sets })
    }

    /// These rows, then those of another set.
    fn and(mut self, name: &str, other_name: &str, other: Self) -> Result<Self, DatasetError> {
        let differ = |classes: &[String], others: &[String]| DatasetError::OtherClasses {
            set: name.to_owned(),
            classes: classes.join(", "),
            other: other_name.to_owned(),
            others: others.join(", "),
        };
        if self.class_names != other.class_names {
            return Err(differ(&self.class_names, &other.class_names));
        }
        let targets = self.targets.concat(&other.targets);
        self.targets = targets.map_err(|_| differ(&self.class_names, &other.class_names))?;
        self.rows.extend(other.rows);
        Ok(self)
    }
}

/// Selects the samples that serve `task`. `policy` and `groups` matter to
/// [`Task::AgeGroup`] only; a sample labelled with an age range serves [`Task::Age`] as that range.
///
/// All samples of a set belong into one call, also those that will be left out for other
/// reasons: they decide together whether the set is labelled in years ([`AgeLabelling::of`]) and
/// which classes there are.
///
/// ```
/// use facefold_core::{AgeGroups, Sample, Targets, Task};
/// use facefold_datasets::{LabelPolicy, select};
/// let sample = |age: &str| Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") };
/// let samples = [sample("(0, 2)"), sample("35"), sample("(60, 100)")];
/// let chosen = select(&samples, Task::AgeGroup, LabelPolicy::Exact, &AgeGroups::adience());
/// assert_eq!(chosen.rows, [0, 2]);
/// assert_eq!(chosen.targets, Targets::Classes { indices: vec![0, 7], count: 8 });
/// assert_eq!(chosen.dropped_rows(), 1);
/// ```
#[must_use]
pub fn select(
    samples: &[Sample],
    task: Task,
    policy: LabelPolicy,
    groups: &AgeGroups,
) -> Selection {
    match task {
        Task::Gender => {
            let names = Gender::ALL.map(|gender| gender.to_string()).to_vec();
            select_classes(samples, names, |sample| {
                sample.gender.map(Gender::index).ok_or(DropReason::NoGender)
            })
        }
        Task::AgeGroup => {
            let labelling = AgeLabelling::of(samples);
            select_classes(samples, groups.labels(), |sample| {
                policy.group(age_of(sample)?, labelling, groups)
            })
        }
        Task::Class => {
            let names: BTreeSet<&str> =
                samples.iter().filter_map(|sample| sample.class.as_deref()).collect();
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let indices: BTreeMap<String, usize> = names.iter().cloned().zip(0..).collect();
            select_classes(samples, names, |sample| {
                let class = sample.class.as_ref().ok_or(DropReason::NoClass)?;
                indices.get(class).copied().ok_or(DropReason::NoClass)
            })
        }
        Task::Age => {
            let (rows, ages, dropped) = partition(samples, |sample| {
                AgeTarget::try_from(age_of(sample)?).map_err(|reason| match reason {
                    InvalidAgeTarget::Unknown => DropReason::NoAge,
                    InvalidAgeTarget::Disordered | InvalidAgeTarget::AllYears => {
                        DropReason::NoRange
                    }
                })
            });
            Selection { rows, targets: Targets::Regression(ages), class_names: Vec::new(), dropped }
        }
    }
}

/// The age that a row gives.
fn age_of(sample: &Sample) -> Result<AgeLabel, DropReason> {
    let text = known(&sample.raw_age).ok_or(DropReason::NoAge)?;
    match AgeLabel::parse(text) {
        AgeLabel::Unknown => Err(DropReason::NotAnAge),
        age => Ok(age),
    }
}

fn select_classes(
    samples: &[Sample],
    class_names: Vec<String>,
    target: impl Fn(&Sample) -> Result<usize, DropReason>,
) -> Selection {
    let (rows, indices, dropped) = partition(samples, target);
    let targets = Targets::Classes { indices, count: class_names.len() };
    Selection { rows, targets, class_names, dropped }
}

/// Rows that serve, their targets, and counts of the rest by reason.
fn partition<T>(
    samples: &[Sample],
    target: impl Fn(&Sample) -> Result<T, DropReason>,
) -> (Vec<usize>, Vec<T>, BTreeMap<DropReason, usize>) {
    let (mut rows, mut targets, mut dropped) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (index, sample) in samples.iter().enumerate() {
        let outcome =
            if sample.label_conflict { Err(DropReason::LabelConflict) } else { target(sample) };
        match outcome {
            Ok(found) => {
                rows.push(index);
                targets.push(found);
            }
            Err(reason) => *dropped.entry(reason).or_insert(0) += 1,
        }
    }
    (rows, targets, dropped)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use facefold_core::{AgeGroups, Gender, Sample, Targets, Task};

    use super::{Selection, select};
    use crate::policy::{DropReason, LabelPolicy};

    fn samples() -> Vec<Sample> {
        let sample = |age: &str, gender, class: Option<&str>| Sample {
            raw_age: age.to_owned(),
            gender,
            class: class.map(str::to_owned),
            ..Sample::unlabelled("x.jpg")
        };
        let (f, m) = (Some(Gender::Female), Some(Gender::Male));
        let mut samples = vec![
            sample("(0, 2)", None, Some("zebra")),
            sample("(25, 32)", m, Some("ape")),
            sample("35", f, None),
            sample("None", f, Some("zebra")),
            sample("(8, 12)", m, Some("ape")),
        ];
        samples[4].label_conflict = true;
        samples
    }

    #[test]
    fn a_row_without_gender_is_used_for_age() {
        let groups = AgeGroups::adience();
        let gender = select(&samples(), Task::Gender, LabelPolicy::Exact, &groups);
        assert_eq!(gender.rows, [1, 2, 3]);
        assert_eq!(gender.targets, Targets::Classes { indices: vec![1, 0, 0], count: 2 });
        assert_eq!(gender.class_names, ["female", "male"]);
        let age = select(&samples(), Task::AgeGroup, LabelPolicy::Nearest, &groups);
        assert_eq!(age.rows, [0, 1, 2]);
        assert_eq!(age.targets, Targets::Classes { indices: vec![0, 4, 5], count: 8 });
        let dropped = BTreeMap::from([(DropReason::LabelConflict, 1), (DropReason::NoAge, 1)]);
        assert_eq!(age.dropped, dropped);
    }

    #[test]
    fn a_further_exact_age_leaves_every_range_where_it_was() {
        let groups = AgeGroups::adience();
        let mut ages = ["(0, 2)", "(25, 32)", "(60, 100)"]
            .map(|age| Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") })
            .to_vec();
        let ranges = |samples: &[Sample], task, policy| {
            let chosen = select(samples, task, policy, &groups);
            let of_ranges: Vec<usize> =
                (0..chosen.rows.len()).filter(|&at| chosen.rows[at] < 3).collect();
            chosen.targets.select(&of_ranges)
        };
        let cases: Vec<(Task, LabelPolicy)> = [Task::Age, Task::AgeGroup]
            .into_iter()
            .flat_map(|task| LabelPolicy::ALL.map(|policy| (task, policy)))
            .collect();
        let before: Vec<Targets> =
            cases.iter().map(|&(task, policy)| ranges(&ages, task, policy)).collect();
        for _ in 0..5 {
            ages.push(Sample { raw_age: "30".to_owned(), ..Sample::unlabelled("x.jpg") });
            for (&(task, policy), before) in cases.iter().zip(&before) {
                assert_eq!(&ranges(&ages, task, policy), before, "{task} {policy}");
            }
        }
    }

    #[test]
    fn years_and_classes() {
        let groups = AgeGroups::nine();
        let years = select(&samples(), Task::Age, LabelPolicy::Exact, &groups);
        let ages = ["0-2", "25-32", "35"].map(|age| age.parse().unwrap()).to_vec();
        assert_eq!((years.rows, years.targets), (vec![0, 1, 2], Targets::Regression(ages)));
        assert_eq!(years.dropped[&DropReason::NoAge], 1);
        let useless = ["(25, 23)", "2024-12", "1,5", "0-100", "N/A"]
            .map(|age| Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") });
        let years = select(&useless, Task::Age, LabelPolicy::Exact, &groups);
        let counts = BTreeMap::from([
            (DropReason::NoAge, 1),
            (DropReason::NotAnAge, 3),
            (DropReason::NoRange, 1),
        ]);
        assert_eq!((years.rows.len(), years.dropped), (0, counts));
        let class = select(&samples(), Task::Class, LabelPolicy::Exact, &groups);
        assert_eq!(class.class_names, ["ape", "zebra"]);
        assert_eq!(class.targets, Targets::Classes { indices: vec![1, 0, 1], count: 2 });
        assert_eq!(class.dropped[&DropReason::NoClass], 1);
    }

    #[test]
    fn many_unusable_labels_give_a_note() {
        let samples = |odd: usize| -> Vec<Sample> {
            let age = |row: usize| if row < odd { "18 months" } else { "30" };
            (0..20)
                .map(|row| Sample { raw_age: age(row).to_owned(), ..Sample::unlabelled("x.jpg") })
                .collect()
        };
        let said = |odd: usize| {
            let groups = AgeGroups::adience();
            select(&samples(odd), Task::Age, LabelPolicy::Exact, &groups).unserving_labels()
        };
        assert_eq!((said(0), said(3)), (None, None));
        assert!(said(4).unwrap().starts_with("4 of 20 labelled rows do not serve"));
        let unknown = vec![Sample::unlabelled("x.jpg"); 3];
        let chosen = select(&unknown, Task::Age, LabelPolicy::Exact, &AgeGroups::adience());
        assert_eq!(chosen.unserving_labels(), None, "a row without a label has no form");
    }

    #[test]
    fn every_sum_reconciles() {
        for task in [Task::Gender, Task::AgeGroup, Task::Age, Task::Class] {
            for policy in LabelPolicy::ALL {
                let chosen = select(&samples(), task, policy, &AgeGroups::adience());
                assert_eq!(chosen.rows.len() + chosen.dropped_rows(), 5, "{task} {policy}");
                assert_eq!(chosen.rows.len(), chosen.targets.len());
            }
        }
    }
    #[test]
    fn sets_of_the_same_classes_are_combined() {
        let groups = AgeGroups::adience();
        let of = |samples: &[Sample], task| select(samples, task, LabelPolicy::Exact, &groups);
        let (two, bare) = (samples(), vec![Sample::unlabelled("y.jpg"); 3]);
        let all_sets = Selection::concat(vec![
            ("one", bare.len(), of(&bare, Task::Gender)),
            ("two", two.len(), of(&two, Task::Gender)),
            ("three", two.len(), of(&two, Task::Gender)),
        ])
        .unwrap();
        assert_eq!(all_sets.rows, [4, 5, 6, 9, 10, 11]);
        assert_eq!(all_sets.targets.len(), 6);
        assert_eq!(all_sets.rows.len() + all_sets.dropped_rows(), 13);

        let named = |class: &str| {
            let mut samples = samples();
            samples[0].class = Some(class.to_owned());
            of(&samples, Task::Class)
        };
        let sets = |class| vec![("one", 5, named("zebra")), ("two", 5, named(class))];
        assert_eq!(Selection::concat(sets("zebra")).unwrap().rows.len(), 6);
        let error = Selection::concat(sets("yak")).unwrap_err().to_string();
        assert!(error.contains("`one` has the classes ape, zebra"), "{error}");
        assert!(error.contains("`two` has ape, yak, zebra"), "{error}");
    }
}
