//! What every protocol must keep to.

use std::collections::BTreeSet;

use facefold_core::{Fold, Split, SubjectId, Targets};
use facefold_evaluate::{
    EvaluateError, Partition, Protocol, RowInfo, plan, plan_training, uneven_folds,
};
use proptest::prelude::*;

use crate::heads::people;

fn row(number: usize, subject: Option<&str>, fold: u16, split: Option<Split>) -> RowInfo {
    RowInfo {
        path: format!("{number}.jpg"),
        subject: subject.map(SubjectId::new),
        fold: Some(Fold(fold)),
        split,
        set: None,
    }
}

fn subjects<'a>(rows: &'a [RowInfo], part: &[usize]) -> BTreeSet<&'a str> {
    part.iter().map(|&row| rows[row].subject_name()).collect()
}

fn covers_all(partition: &Partition, n: usize) {
    let all: BTreeSet<usize> = [&partition.train, &partition.validation, &partition.test]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let listed = partition.train.len() + partition.validation.len() + partition.test.len();
    assert_eq!((all.len(), listed), (n, n), "each row stands in one part");
}

#[test]
fn names_parse_and_print() {
    for text in
        ["folds", "kfold:5", "split", "stores", "leave-one-set-out", "random80", "random80:3"]
    {
        assert_eq!(text.parse::<Protocol>().unwrap().to_string(), text);
        let json = serde_json::to_string(&text.parse::<Protocol>().unwrap()).unwrap();
        assert_eq!(json, format!("\"{text}\""));
    }
    for text in ["", "kfold", "kfold:1", "kfold:x", "loo"] {
        let message = text.parse::<Protocol>().unwrap_err().to_string();
        assert!(message.contains(&format!("found `{text}`")), "{message}");
    }
}

#[test]
fn published_folds_are_tested_once_each() {
    let people = people(60, 5, 1);
    let partitions = plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap();
    assert_eq!(partitions.len(), 5);
    for (fold, partition) in partitions.iter().enumerate() {
        assert_eq!(partition.name, format!("fold {fold}"));
        covers_all(partition, people.rows.len());
        assert!(partition.test.iter().all(|&row| people.rows[row].fold == Some(Fold(fold as u16))));
        let train = subjects(&people.rows, &partition.train);
        let validation = subjects(&people.rows, &partition.validation);
        assert!(train.is_disjoint(&validation));
        let share = partition.validation.len() as f64
            / (partition.train.len() + partition.validation.len()) as f64;
        assert!((0.10..=0.15).contains(&share), "{share}");
        assert_eq!(partition.shared_test_rows, 0);
    }
    assert_eq!(partitions, plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap());
    assert_ne!(partitions, plan(&Protocol::Folds, &people.rows, &people.targets, 8).unwrap());
}

#[test]
fn a_subject_in_two_folds_or_splits_is_refused_by_name() {
    let mut people = people(20, 3, 1);
    people.rows[4].fold = Some(Fold(3));
    let message = plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap_err().to_string();
    assert!(message.contains("1 subject is in more than one fold"), "{message}");
    assert!(message.contains("`person 1` in fold 1, fold 3"), "{message}");

    let rows: Vec<RowInfo> = [Split::Train, Split::Test, Split::Train]
        .into_iter()
        .enumerate()
        .map(|(number, split)| row(number, Some(["a", "a", "b"][number]), 0, Some(split)))
        .collect();
    let error = plan(&Protocol::Split, &rows, &Targets::exact_years(vec![1.0; 3]), 7).unwrap_err();
    assert!(error.to_string().contains("`a` in train, test"), "{error}");
    assert!(
        matches!(error, EvaluateError::SharedSubjects { place: "split", leaks } if leaks.len() == 1)
    );
}

#[test]
fn rows_without_a_fold_are_named() {
    let mut people = people(20, 3, 1);
    people.rows[5].fold = None;
    let message = plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap_err().to_string();
    assert!(message.contains("1 of 60 rows have none, the first of them `1/2.jpg`"), "{message}");
    assert!(plan(&Protocol::Split, &people.rows, &people.targets, 7).is_err());
}

#[test]
fn a_published_split_is_used_as_it_is() {
    let split = |number: usize| match number % 10 {
        0 | 1 => Split::Test,
        2 => Split::Validation,
        _ => Split::Train,
    };
    let rows: Vec<RowInfo> =
        (0..100).map(|number| row(number, None, 0, Some(split(number)))).collect();
    let targets = Targets::exact_years((0..100).map(|age| age as f32).collect());
    let [partition] = &plan(&Protocol::Split, &rows, &targets, 7).unwrap()[..] else { panic!() };
    covers_all(partition, 100);
    assert!(partition.validation.iter().all(|row| row % 10 == 2));
    assert!(partition.test.iter().all(|row| row % 10 < 2));

    // Without published test rows the validation rows are reported on, and that is said.
    let rows: Vec<RowInfo> = rows
        .into_iter()
        .map(|mut row| {
            if row.split == Some(Split::Test) {
                row.split = Some(Split::Train);
            }
            row
        })
        .collect();
    let [partition] = &plan(&Protocol::Split, &rows, &targets, 7).unwrap()[..] else { panic!() };
    assert!(partition.test.iter().all(|row| row % 10 == 2));
    assert!(partition.notes[0].contains("published validation rows"));
    assert!((9..=14).contains(&partition.validation.len()), "{}", partition.validation.len());
}

#[test]
fn random80_counts_the_test_rows_it_leaks() {
    let people = people(60, 5, 1);
    let [partition] = &plan(&Protocol::Random80(1), &people.rows, &people.targets, 7).unwrap()[..]
    else {
        panic!()
    };
    covers_all(partition, 300);
    assert_eq!(partition.test.len(), 60);
    let seen = {
        let mut seen = subjects(&people.rows, &partition.train);
        let validation = subjects(&people.rows, &partition.validation);
        assert!(seen.is_disjoint(&validation), "inner validation stays exclusive by subject");
        seen.extend(validation);
        seen
    };
    let shared = partition
        .test
        .iter()
        .filter(|&&row| seen.contains(people.rows[row].subject_name()))
        .count();
    assert_eq!(partition.shared_test_rows, shared);
    assert!(partition.notes[0].starts_with(&format!("{shared} of 60 test rows")));
}

#[test]
fn random80_draws_each_division_from_a_seed_of_its_own() {
    let people = people(60, 5, 1);
    let tested = |times: usize, seed: u64| -> Vec<Vec<usize>> {
        let partitions = plan(&Protocol::Random80(times), &people.rows, &people.targets, seed);
        partitions.unwrap().into_iter().map(|partition| partition.test).collect()
    };
    let divisions = tested(3, 7);
    assert_eq!(divisions.len(), 3);
    assert!(divisions[0] != divisions[1] && divisions[1] != divisions[2]);
    for (division, seed) in divisions.into_iter().zip(7..) {
        assert_eq!(tested(1, seed), [division]);
    }
}

#[test]
fn one_subject_cannot_be_divided() {
    let people = people(1, 20, 1);
    for protocol in [Protocol::KFold(2), Protocol::Random80(2)] {
        let error = plan(&protocol, &people.rows, &people.targets, 7).unwrap_err();
        assert!(matches!(error, EvaluateError::TooFew(_)), "{error}");
    }
}

/// One subject with so many rows of 60, all others with one.
fn album(largest: usize) -> (Vec<RowInfo>, Targets) {
    let rows = (0..60).map(|number| {
        let name = if number < largest { "me".to_owned() } else { format!("s{number}") };
        row(number, Some(&name), 0, None)
    });
    let targets = Targets::Classes { indices: (0..60).map(|row| row % 2).collect(), count: 2 };
    (rows.collect(), targets)
}

#[test]
fn a_subject_that_is_larger_than_an_eighth_is_trained_on() {
    for largest in [12, 24, 36, 50] {
        let (rows, targets) = album(largest);
        let held_out = |seed: u64| {
            let partition = plan_training(&rows, &targets, seed).unwrap();
            covers_all(&partition, 60);
            assert!(subjects(&rows, &partition.train).contains("me"), "{largest}, seed {seed}");
            assert!((6..=9).contains(&partition.validation.len()), "{:?}", partition.validation);
            assert!(partition.notes[0].contains(&format!("{largest} of 60 rows")));
            partition.validation
        };
        assert_eq!(held_out(1), held_out(1));
        assert_ne!(held_out(1), held_out(2));
    }
    // Where subjects are small, validation is the first of eight folds.
    let people = people(60, 5, 1);
    let partition = plan_training(&people.rows, &people.targets, 7).unwrap();
    let folds = plan(&Protocol::KFold(8), &people.rows, &people.targets, 7).unwrap();
    assert_eq!(partition.validation, folds[0].test);
    assert_eq!(partition.train, [&folds[0].train[..], &folds[0].validation].concat());
    assert!(partition.notes.is_empty() && partition.test.is_empty());
    // Of two subjects one must be kept: the smaller, and that is said.
    let two: Vec<RowInfo> = (0..60)
        .map(|number| row(number, Some(["a", "b"][usize::from(number < 20)]), 0, None))
        .collect();
    let partition = plan_training(&two, &album(1).1, 1).unwrap();
    assert_eq!(partition.validation.len(), 20);
    assert!(partition.notes[0].contains("20 of 60 training rows"), "{:?}", partition.notes);
}

#[test]
fn folds_of_unlike_size_are_said_to_be_so() {
    let protocol = Protocol::KFold(5);
    let said = |largest: usize| {
        let (rows, targets) = album(largest);
        let partitions = plan(&protocol, &rows, &targets, 7).unwrap();
        for partition in &partitions {
            let share = partition.validation.len() as f64 / (60 - partition.test.len()) as f64;
            assert!(share < 0.2 || partition.train.len() < 30, "{share}");
        }
        uneven_folds(&protocol, &rows, &partitions)
    };
    assert_eq!(said(1), None);
    assert_eq!(said(14), None);
    let note = said(36).unwrap();
    assert!(note.contains("from 6 to 36 rows") && note.contains("36 of 60 rows"), "{note}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the subjects' sizes and labels, no two parts share a subject and no row is lost.
    #[test]
    fn dealt_folds_never_share_a_subject(
        owners in prop::collection::vec((0_usize..40, 0_usize..4), 60..200),
        k in 2_usize..6,
        seed in 0_u64..1000,
    ) {
        let rows: Vec<RowInfo> = owners
            .iter()
            .enumerate()
            .map(|(number, (owner, _))| {
                // Owner 0 stands for rows whose subject is not known.
                let name = format!("s{owner}");
                row(number, (*owner > 0).then_some(name.as_str()), 0, None)
            })
            .collect();
        let targets = Targets::Classes { indices: owners.iter().map(|pair| pair.1).collect(), count: 4 };
        let partitions = plan(&Protocol::KFold(k), &rows, &targets, seed).unwrap();
        prop_assert_eq!(partitions.len(), k);
        let mut tested = BTreeSet::new();
        for partition in &partitions {
            covers_all(partition, rows.len());
            let parts = [&partition.train, &partition.validation, &partition.test]
                .map(|part| subjects(&rows, part));
            prop_assert!(parts[0].is_disjoint(&parts[1]));
            prop_assert!(parts[0].is_disjoint(&parts[2]));
            prop_assert!(parts[1].is_disjoint(&parts[2]));
            prop_assert!(!partition.train.is_empty() && !partition.validation.is_empty());
            tested.extend(partition.test.iter().copied());
        }
        prop_assert_eq!(tested.len(), rows.len());
    }
}

#[test]
fn dealt_folds_are_alike_in_size_and_labels() {
    let people = people(200, 6, 3);
    let Targets::Classes { indices, .. } = &people.targets else { panic!() };
    let ones = |rows: &[usize]| rows.iter().map(|&row| indices[row]).sum::<usize>() as f64;
    let all: Vec<usize> = (0..indices.len()).collect();
    let share = ones(&all) / all.len() as f64;
    for partition in plan(&Protocol::KFold(5), &people.rows, &people.targets, 7).unwrap() {
        assert_eq!(partition.test.len(), 240);
        for part in [&partition.test, &partition.validation] {
            let own = ones(part) / part.len() as f64;
            assert!((own - share).abs() < 0.03, "{own} against {share}");
        }
    }
}
