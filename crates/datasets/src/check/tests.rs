//! Checks of made-up sets with known faults, and of the official Adience lists.

use std::path::Path;

use facefold_core::{Fold, Gender, Sample, Split, SubjectId, Task};

use super::{CheckOptions, check};
use crate::dataset::{Dataset, DatasetKind, LoadOptions, SkipReason, load};
use crate::deduplication::Deduplication;
use crate::policy::{DropReason, LabelPolicy};
use facefold_testing::{Need, given};

fn sample(path: &str, subject: &str, fold: u16, age: &str, gender: Option<Gender>) -> Sample {
    Sample {
        raw_age: age.to_owned(),
        gender,
        subject: Some(SubjectId::new(subject)),
        fold: Some(Fold(fold)),
        ..Sample::unlabelled(path)
    }
}

fn made_up() -> Dataset {
    let (f, m) = (Some(Gender::Female), Some(Gender::Male));
    let mut dataset = Dataset::new(DatasetKind::Manifest, Path::new("pictures"));
    let mut keys = Deduplication::default();
    for row in [
        sample("1.jpg", "ann", 0, "(0, 2)", f),
        sample("2.jpg", "ann", 0, "(4, 6)", f),
        sample("2.jpg", "ann", 0, "(4, 6)", f),
        sample("3.jpg", "bob", 2, "35", m),
        sample("4.jpg", "eve", 2, "None", None),
        sample("5.jpg", "eve", 2, "(0, 2)", None),
        sample("5.jpg", "eve", 2, "(4, 6)", None),
    ] {
        let key = row.path.display().to_string();
        keys.add(&mut dataset, key, row, "as written");
    }
    dataset.drop_row("6.jpg", SkipReason::ImpossibleAge);
    dataset.add_unlabelled(Sample::unlabelled("7.jpg"));
    dataset
}

#[test]
fn every_count_adds_up() {
    let found = check(&made_up(), &CheckOptions::default());
    assert_eq!((found.rows, found.duplicates, found.distinct), (8, 2, 5));
    assert_eq!(
        found.rows,
        found.duplicates + found.distinct + found.dropped_rows.values().sum::<usize>()
    );
    assert_eq!(found.samples, found.distinct + found.unlabelled);
    assert_eq!(found.label_conflicts, 1);
    assert_eq!(
        (found.folds.as_slice(), found.distinct_per_fold.as_slice()),
        ([Fold(0), Fold(2)].as_slice(), [2, 3].as_slice())
    );
    for task in &found.tasks {
        assert_eq!(task.used + task.dropped.values().sum::<usize>(), found.samples, "{task:?}");
    }
    for histogram in [&found.histograms.age, &found.histograms.gender] {
        assert_eq!(histogram.total(), found.samples);
    }
    let used: Vec<usize> = found.tasks.iter().map(|task| task.used).collect();
    assert_eq!(used, [3, 2, 3, 3, 3], "gender, three policies, years and ranges of them");
    assert_eq!(found.tasks[0].dropped[&DropReason::NoGender], 2);
    let remap = found.age_groups.iter().find(|count| count.policy == LabelPolicy::Remap).unwrap();
    assert_eq!(
        (remap.groups[4].label.as_str(), remap.groups[4].per_fold.as_slice()),
        ("25-32", [0, 1].as_slice())
    );
    assert_eq!((found.subjects, found.subjects_per_fold.as_slice()), (3, [1, 2].as_slice()));
    assert!(found.errors().is_empty());
}

#[test]
fn a_subject_in_two_folds_or_splits_is_an_error() {
    let mut dataset = made_up();
    dataset.samples[1].fold = Some(Fold(2));
    let found = check(&dataset, &CheckOptions::default());
    assert_eq!(found.leaking_subjects, 1);
    assert_eq!(found.leaks[0].subject.as_str(), "ann");
    let errors = found.errors();
    assert!(errors[0].starts_with("1 subject is in more than one fold or split"), "{errors:?}");
    assert!(found.to_string().contains("leak: `ann` is in 0, 2"));

    let mut dataset = made_up();
    dataset.samples[0].split = Some(Split::Train);
    dataset.samples[1].split = Some(Split::Test);
    assert_eq!(check(&dataset, &CheckOptions::default()).leaking_subjects, 1);
}

#[test]
fn missing_pictures_are_counted_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut dataset = made_up();
    dataset.root = directory.path().to_owned();
    fs_err::write(directory.path().join("1.jpg"), b"").unwrap();
    assert_eq!(check(&dataset, &CheckOptions::default()).images, None);
    let found = check(&dataset, &CheckOptions { images: true, ..CheckOptions::default() });
    let images = found.images.clone().unwrap();
    assert_eq!((images.present, images.missing), (1, 5));
    assert!(found.errors()[0].contains("5 pictures are not there, for instance `2.jpg`"));
}

#[test]
fn json_holds_plain_integers() {
    let found = check(&made_up(), &CheckOptions::default());
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["rows"], 8);
    assert_eq!(json["distinct"], 5);
    assert_eq!(json["distinct_per_fold"], serde_json::json!([2, 3]));
    assert_eq!(json["tasks"][1]["dropped"]["not-a-group"], 1);
    assert_eq!(json["dropped_rows"]["impossible-age"], 1);
    assert_eq!(json["age_groups"][0]["policy"], "exact");
}

#[test]
fn the_official_lists_are_valid() {
    let Some(folder) = given(Need::Data) else { return };
    let root = folder.join("adience");
    let dataset = load(DatasetKind::Adience, &root, &LoadOptions::default()).unwrap();
    let found = check(&dataset, &CheckOptions::default());
    assert_eq!((found.rows, found.distinct), (19_487, 19_370));
    assert_eq!(found.distinct_per_fold, [4484, 3730, 3894, 3446, 3816]);
    assert_eq!(found.subjects_per_fold, [34, 34, 34, 33, 33]);
    assert_eq!(found.leaking_subjects, 0);
    assert!(found.errors().is_empty());
    let exact: Vec<usize> = found.age_groups[0].groups.iter().map(|group| group.total).collect();
    assert_eq!(exact, [2488, 2140, 2124, 1642, 4932, 2293, 830, 872]);
    for task in &found.tasks {
        assert_eq!(task.used + task.dropped.values().sum::<usize>(), 19_370, "{task:?}");
    }
    let gender = found.tasks.iter().find(|count| count.task == Task::Gender).unwrap();
    assert_eq!((gender.used, gender.dropped[&DropReason::NoGender]), (17_492, 1_878));
}
