//! Cross-validation: resuming, stopping, and results that do not depend on how they were run.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use facefold_core::{AgeTarget, Fold, Head, Split, SubjectId, Targets, Task};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, AuxiliaryLabels, Candidate, CvOutcome, CvPlan,
    CvResult, CvRun, DirectoryJournal, EvaluateError, Journal, Metric, NoJournal, PredictedValues,
    Protocol, RowInfo, RowPredictions, SetName, TaskLabels, compare, cross_validate, is_fit,
    label_error_candidates, plan, slices,
};

use crate::heads::{Nearest, NearestMultiTask, People, RandomGuess, people};

fn plan_of<'a>(people: &'a People, heads: Vec<Box<dyn Head>>, seeds: &[u64]) -> CvPlan<'a> {
    CvPlan {
        task: Task::Gender,
        classes: vec!["female".to_owned(), "male".to_owned()],
        matrix: &people.matrix,
        matrix_rows: (0..people.rows.len()).collect(),
        targets: people.targets.clone(),
        auxiliary_labels: AuxiliaryLabels::default(),
        rows: people.rows.clone().into(),
        protocol: Protocol::Folds,
        splits: plan(&Protocol::Folds, &people.rows, &people.targets, 7).unwrap(),
        heads,
        seed: 7,
        seeds: seeds.to_vec(),
        thresholds: None,
        stamp: "stamp".to_owned(),
    }
}

fn run(plan: &CvPlan<'_>, threads: usize, journal: &dyn Journal) -> CvOutcome {
    let run = CvRun { threads, journal, cancel: &AtomicBool::new(false), progress: &|_| {} };
    let mut outcome = cross_validate(plan, &run).unwrap();
    for fit in outcome.result.heads.iter_mut().flat_map(|head| &mut head.fits) {
        fit.seconds = 0.0;
    }
    outcome
}

fn random_guesses() -> Vec<Box<dyn Head>> {
    vec![Box::new(RandomGuess("one")), Box::new(RandomGuess("two"))]
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let people = people(30, 4, 1);
    let plan = plan_of(&people, random_guesses(), &[1, 2]);
    let outcome = run(&plan, 1, &NoJournal);
    assert_eq!(outcome, run(&plan, 4, &NoJournal));
    assert_eq!(outcome.result.heads[0].fits.len(), 10);
    assert_eq!(outcome.predictions.rows.len(), 120);
    assert_eq!(outcome.predictions.columns.len(), 4);
}

#[test]
fn means_and_deviations_are_those_of_the_fits() {
    let people = people(30, 4, 1);
    let outcome = run(&plan_of(&people, random_guesses(), &[1, 2]), 2, &NoJournal);
    let head = &outcome.result.heads[0];
    let summary = &head.summary[0];
    assert_eq!(summary.metric, Metric::Accuracy);
    let accuracy = |index: usize| head.fits[index].test.get(Metric::Accuracy).unwrap();
    let folds: Vec<f64> =
        (0..5).map(|fold| f64::midpoint(accuracy(2 * fold), accuracy(2 * fold + 1))).collect();
    let seeds: Vec<f64> = (0..2)
        .map(|seed| (0..5).map(|fold| accuracy(2 * fold + seed)).sum::<f64>() / 5.0)
        .collect();
    let mean = folds.iter().sum::<f64>() / 5.0;
    let deviation = (folds.iter().map(|fold| (fold - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    assert!((summary.mean - mean).abs() < 1e-12);
    assert!((summary.deviation_over_folds.unwrap() - deviation).abs() < 1e-12);
    let apart = (seeds[0] - seeds[1]).abs() / 2.0_f64.sqrt();
    assert!((summary.deviation_over_seeds.unwrap() - apart).abs() < 1e-12);
    assert!((summary.pooled - head.pooled.get(Metric::Accuracy).unwrap()).abs() < 1e-12);
    assert!(summary.interval.unwrap().contains(summary.pooled));
    for line in &head.summary {
        assert!((line.pooled - head.pooled.get(line.metric).unwrap()).abs() < 0.02, "{line:?}");
    }
}

#[test]
fn files_of_other_programs_among_the_fits_are_neither_deleted_nor_replaced() {
    static FITS: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let people = people(30, 4, 1);
    let plan = plan_of(&people, vec![Box::new(Nearest { fits: &FITS })], &[1]);
    for name in ["my-curve.json", "age-2024.json"] {
        fs_err::write(directory.path().join(name), r#"{"mine":1}"#).unwrap();
    }
    run(&plan, 1, &journal);
    journal.remove_others().unwrap();
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 7);
    let fits = fs_err::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let fit = fits.into_iter().find(|path| is_fit(path).unwrap()).unwrap();
    fs_err::write(&fit, r#"{"mine":1}"#).unwrap();
    let cancel = AtomicBool::new(false);
    let again = CvRun { threads: 1, journal: &journal, cancel: &cancel, progress: &|_| {} };
    let refused = cross_validate(&plan, &again).unwrap_err().to_string();
    assert!(refused.contains("found one of another program; move it away"), "{refused}");
    assert_eq!(fs_err::read_to_string(&fit).unwrap(), r#"{"mine":1}"#);
}

#[test]
fn an_interrupted_run_resumes_without_repeating_a_fit() {
    static FITS: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let people = people(30, 4, 1);
    let nearest = || -> Vec<Box<dyn Head>> { vec![Box::new(Nearest { fits: &FITS })] };
    let plan = plan_of(&people, nearest(), &[1]);
    let cancel = AtomicBool::new(false);
    let stop_after_two = CvRun {
        threads: 1,
        journal: &journal,
        cancel: &cancel,
        progress: &|progress| cancel.store(progress.done == 2, Ordering::SeqCst),
    };
    let error = cross_validate(&plan, &stop_after_two).unwrap_err();
    assert!(matches!(error, EvaluateError::Cancelled { done: 2, total: 5 }), "{error}");
    assert_eq!(FITS[0].load(Ordering::SeqCst), 2);

    let resumed = run(&plan, 1, &journal);
    assert_eq!(FITS[0].load(Ordering::SeqCst), 5, "two of five fits come from the journal");
    assert_eq!(resumed, run(&plan, 1, &NoJournal));
    assert_eq!(FITS[0].load(Ordering::SeqCst), 10);

    // So is every flipped bit of a fit, and a fit without its checksum.
    let corrupt = fs_err::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs_err::read(&corrupt).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(&text).unwrap()["record"]["id"].clone();
    let id = serde_json::from_value(id).unwrap();
    assert!(journal.load(&id).is_some());
    for bit in (0..whole.len() * 8).step_by(29) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs_err::write(&corrupt, flipped).unwrap();
        assert!(journal.load(&id).is_none(), "bit {bit}");
    }
    let (without, _) = text.rsplit_once(",\"checksum\"").unwrap();
    fs_err::write(&corrupt, format!("{without}}}")).unwrap();
    assert!(journal.load(&id).is_none());
    fs_err::write(&corrupt, whole).unwrap();
    assert_eq!(resumed, run(&plan, 1, &journal));
    assert_eq!(FITS[0].load(Ordering::SeqCst), 10, "all come from the journal again");

    // Fits that this run did not ask for are another's, corrupt ones too.
    let whole = fs_err::read(&corrupt).unwrap();
    fs_err::write(directory.path().join("gender-mlp-fold-0-1.json"), &whole[9..]).unwrap();
    fs_err::write(directory.path().join("gender-mlp-fold-1-1.json"), &whole).unwrap();
    fs_err::write(directory.path().join("notes.txt"), "mine").unwrap();
    journal.remove_others().unwrap();
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 6);
    fs_err::remove_file(directory.path().join("notes.txt")).unwrap();

    // A truncated file, other targets, and another stamp are each as good as no journal.
    let truncated = fs_err::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = fs_err::read(&truncated).unwrap();
    fs_err::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    run(&plan, 1, &journal);
    assert_eq!(FITS[0].load(Ordering::SeqCst), 11);
    let mut other = plan_of(&people, nearest(), &[1]);
    let Targets::Classes { indices, .. } = &mut other.targets else { panic!() };
    indices[0] = 1 - indices[0];
    run(&other, 1, &journal);
    assert_eq!(FITS[0].load(Ordering::SeqCst), 16);
    other.stamp = "another stamp".to_owned();
    run(&other, 1, &journal);
    assert_eq!(FITS[0].load(Ordering::SeqCst), 21);
}

/// Every fourth picture has a label of an auxiliary task only. Where its subject, fold, split or set is
/// corrected, it may belong to a test person: a fit that was trained on it is not taken from the journal.
#[test]
fn corrected_auxiliary_rows_repeat_the_fits_that_may_have_used_them() {
    static FITS: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    static ALONE: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    let counts = || [&FITS, &ALONE].map(|fits| fits[0].load(Ordering::SeqCst));
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let people = people(30, 4, 1);
    let all: Vec<usize> = (0..people.rows.len()).collect();
    let own: Vec<usize> = all.iter().copied().filter(|row| row % 4 < 3).collect();
    let rows: Vec<RowInfo> = own.iter().map(|&row| people.rows[row].clone()).collect();
    let targets = people.targets.select(&own);
    let splits = plan(&Protocol::Folds, &rows, &targets, 7).unwrap();
    let plan = |correct: &dyn Fn(&mut RowInfo)| {
        let mut labelled = people.rows.clone();
        labelled.iter_mut().skip(3).step_by(4).for_each(correct);
        let labels = TaskLabels {
            kind: Task::Age.into(),
            matrix_rows: all.clone(),
            rows: labelled,
            targets: Targets::exact_years(all.iter().map(|&row| row as f32).collect()),
        };
        CvPlan {
            matrix_rows: own.clone().into(),
            targets: targets.clone(),
            auxiliary_labels: AuxiliaryLabels { tasks: vec![labels], age_groups: None },
            rows: rows.clone().into(),
            splits: splits.clone(),
            ..plan_of(
                &people,
                vec![
                    Box::new(NearestMultiTask(Nearest { fits: &FITS })),
                    Box::new(Nearest { fits: &ALONE }),
                ],
                &[1],
            )
        }
    };
    // Wrong names first: each such row is of a person of its own, in the next fold.
    let wrong = |row: &mut RowInfo| {
        row.subject = Some(SubjectId::new(format!("unknown {}", row.path)));
        row.fold = row.fold.map(|Fold(fold)| Fold((fold + 1) % 5));
    };
    let leaked = run(&plan(&wrong), 1, &journal);
    assert_eq!(counts(), [5, 5]);
    assert_eq!(leaked, run(&plan(&wrong), 1, &journal));
    assert_eq!(counts(), [5, 5]);

    let right = plan(&|_| {});
    let corrected = run(&right, 1, &journal);
    assert_eq!(counts(), [10, 5], "a head without auxiliary tasks keeps its fits");
    assert_ne!(corrected, leaked);
    assert_eq!(corrected, run(&right, 1, &NoJournal));

    let corrections: [&dyn Fn(&mut RowInfo); 4] = [
        &|row| row.subject = None,
        &|row| row.fold = None,
        &|row| row.split = Some(Split::Test),
        &|row| row.set = Some(SetName::new("another")),
    ];
    for correct in corrections {
        let (before, plan) = (counts()[0], plan(correct));
        let resumed = run(&plan, 1, &journal);
        assert_eq!(counts()[0], before + 5);
        assert_eq!(resumed, run(&plan, 1, &NoJournal));
    }
}

#[test]
fn a_further_class_without_rows_repeats_the_fits() {
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let people = people(30, 4, 1);
    let mut plan = plan_of(&people, vec![Box::new(Nearest::default())], &[1]);
    run(&plan, 1, &journal);
    plan.classes.push("unknown".to_owned());
    let Targets::Classes { count, .. } = &mut plan.targets else { panic!() };
    *count = 3;
    assert_eq!(run(&plan, 1, &journal), run(&plan, 1, &NoJournal));
}

#[test]
fn a_head_that_fails_is_named() {
    let mut people = people(30, 4, 1);
    people.targets = Targets::exact_years(vec![30.0; 120]);
    let mut plan = plan_of(&people, random_guesses(), &[3]);
    plan.task = Task::Age;
    plan.classes.clear();
    let run = CvRun {
        threads: 1,
        journal: &NoJournal,
        cancel: &AtomicBool::new(false),
        progress: &|_| {},
    };
    let message = cross_validate(&plan, &run).unwrap_err().to_string();
    assert!(message.starts_with("head `one` on split `fold "), "{message}");
    assert!(message.ends_with("with seed 3: cannot train: guesses have no years"), "{message}");
}

#[test]
fn two_heads_of_one_name_are_refused() {
    let people = people(30, 4, 1);
    let plan =
        plan_of(&people, vec![Box::new(RandomGuess("one")), Box::new(RandomGuess("one"))], &[1]);
    let run = CvRun {
        threads: 1,
        journal: &NoJournal,
        cancel: &AtomicBool::new(false),
        progress: &|_| {},
    };
    let message = cross_validate(&plan, &run).unwrap_err().to_string();
    assert!(message.contains("head `one` is given twice"), "{message}");
}

#[test]
fn results_and_predictions_read_back() {
    let people = people(30, 4, 1);
    let outcome = run(&plan_of(&people, random_guesses(), &[1, 2]), 2, &NoJournal);
    let json = serde_json::to_string(&outcome.result).unwrap();
    assert_eq!(serde_json::from_str::<CvResult>(&json).unwrap(), outcome.result);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    outcome.predictions.write_csv(&path).unwrap();
    let classes = &outcome.predictions.classes;
    let read = RowPredictions::read_csv(&path, Task::Gender, classes).unwrap();
    assert_eq!(read, outcome.predictions);
    assert_eq!(read.check(&outcome.result, &path).unwrap(), 0);

    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.starts_with("path,subject,partition,truth,one/1,one/1/p/"));
    fs_err::write(&path, text.replacen(",male", ",mael", 1)).unwrap();
    let message = RowPredictions::read_csv(&path, Task::Gender, classes).unwrap_err().to_string();
    assert!(message.contains("line 2: expected one of female, male"), "{message}");
}

#[test]
fn age_predictions_read_back_bit_by_bit() {
    let mut people = people(30, 4, 1);
    people.targets =
        Targets::exact_years((0..120).map(|row| 20.0 + (row as f32).sqrt() * 3.3).collect());
    let mut plan = plan_of(&people, vec![Box::new(Nearest::default())], &[1]);
    plan.task = Task::Age;
    plan.classes.clear();
    let outcome = run(&plan, 2, &NoJournal);
    assert_eq!(outcome.result.heads[0].summary[0].metric, Metric::MeanAbsoluteError);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    outcome.predictions.write_csv(&path).unwrap();
    let read = RowPredictions::read_csv(&path, Task::Age, &[]).unwrap();
    assert_eq!(read, outcome.predictions);
    assert_eq!(read.check(&outcome.result, &path).unwrap(), 0);
}

#[test]
fn predictions_with_other_figures_than_their_result_are_refused() {
    let people = people(30, 4, 1);
    let outcome = run(&plan_of(&people, random_guesses(), &[1, 2]), 2, &NoJournal);
    let path = Path::new("gender/predictions.csv");
    let check = |change: &dyn Fn(&mut RowPredictions)| {
        let mut predictions = outcome.predictions.clone();
        change(&mut predictions);
        predictions.check(&outcome.result, path).map_err(|error| error.to_string())
    };
    let refused = |change: &dyn Fn(&mut RowPredictions)| check(change).unwrap_err();
    let swap = |predictions: &mut RowPredictions, column: usize| {
        let PredictedValues::Classes { predicted, .. } =
            &mut predictions.columns[column].predicted_values
        else {
            panic!("a gender");
        };
        predicted[0] = 1 - predicted[0];
    };
    let message = refused(&|predictions| swap(predictions, 1));
    assert!(
        message.contains("expected the accuracy of `one` on `fold 0` with seed 2"),
        "{message}"
    );
    assert!(message.contains("gender/predictions.csv"), "{message}");
    let message = refused(&|predictions| {
        predictions.columns.remove(0);
    });
    assert!(message.contains("expected a column `one/1`, found none"), "{message}");
    let message = refused(&|predictions| predictions.rows[0].split = "fold 9".into());
    assert!(message.contains("found others"), "{message}");
    let message = refused(&|predictions| predictions.rows[0].split = "fold 1".into());
    assert!(message.contains("test rows of `fold 1`"), "{message}");
    // Rows that were forgotten leave the other splits as they were measured.
    let without_first = |predictions: &mut RowPredictions| {
        let rows: Vec<usize> = (1..predictions.rows.len()).collect();
        predictions.rows.remove(0);
        predictions.truth = predictions.truth.select(&rows);
        for column in &mut predictions.columns {
            column.predicted_values = column.predicted_values.of_rows(&rows);
        }
    };
    assert_eq!(check(&without_first), Ok(1));
}

#[test]
fn intervals_calibrated_on_validation_rows_cover_80_percent_of_test_rows() {
    let mut people = people(250, 4, 1);
    let mut generator = facefold_core::rng::seeded(5, "years");
    people.targets = Targets::exact_years(
        (0..people.rows.len())
            .map(|_| rand::Rng::random_range(&mut generator, 1.0..90.0))
            .collect(),
    );
    let mut plan = plan_of(&people, vec![Box::new(Nearest::default())], &[1]);
    plan.task = Task::Age;
    plan.classes.clear();
    let outcome = run(&plan, 2, &NoJournal);
    let fits = &outcome.result.heads[0].fits;
    let checks: Vec<_> = fits.iter().map(|fit| fit.intervals.unwrap()).collect();
    let coverage = checks.iter().map(|check| check.coverage).sum::<f64>() / 5.0;
    assert!((0.74..0.86).contains(&coverage), "{coverage}");
    // Predicted and true ages are both uniform over 89 years: eight of ten differences lie within
    // 89 (1 - sqrt(0.2)) = 49 years of 0.
    assert!(checks.iter().all(|check| (60.0..110.0).contains(&check.width)), "{checks:?}");
}

/// Ages of which so many of three are exact.
fn ranged(rows: usize, exact: usize) -> Targets {
    let age = |row: usize| match (row / 4 % 60) as f32 {
        age if row % 3 < exact => AgeTarget::exact(10.0 + age),
        age => AgeTarget::range(10.0 + age, 19.0 + age).unwrap(),
    };
    Targets::Regression((0..rows).map(age).collect())
}

#[test]
fn ranges_are_scored_compared_and_sliced() {
    let mut people = people(60, 4, 1);
    for (exact, primary, scored) in [
        (2, Metric::MeanAbsoluteError, 160),
        (1, Metric::RangeDistance, 160),
        (0, Metric::RangeDistance, 240),
    ] {
        people.targets = ranged(people.rows.len(), exact);
        let mut plan = plan_of(&people, vec![Box::new(Nearest::default())], &[1]);
        plan.task = Task::Age;
        plan.classes.clear();
        let outcome = run(&plan, 2, &NoJournal);
        let (result, predictions) = (&outcome.result, &outcome.predictions);
        assert_eq!(result.range_rows, 240 - 80 * exact);
        assert_eq!(result.metrics()[0], primary);
        assert!(result.metrics().contains(&Metric::InsideRange), "{:?}", result.metrics());
        for line in &result.heads[0].summary {
            assert_eq!(line.interval.is_some(), line.metric.has_interval(), "{line:?}");
            let Some(interval) = line.interval else { continue };
            assert!(interval.low <= line.pooled && line.pooled <= interval.high, "{line:?}");
        }

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("predictions.csv");
        predictions.write_csv(&path).unwrap();
        assert!(fs_err::read_to_string(&path).unwrap().contains(",fold 0,10-19,"));
        let read = RowPredictions::read_csv(&path, Task::Age, &[]).unwrap();
        assert_eq!(&read, predictions);
        assert_eq!(read.check(result, &path).unwrap(), 0);

        let candidate = |label: &str| Candidate {
            label: label.to_owned(),
            head: predictions.heads()[0].to_owned(),
            predictions,
            splits: &result.splits,
        };
        let comparison = compare(&[candidate("one"), candidate("two")], 1).unwrap();
        assert_eq!((comparison.metric, comparison.rows), (primary, scored));
        assert_eq!((comparison.rows_left_out, comparison.pairs[0].difference), (0, 0.0));
        let summary = result.heads[0].summary.iter().find(|line| line.metric == primary).unwrap();
        assert!((comparison.candidates[0].value - summary.pooled).abs() < 1e-9);

        let paths: Vec<_> = predictions.rows.iter().map(|row| row.path.clone()).collect();
        let halves = (0..240).map(|row| Some(["a", "b"][row % 2].into())).collect();
        let halves = Attribute { name: "half".to_owned(), values: AttributeValues::Names(halves) };
        let attributes = Attributes::new(&paths, vec![halves]).unwrap();
        let head = predictions.heads()[0];
        let sliced = slices(predictions, head, &attributes, 1).unwrap();
        assert_eq!((sliced.metric, sliced.rows), (primary, scored));
        let rows: usize = sliced.attributes[0].slices.iter().map(|slice| slice.rows).sum();
        assert_eq!(rows, scored);
        assert!((sliced.value - comparison.candidates[0].value).abs() < 1e-9);
        let label_errors = label_error_candidates(predictions, head).unwrap();
        assert!(label_errors.rows.iter().all(|row| row.score > 0.0));
    }
}

#[test]
fn classes_without_a_training_row_are_reported() {
    let mut people = people(60, 4, 1);
    // The people of fold 0 alone are of a third class.
    let Targets::Classes { indices, count } = &mut people.targets else { panic!() };
    *count = 3;
    for (row, class) in people.rows.iter().zip(indices) {
        if row.fold == Some(Fold(0)) {
            *class = 2;
        }
    }
    let mut plan = plan_of(&people, vec![Box::new(Nearest::default())], &[1]);
    plan.classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let result = run(&plan, 2, &NoJournal).result;
    let of_fold = |fold: usize| result.splits[fold].untrained_classes.clone();
    assert_eq!(of_fold(0), [("c".to_owned(), 48)].into());
    assert!(of_fold(1).is_empty());
    assert_eq!(result.untrained_rows("c"), 48);
    let warning = result.untrained_warning().unwrap();
    assert!(warning.contains("`c` (48 test rows)"), "{warning}");
}
