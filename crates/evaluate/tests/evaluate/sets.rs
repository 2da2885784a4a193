//! Protocols over several data sets, and the matrix of training and test sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use facefold_core::{FeatureMatrix, Fold, Split, SubjectId, Targets, Task};
use facefold_evaluate::{
    AuxiliaryLabels, CellOutcome, CvPlan, CvRun, CvSplit, DirectoryJournal, EvaluateError, Journal,
    MatrixPlan, MatrixResult, MeasuredCell, Metric, NoJournal, Protocol, RowInfo, SetName,
    TrainedOn, cross_validate, matrix, plan, plan_matrix,
};

use ndarray::Array2;

use crate::heads::{Nearest, People, people};

const SETS: [&str; 3] = ["large", "small", "bare"];

fn name(set: &str) -> SetName {
    SetName::new(set)
}

/// 48 people of `large` with folds, 10 of `small` and 2 of `bare` without; person 50 of `small`
/// has its first picture in `large`.
fn sets() -> People {
    let mut people = people(60, 4, 1);
    for (number, row) in people.rows.iter_mut().enumerate() {
        let set = match number / 4 {
            0..48 => 0,
            48..58 => usize::from(number != 200),
            _ => 2,
        };
        row.set = Some(name(SETS[set]));
        row.fold = row.fold.filter(|_| number < 192);
    }
    people
}

fn of_set(rows: &[RowInfo], set: &str) -> BTreeSet<usize> {
    (0..rows.len()).filter(|&row| rows[row].set == Some(name(set))).collect()
}

fn subjects<'a>(rows: &'a [RowInfo], part: &[usize]) -> BTreeSet<&'a str> {
    part.iter().map(|&row| rows[row].subject_name()).collect()
}

fn shares_no_subject(rows: &[RowInfo], split: &CvSplit) {
    let parts = [&split.train, &split.validation, &split.test].map(|part| subjects(rows, part));
    assert!(parts[0].is_disjoint(&parts[1]), "{}", split.name);
    assert!(parts[0].is_disjoint(&parts[2]), "{}", split.name);
    assert!(parts[1].is_disjoint(&parts[2]), "{}", split.name);
    assert_eq!(split.shared_test_rows, 0);
}

#[test]
fn leave_one_set_out_tests_each_set_by_heads_of_the_others() {
    let people = sets();
    let splits = plan(&Protocol::LeaveOneSetOut, &people.rows, &people.targets, 7).unwrap();
    let names: Vec<&str> = splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!(names, SETS);
    for (split, set) in splits.iter().zip(SETS) {
        let own = of_set(&people.rows, set);
        assert_eq!(split.test, own.iter().copied().collect::<Vec<_>>());
        shares_no_subject(&people.rows, split);
        let trained = split.train.len() + split.validation.len();
        // Person 50 stands in both `large` and `small`, and serves neither's training.
        let left_out = match set {
            "large" => 3,
            "small" => 1,
            _ => 0,
        };
        assert_eq!(trained, people.rows.len() - own.len() - left_out, "{set}");
        let expected: Vec<String> = (left_out > 0)
            .then(|| {
                format!(
                    "{left_out} training rows are left out, as their subjects have a picture in the test set"
                )
            })
            .into_iter()
            .collect();
        assert_eq!(split.notes, expected);
    }
}

#[test]
fn one_set_cannot_be_left_out_alone() {
    let mut people = people(20, 3, 1);
    for named in [false, true] {
        people.rows.iter_mut().for_each(|row| row.set = named.then(|| name("only")));
        let error = plan(&Protocol::LeaveOneSetOut, &people.rows, &people.targets, 7).unwrap_err();
        assert!(error.to_string().contains("at least two data sets"), "{error}");
    }
}

#[test]
fn every_test_set_is_tested_by_the_same_training_sets() {
    let mut people = sets();
    for row in &mut people.rows {
        let trained = row.set == Some(name("large"));
        row.split = Some(if trained { Split::Train } else { Split::Test });
    }
    let splits = plan(&Protocol::Stores, &people.rows, &people.targets, 7).unwrap();
    let names: Vec<&str> = splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!(names, ["small", "bare"]);
    let large = of_set(&people.rows, "large");
    for split in &splits {
        shares_no_subject(&people.rows, split);
        assert!(split.train.iter().chain(&split.validation).all(|row| large.contains(row)));
    }
    // All subjects of `large` are in `small`: no rows are left.
    for row in &mut people.rows {
        row.subject = Some(SubjectId::new("the same"));
    }
    let error = plan(&Protocol::Stores, &people.rows, &people.targets, 7).unwrap_err();
    assert!(error.to_string().contains("no training rows are left for the test set `small`"));
    assert!(matches!(error, EvaluateError::TooFew(_)));
}

#[test]
fn folds_and_validation_rows_are_stratified_by_set() {
    let mut people = people(200, 3, 2);
    for (number, row) in people.rows.iter_mut().enumerate() {
        row.set = Some(name(if number / 3 % 5 == 0 { "small" } else { "large" }));
    }
    let small = of_set(&people.rows, "small");
    let splits = plan(&Protocol::KFold(5), &people.rows, &people.targets, 7).unwrap();
    for split in &splits {
        shares_no_subject(&people.rows, split);
        for (part, share) in [(&split.test, 0.2), (&split.validation, 0.1)] {
            let found = part.iter().filter(|row| small.contains(row)).count() as f64;
            let wanted = 0.2 * part.len() as f64;
            assert!((found - wanted).abs() <= share * wanted + 1.5, "{found} of {}", part.len());
        }
    }
}

fn plan_of<'a>(people: &'a People, heads: &'static [AtomicUsize]) -> (CvPlan<'a>, MatrixPlan) {
    let names = SETS.map(name);
    let planned = plan_matrix(&names, &people.rows, &people.targets, 7).unwrap();
    let classes = match people.targets {
        Targets::Classes { .. } => vec!["female".to_owned(), "male".to_owned()],
        Targets::Regression(_) => Vec::new(),
    };
    let plan = CvPlan {
        task: if classes.is_empty() { Task::Age } else { Task::Gender },
        classes,
        matrix: &people.matrix,
        matrix_rows: (0..people.rows.len()).collect(),
        targets: people.targets.clone(),
        auxiliary_labels: AuxiliaryLabels::default(),
        rows: people.rows.clone().into(),
        protocol: Protocol::LeaveOneSetOut,
        splits: planned.splits.clone(),
        heads: vec![Box::new(Nearest { fits: heads })],
        seed: 7,
        seeds: vec![1],
        thresholds: None,
        stamp: "fingerprint".to_owned(),
    };
    (plan, planned)
}

fn run(plan: &CvPlan<'_>, planned: &MatrixPlan, journal: &dyn Journal) -> MatrixResult {
    let run = CvRun { threads: 2, journal, cancel: &AtomicBool::new(false), progress: &|_| {} };
    matrix(plan, &planned.sets, &planned.cells, &run).unwrap()
}

fn measured<'a>(result: &'a MatrixResult, trained_on: &TrainedOn, set: &str) -> &'a MeasuredCell {
    match &result.heads[0].cell(trained_on, &name(set)).unwrap().outcome {
        CellOutcome::Measured(cell) => cell,
        CellOutcome::Missing(reason) => panic!("{reason}"),
    }
}

#[test]
fn the_matrix_uses_folds_within_a_set_and_whole_other_sets() {
    let people = sets();
    let planned = plan_matrix(&SETS.map(name), &people.rows, &people.targets, 7).unwrap();
    assert_eq!(planned.cells.len(), 12, "three sets and all others, on three sets");
    planned.splits.iter().for_each(|split| shares_no_subject(&people.rows, split));
    let mut of_cell: BTreeMap<(String, String), Vec<&CvSplit>> = BTreeMap::new();
    for cell in &planned.cells {
        let own = cell
            .splits
            .clone()
            .map_or(Vec::new(), |range| planned.splits[range].iter().collect::<Vec<_>>());
        of_cell.insert((cell.trained_on.to_string(), cell.tested_on.to_string()), own);
    }
    for ((trained, tested), splits) in &of_cell {
        let expected = of_set(&people.rows, tested);
        let found: BTreeSet<usize> =
            splits.iter().flat_map(|split| split.test.iter().copied()).collect();
        // Two people are too few for five folds.
        let missing = trained == tested && tested == "bare";
        assert_eq!(found, if missing { BTreeSet::new() } else { expected }, "{trained} → {tested}");
        assert!(
            splits.iter().all(|p| p.name.starts_with(&format!("{trained} → {tested}"))),
            "{splits:?}"
        );
    }
    // Only `large` has folds; the others are assigned to folds at random.
    let protocol = |set: &str| {
        let diagonal = TrainedOn::Set(name(set));
        planned.cells.iter().find(|cell| cell.trained_on == diagonal && cell.tested_on == name(set))
    };
    assert_eq!(protocol("small").unwrap().protocol, Some(Protocol::KFold(5)));
    let bare = protocol("bare").unwrap().splits.clone().unwrap_err();
    assert!(bare.contains("expected at least 5 subjects for 5 folds"), "{bare}");
    // One row of `large`, that of person 50, has no fold.
    assert_eq!(protocol("large").unwrap().protocol, Some(Protocol::KFold(5)));
}

#[test]
fn published_folds_are_used_on_the_diagonal() {
    let mut people = sets();
    people.rows[200].fold = Some(Fold(0));
    let planned = plan_matrix(&SETS.map(name), &people.rows, &people.targets, 7).unwrap();
    assert_eq!(planned.cells[0].protocol, Some(Protocol::Folds));
    assert_eq!(planned.splits[0].name, "large → large, fold 0");
}

#[test]
fn cells_are_measured_on_the_rows_of_their_test_set_and_resume() {
    static FITS: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    let people = sets();
    let (plan, planned) = plan_of(&people, &FITS);
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let result = run(&plan, &planned, &journal);
    let fits = FITS[0].load(Ordering::SeqCst);
    assert_eq!(fits, planned.splits.len());
    assert_eq!(run(&plan, &planned, &journal), result);
    assert_eq!(FITS[0].load(Ordering::SeqCst), fits, "finished fits are not repeated");

    let sizes: Vec<(usize, usize)> =
        result.sets.iter().map(|set| (set.rows, set.subjects)).collect();
    assert_eq!(sizes, [(193, 49), (39, 10), (8, 2)]);
    let cell = measured(&result, &TrainedOn::Set(name("large")), "small");
    assert_eq!((cell.test, cell.subjects, cell.protocol), (39, 10, None));
    assert_eq!(cell.training + cell.validation, 192, "without the picture of person 50");
    assert_eq!(cell.notes.len(), 1);
    // The same figure as a cross-validation on that split alone gives.
    let mut alone = plan;
    alone.splits.retain(|split| split.name == "large → small");
    let run = CvRun {
        threads: 1,
        journal: &NoJournal,
        cancel: &AtomicBool::new(false),
        progress: &|_| {},
    };
    let outcome = cross_validate(&alone, &run).unwrap();
    let expected = &outcome.result.heads[0].summary[0];
    let found = cell.get(Metric::Accuracy).unwrap();
    assert_eq!((found.value, found.interval), (expected.pooled, expected.interval));
    let together = measured(&result, &TrainedOn::AllOthers, "bare");
    assert_eq!((together.test, together.training + together.validation), (8, 232));
}

#[test]
fn ages_are_measured_with_bias_and_correlation() {
    static FITS: [AtomicUsize; 0] = [];
    let mut people = sets();
    // Everybody looks 10 years older than the nearest person of another set.
    let n = people.rows.len();
    people.matrix =
        FeatureMatrix::new(Array2::from_shape_fn((n, 1), |(row, _)| (row / 4 % 12) as f32), None)
            .unwrap();
    people.targets = Targets::exact_years(
        (0..n)
            .map(|row| {
                let older = if people.rows[row].set == Some(name("large")) { 10.0 } else { 0.0 };
                (row / 4 % 12) as f32 * 5.0 + older
            })
            .collect(),
    );
    let (plan, planned) = plan_of(&people, &FITS);
    let result = run(&plan, &planned, &NoJournal);
    let cell = measured(&result, &TrainedOn::Set(name("large")), "small");
    let value = |metric| cell.get(metric).map(|found| (found.value * 1e6).round() / 1e6);
    assert_eq!(value(Metric::MeanError), Some(10.0));
    assert_eq!(value(Metric::MeanAbsoluteError), Some(10.0));
    assert_eq!(value(Metric::CumulativeScore5), Some(0.0));
    assert_eq!(value(Metric::Correlation), Some(1.0));
    let interval = cell.get(Metric::MeanError).unwrap().interval.unwrap();
    assert!((interval.low - 10.0).abs() < 1e-9 && (interval.high - 10.0).abs() < 1e-9);
}

#[test]
fn cells_of_a_set_without_rows_have_a_reason() {
    let people = sets();
    let names = ["large", "empty"].map(name);
    let planned = plan_matrix(&names, &people.rows, &people.targets, 7).unwrap();
    assert_eq!(planned.cells.len(), 4, "two sets have no row for all others");
    for cell in &planned.cells[1..] {
        let reason = cell.splits.clone().unwrap_err();
        assert!(reason.contains("no row of `empty` serves this task"), "{reason}");
    }
    let error = plan_matrix(&["none", "empty"].map(name), &people.rows, &people.targets, 7);
    assert!(error.unwrap_err().to_string().contains("no cell of the matrix can be filled"));
    let error = plan_matrix(&names[..1], &people.rows, &people.targets, 7).unwrap_err();
    assert!(error.to_string().contains("at least two data sets, found 1"), "{error}");
}
