//! What every protocol must keep to.

use std::collections::BTreeSet;

use facefold_core::{Fold, Split, SubjectId, Targets};
use facefold_evaluate::{
    CvSplit, EvaluateError, Protocol, RowInfo, plan, plan_training, uneven_folds,
};
use proptest::prelude::*;

use crate::heads::people;

fn row(number: usize, subject: Option<&str>, fold: u16, split: Option<Split>) -> RowInfo {
    RowInfo {
        path: format!("{number}.jpg").into(),
        subject: subject.map(SubjectId::new),
        fold: Some(Fold(fold)),
        split,
        set: None,
    }
}

fn subjects<'a>(rows: &'a [RowInfo], part: &[usize]) -> BTreeSet<&'a str> {
    part.iter().map(|&row| rows[row].subject_name()).collect()
}

fn covers_all(split: &CvSplit, n: usize) {
    let all: BTreeSet<usize> =
        [&split.train, &split.validation, &split.test].into_iter().flatten().copied().collect();
    let listed = split.train.len() + split.validation.len() + split.test.len();
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
    let splits = plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap();
    assert_eq!(splits.len(), 5);
    for (fold, split) in splits.iter().enumerate() {
        assert_eq!(split.name, format!("fold {fold}"));
        covers_all(split, people.rows.len());
        assert!(split.test.iter().all(|&row| people.rows[row].fold == Some(Fold(fold as u16))));
        let train = subjects(&people.rows, &split.train);
        let validation = subjects(&people.rows, &split.validation);
        assert!(train.is_disjoint(&validation));
        let share =
            split.validation.len() as f64 / (split.train.len() + split.validation.len()) as f64;
        assert!((0.10..=0.15).contains(&share), "{share}");
        assert_eq!(split.shared_test_rows, 0);
    }
    assert_eq!(splits, plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap());
    assert_ne!(splits, plan(&Protocol::Folds, &people.rows, &people.targets, 8).unwrap());
}

#[test]
fn a_subject_in_two_folds_or_splits_is_an_error_with_its_name() {
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
fn rows_without_a_fold_are_an_error() {
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
    let [split] = &plan(&Protocol::Split, &rows, &targets, 7).unwrap()[..] else { panic!() };
    covers_all(split, 100);
    assert!(split.validation.iter().all(|row| row % 10 == 2));
    assert!(split.test.iter().all(|row| row % 10 < 2));

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
    let [split] = &plan(&Protocol::Split, &rows, &targets, 7).unwrap()[..] else { panic!() };
    assert!(split.test.iter().all(|row| row % 10 == 2));
    assert!(split.notes[0].contains("published validation rows"));
    assert!((9..=14).contains(&split.validation.len()), "{}", split.validation.len());
}

#[test]
fn random80_counts_the_test_rows_it_leaks() {
    let people = people(60, 5, 1);
    let [split] = &plan(&Protocol::Random80(1), &people.rows, &people.targets, 7).unwrap()[..]
    else {
        panic!()
    };
    covers_all(split, 300);
    assert_eq!(split.test.len(), 60);
    let seen = {
        let mut seen = subjects(&people.rows, &split.train);
        let validation = subjects(&people.rows, &split.validation);
        assert!(seen.is_disjoint(&validation), "inner validation stays exclusive by subject");
        seen.extend(validation);
        seen
    };
    let shared =
        split.test.iter().filter(|&&row| seen.contains(people.rows[row].subject_name())).count();
    assert_eq!(split.shared_test_rows, shared);
    assert!(split.notes[0].starts_with(&format!("{shared} of 60 test rows")));
}

#[test]
fn random80_seeds_each_split_separately() {
    let people = people(60, 5, 1);
    let tested = |times: usize, seed: u64| -> Vec<Vec<usize>> {
        let splits = plan(&Protocol::Random80(times), &people.rows, &people.targets, seed);
        splits.unwrap().into_iter().map(|split| split.test).collect()
    };
    let divisions = tested(3, 7);
    assert_eq!(divisions.len(), 3);
    assert!(divisions[0] != divisions[1] && divisions[1] != divisions[2]);
    for (division, seed) in divisions.into_iter().zip(7..) {
        assert_eq!(tested(1, seed), [division]);
    }
}

#[test]
fn one_subject_cannot_be_split() {
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
fn a_subject_larger_than_an_eighth_is_in_the_training_set() {
    for largest in [12, 24, 36, 50] {
        let (rows, targets) = album(largest);
        let held_out = |seed: u64| {
            let split = plan_training(&rows, &targets, seed).unwrap();
            covers_all(&split, 60);
            assert!(subjects(&rows, &split.train).contains("me"), "{largest}, seed {seed}");
            assert!((6..=9).contains(&split.validation.len()), "{:?}", split.validation);
            assert!(split.notes[0].contains(&format!("{largest} of 60 rows")));
            split.validation
        };
        assert_eq!(held_out(1), held_out(1));
        assert_ne!(held_out(1), held_out(2));
    }
    // Where subjects are small, validation is the first of eight folds.
    let people = people(60, 5, 1);
    let split = plan_training(&people.rows, &people.targets, 7).unwrap();
    let folds = plan(&Protocol::KFold(8), &people.rows, &people.targets, 7).unwrap();
    assert_eq!(split.validation, folds[0].test);
    assert_eq!(split.train, [&folds[0].train[..], &folds[0].validation].concat());
    assert!(split.notes.is_empty() && split.test.is_empty());
    // Of two subjects one must be kept: the smaller, and that is said.
    let two: Vec<RowInfo> = (0..60)
        .map(|number| row(number, Some(["a", "b"][usize::from(number < 20)]), 0, None))
        .collect();
    let split = plan_training(&two, &album(1).1, 1).unwrap();
    assert_eq!(split.validation.len(), 20);
    assert!(split.notes[0].contains("20 of 60 training rows"), "{:?}", split.notes);
}

#[test]
fn uneven_folds_give_a_warning() {
    let protocol = Protocol::KFold(5);
    let said = |largest: usize| {
        let (rows, targets) = album(largest);
        let splits = plan(&protocol, &rows, &targets, 7).unwrap();
        for split in &splits {
            let share = split.validation.len() as f64 / (60 - split.test.len()) as f64;
            assert!(share < 0.2 || split.train.len() < 30, "{share}");
        }
        uneven_folds(&protocol, &rows, &splits)
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
        let splits = plan(&Protocol::KFold(k), &rows, &targets, seed).unwrap();
        prop_assert_eq!(splits.len(), k);
        let mut tested = BTreeSet::new();
        for split in &splits {
            covers_all(split, rows.len());
            let parts = [&split.train, &split.validation, &split.test]
                .map(|part| subjects(&rows, part));
            prop_assert!(parts[0].is_disjoint(&parts[1]));
            prop_assert!(parts[0].is_disjoint(&parts[2]));
            prop_assert!(parts[1].is_disjoint(&parts[2]));
            prop_assert!(!split.train.is_empty() && !split.validation.is_empty());
            tested.extend(split.test.iter().copied());
        }
        prop_assert_eq!(tested.len(), rows.len());
    }
}

#[test]
fn kfold_folds_are_similar_in_size_and_labels() {
    let people = people(200, 6, 3);
    let Targets::Classes { indices, .. } = &people.targets else { panic!() };
    let ones = |rows: &[usize]| rows.iter().map(|&row| indices[row]).sum::<usize>() as f64;
    let all: Vec<usize> = (0..indices.len()).collect();
    let share = ones(&all) / all.len() as f64;
    for split in plan(&Protocol::KFold(5), &people.rows, &people.targets, 7).unwrap() {
        assert_eq!(split.test.len(), 240);
        for part in [&split.test, &split.validation] {
            let own = ones(part) / part.len() as f64;
            assert!((own - share).abs() < 0.03, "{own} against {share}");
        }
    }
}
