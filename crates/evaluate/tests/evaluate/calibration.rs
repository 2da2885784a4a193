//! Intervals and familiarity, calibrated on rows and data sets that a fit has not seen.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use facefold_core::rng::seeded;
use facefold_core::{FeatureMatrix, Head, SubjectId, Targets, Task};
use facefold_evaluate::{
    Attributes, AuxiliaryLabels, Calibration, CvOutcome, CvPlan, CvRun, DirectoryJournal,
    FitResult, IntervalCheck, Journal, MainTaskRows, NoJournal, Protocol, RowInfo, RowPredictions,
    SetName, cross_validate, plan, slices,
};
use ndarray::Array2;
use rand::Rng as _;

use crate::heads::Nearest;

const ROWS_OF_SET: usize = 260;

/// Faces whose one feature is their age, labelled with noise, and in each set as if they were older
/// or younger than in the others.
struct Aged {
    matrix: FeatureMatrix,
    rows: Vec<RowInfo>,
    targets: Targets,
}

impl Aged {
    fn new(shifts: &[f32]) -> Self {
        let mut generator = seeded(3, "aged");
        let (mut features, mut years, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (set, shift) in shifts.iter().enumerate() {
            for number in 0..ROWS_OF_SET {
                let age: f32 = generator.random_range(20.0..70.0);
                features.extend([age, generator.random_range(-1.0..1.0)]);
                years.push(age + shift + generator.random_range(-2.0..2.0));
                rows.push(RowInfo {
                    path: format!("{set}/{number}.jpg").into(),
                    subject: Some(SubjectId::new(format!("{set}: {number}"))),
                    fold: None,
                    split: None,
                    set: Some(SetName::new(format!("set {set}"))),
                });
            }
        }
        let features = Array2::from_shape_vec((rows.len(), 2), features).unwrap();
        let matrix = FeatureMatrix::new(features, None).unwrap();
        Self { matrix, rows, targets: Targets::exact_years(years) }
    }

    fn plan(&self, protocol: Protocol) -> CvPlan<'_> {
        CvPlan {
            task: Task::Age,
            classes: Vec::new(),
            matrix: &self.matrix,
            matrix_rows: (0..self.rows.len()).collect(),
            targets: self.targets.clone(),
            auxiliary_labels: AuxiliaryLabels::default(),
            rows: self.rows.clone().into(),
            protocol,
            splits: plan(&protocol, &self.rows, &self.targets, 1).unwrap(),
            heads: vec![Box::new(Nearest::default())],
            seed: 1,
            seeds: vec![1],
            thresholds: None,
            stamp: "calibration".to_owned(),
        }
    }

    fn cross_validate(&self, protocol: Protocol) -> CvOutcome {
        let cancel = AtomicBool::new(false);
        let run = CvRun { threads: 2, journal: &NoJournal, cancel: &cancel, progress: &|_| {} };
        cross_validate(&self.plan(protocol), &run).unwrap()
    }
}

#[test]
fn intervals_calibrated_on_left_out_sets_cover_another_set() {
    // Sets that are labelled four years apart: inside them errors are two years, between them four.
    let aged = Aged::new(&[-4.0, 0.0, 4.0, 0.0]);
    let coverage = |outcome: &CvOutcome, split: usize| {
        let fits = &outcome.result.heads[0].fits;
        fits[split].intervals.unwrap()
    };
    let across = aged.cross_validate(Protocol::LeaveOneSetOut);
    let check = coverage(&across, 3);
    assert_eq!(check.sets_left_out, 3);
    assert!(check.coverage >= 0.77, "{check:?}");
    assert!(check.coverage_interval.contains(check.coverage), "{check:?}");

    let mut within = aged;
    for row in &mut within.rows {
        row.set = None;
    }
    let folds = within.cross_validate(Protocol::KFold(4));
    assert_eq!(coverage(&folds, 0).sets_left_out, 0);
}

#[test]
fn a_set_alone_is_calibrated_on_its_held_out_rows() {
    let aged = Aged::new(&[0.0]);
    let outcome = aged.cross_validate(Protocol::KFold(5));
    for fit in &outcome.result.heads[0].fits {
        let check = fit.intervals.unwrap();
        assert_eq!(check.sets_left_out, 0);
        // The error is a difference of two draws from -2 to 2: eight of ten are within 2.2.
        assert!((3.0..6.5).contains(&check.width), "{check:?}");
    }
}

#[test]
fn no_row_of_a_set_left_out_calibrates_a_fit_that_saw_its_subject() {
    // Everybody of the second set is in the first as well: nothing of it is unseen.
    let mut aged = Aged::new(&[0.0, 0.0]);
    for row in ROWS_OF_SET..2 * ROWS_OF_SET {
        aged.rows[row].subject = aged.rows[row - ROWS_OF_SET].subject.clone();
    }
    let all: Vec<usize> = (0..2 * ROWS_OF_SET).collect();
    let (training, held_out): (Vec<usize>, Vec<usize>) = all.iter().partition(|&row| row % 4 > 0);
    let matrix_rows = all;
    let own = MainTaskRows {
        matrix: &aged.matrix,
        matrix_rows: &matrix_rows,
        rows: &aged.rows,
        targets: &aged.targets,
    };
    let auxiliary_labels = AuxiliaryLabels::default();
    let calibration = Calibration {
        own,
        auxiliary_labels: &auxiliary_labels,
        training: &training,
        held_out: &held_out,
    };
    let (dataset, validation) = auxiliary_labels.datasets(own, &training, &held_out).unwrap();
    let head = Nearest::default();
    let fit = head.fit(&dataset, &validation, 1).unwrap();
    let found = calibration.intervals(&head, &fit.validation, None, 1).unwrap().unwrap();
    assert_eq!(found.sets_left_out, 0);
}

/// The checks of a plan's fits.
fn checks(plan: &CvPlan<'_>, journal: &dyn Journal) -> Vec<IntervalCheck> {
    let cancel = AtomicBool::new(false);
    let run = CvRun { threads: 2, journal, cancel: &cancel, progress: &|_| {} };
    let outcome = cross_validate(plan, &run).unwrap();
    let check = |fit: &FitResult| fit.intervals.unwrap();
    outcome.result.heads[0].fits.iter().map(check).collect()
}

/// Subjects are corrected, and the same command is run again: splits of published folds stay as they are.
#[test]
fn resumed_fits_have_the_intervals_of_the_subjects_as_they_are() {
    static FITS: [AtomicUsize; 1] = [AtomicUsize::new(0)];
    let fits = || FITS[0].load(Ordering::SeqCst);
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let aged = Aged::new(&[0.0]);
    let heads = || -> Vec<Box<dyn Head>> { vec![Box::new(Nearest { fits: &FITS })] };
    let mut plan = CvPlan { heads: heads(), ..aged.plan(Protocol::KFold(5)) };
    let before = checks(&plan, &journal);
    assert_eq!(fits(), 5);
    for (row, info) in plan.rows.to_mut().iter_mut().enumerate() {
        info.subject = Some(SubjectId::new(format!("person {}", row / 20)));
    }
    let resumed = checks(&plan, &journal);
    assert_eq!(fits(), 10, "calibrated by other subjects");
    assert_ne!(resumed, before);
    assert_eq!(resumed, checks(&plan, &NoJournal));

    // Subjects of two training sets, on which no set left out is calibrated any more.
    let aged = Aged::new(&[0.0; 3]);
    let mut plan = CvPlan { heads: heads(), ..aged.plan(Protocol::LeaveOneSetOut) };
    let (before, begun) = (checks(&plan, &journal), fits());
    for row in ROWS_OF_SET..ROWS_OF_SET + 200 {
        let info = aged.rows[row - ROWS_OF_SET].subject.clone();
        plan.rows.to_mut()[row].subject = info;
    }
    let resumed = checks(&plan, &journal);
    assert_eq!(fits(), begun + 3, "one fit, and one for each set that is left out");
    assert_ne!(resumed[2], before[2]);
    assert_eq!(resumed, checks(&plan, &NoJournal));
}

#[test]
fn distant_faces_are_unfamiliar_in_results_predictions_and_slices() {
    let mut aged = Aged::new(&[0.0; 3]);
    let mut features = aged.matrix.plain().to_array();
    // A set of which some faces are like nothing that was trained on.
    for row in 2 * ROWS_OF_SET..2 * ROWS_OF_SET + 40 {
        features[(row, 1)] = 50.0;
    }
    aged.matrix = FeatureMatrix::new(features, None).unwrap();
    let outcome = aged.cross_validate(Protocol::LeaveOneSetOut);
    let check = outcome.result.heads[0].fits[2].familiarity.unwrap();
    assert_eq!(check.rows, ROWS_OF_SET);
    assert!((40..56).contains(&check.unfamiliar_rows), "{check:?}");
    assert!(check.familiar.is_some() && check.unfamiliar.is_some());

    let predictions = &outcome.predictions;
    let scores = predictions.familiarity.as_ref().unwrap();
    assert_eq!(scores.len(), predictions.rows.len());
    let far = predictions.rows.iter().position(|row| &*row.path == "2/0.jpg").unwrap();
    assert!(scores[far] < 0.01);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    predictions.write_csv(&path).unwrap();
    assert_eq!(&RowPredictions::read_csv(&path, Task::Age, &[]).unwrap(), predictions);

    let paths: Vec<_> = aged.rows.iter().map(|row| row.path.clone()).collect();
    let report =
        slices(predictions, "nearest", &Attributes::new(&paths, Vec::new()).unwrap(), 1).unwrap();
    let familiarity = &report.attributes[0];
    assert_eq!(familiarity.name, "familiarity");
    let rows: usize = familiarity.slices.iter().map(|slice| slice.rows).sum();
    assert_eq!(rows, predictions.rows.len());
    for slice in &familiarity.slices {
        let intervals = slice.intervals.as_ref().unwrap();
        assert!(intervals.coverage_interval.contains(intervals.coverage), "{slice:?}");
        assert!(intervals.width_interval.contains(intervals.width), "{slice:?}");
    }
}
