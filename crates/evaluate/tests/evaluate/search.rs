//! Searching settings: nothing of a split's test rows reaches the choice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    Split, StateDict, SubjectId, Targets, Task, TrainingLog,
};
use facefold_evaluate::{
    AuxiliaryLabels, Budget, Configuration, CvPlan, CvRun, DirectoryJournal, EvaluateError,
    InnerValidation, Journal, NoJournal, Protocol, RowInfo, Search, SearchOutcome, Trial,
    cross_validate_with, plan, search,
};
use ndarray::Array2;
use serde_json::json;

/// What the fits of a test were given.
#[derive(Default)]
struct Seen {
    fits: AtomicUsize,
    fitted: Mutex<BTreeSet<usize>>,
    training_rows: Mutex<Vec<Vec<usize>>>,
    predicted: Mutex<BTreeSet<usize>>,
}

/// Predictions `true` above a threshold, which is its setting; fails at thresholds below 0.
struct Threshold {
    at: f64,
    epochs: f64,
    /// Fitted heads may not borrow from a test, so what they saw is leaked.
    seen: &'static Seen,
}

struct Fitted {
    at: f32,
    seen: &'static Seen,
    log: TrainingLog,
}

impl Head for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn settings(&self) -> serde_json::Value {
        json!({ "at": self.at, "epochs": self.epochs })
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _: u64,
    ) -> Result<Fit, HeadError> {
        if self.at < 0.0 {
            return Err(HeadError::Untrainable("below 0".to_owned()));
        }
        self.seen.fits.fetch_add(1, Ordering::SeqCst);
        self.seen.fitted.lock().unwrap().extend(training.rows().iter().chain(validation.rows()));
        self.seen.training_rows.lock().unwrap().push(training.rows().to_vec());
        let (at, seen) = (self.at as f32, self.seen);
        Fit::of(Fitted { at, seen, log: TrainingLog::default() }, validation)
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        self.seen.predicted.lock().unwrap().extend(rows);
        let mut probabilities = Array2::from_elem((rows.len(), 2), 0.1);
        for (number, &row) in rows.iter().enumerate() {
            let above = matrix.plain().row(row)[0] > self.at;
            probabilities[(number, usize::from(above))] = 0.9;
        }
        Ok(PredictedTargets::Classes(probabilities).into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        StateDict {
            kind: "threshold".to_owned(),
            config: serde_json::Value::Null,
            tensors: BTreeMap::new(),
        }
    }
}

/// 120 people with three rows each; every fourth is tested on. Classes lie at 0.3 and 0.7, spread
/// by 0.4: a threshold of 0.5 is best.
struct Rows {
    matrix: FeatureMatrix,
    infos: Vec<RowInfo>,
    indices: Vec<usize>,
}

fn rows() -> Rows {
    let n = 360;
    let subject = |row: usize| row / 3;
    let indices: Vec<usize> = (0..n).map(|row| subject(row) % 2).collect();
    let value = |row: usize| {
        0.3 + 0.4 * indices[row] as f32 + ((row * 37 % 101) as f32 / 101.0 - 0.5) * 0.8
    };
    let matrix = Array2::from_shape_fn((n, 1), |(row, _)| value(row));
    let rows = (0..n).map(|row| RowInfo {
        path: format!("{row}.jpg").into(),
        subject: Some(SubjectId::new(format!("person {}", subject(row)))),
        fold: None,
        split: Some(if subject(row) % 8 < 2 { Split::Test } else { Split::Train }),
        set: None,
    });
    Rows { matrix: FeatureMatrix::new(matrix, None).unwrap(), infos: rows.collect(), indices }
}

fn plan_of<'a>(rows: &'a Rows, seen: &'static Seen, protocol: Protocol) -> CvPlan<'a> {
    let targets = Targets::Classes { indices: rows.indices.clone(), count: 2 };
    CvPlan {
        task: Task::Gender,
        auxiliary_labels: AuxiliaryLabels::default(),
        classes: vec!["female".to_owned(), "male".to_owned()],
        matrix: &rows.matrix,
        matrix_rows: (0..rows.infos.len()).collect(),
        splits: plan(&protocol, &rows.infos, &targets, 7).unwrap(),
        targets,
        rows: rows.infos.clone().into(),
        protocol,
        heads: vec![Box::new(Threshold { at: 0.9, epochs: 1.0, seen })],
        seed: 7,
        seeds: vec![7],
        thresholds: None,
        stamp: String::new(),
    }
}

fn seen() -> &'static Seen {
    Box::leak(Box::default())
}

struct Asked {
    thresholds: Vec<f64>,
    budget: Budget,
    halving: usize,
    inner: InnerValidation,
}

impl Asked {
    fn grid(thresholds: &[f64]) -> Self {
        let thresholds = thresholds.to_vec();
        Self { thresholds, budget: Budget::Epochs, halving: 3, inner: InnerValidation::HoldOut }
    }

    fn search(
        &self,
        plan: &CvPlan<'_>,
        seen: &'static Seen,
        run: &CvRun<'_>,
    ) -> Result<SearchOutcome, EvaluateError> {
        let configurations = self
            .thresholds
            .iter()
            .map(|&at| Configuration([("threshold.at".to_owned(), json!(at))].into()));
        let search_for = Search {
            head: "threshold".to_owned(),
            name: "threshold-tuned".to_owned(),
            configurations: configurations.collect(),
            budget: self.budget,
            make: &|configuration, share| {
                let at = configuration.0["threshold.at"].as_f64().unwrap();
                Ok(Box::new(Threshold { at, epochs: share, seen }))
            },
            halving: self.halving,
            inner: self.inner,
        };
        search(plan, &search_for, run)
    }

    fn found(&self, plan: &CvPlan<'_>, seen: &'static Seen) -> SearchOutcome {
        with_journal(&NoJournal, 2, |run| self.search(plan, seen, run).unwrap())
    }
}

fn with_journal<T>(journal: &dyn Journal, threads: usize, go: impl FnOnce(&CvRun<'_>) -> T) -> T {
    let cancel = AtomicBool::new(false);
    go(&CvRun { threads, journal, cancel: &cancel, progress: &|_| {} })
}

/// Trials without the seconds that they took.
fn timeless(found: &SearchOutcome) -> Vec<Trial> {
    let trials = found.result.trials.iter().cloned();
    trials.map(|trial| Trial { seconds: 0.0, ..trial }).collect()
}

const NINE: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

#[test]
fn poisoned_test_labels_change_nothing_of_the_search() {
    for inner in [InnerValidation::HoldOut, InnerValidation::Folds(4)] {
        for budget in [Budget::Epochs, Budget::Subjects] {
            let asked = Asked { budget, inner, ..Asked::grid(&NINE) };
            let (honest, mut poisoned) = (rows(), rows());
            for (row, class) in poisoned.indices.iter_mut().enumerate() {
                if poisoned.infos[row].split == Some(Split::Test) {
                    *class = 1 - *class;
                }
            }
            let seen = seen();
            let found = asked.found(&plan_of(&honest, seen, Protocol::Split), seen);
            let again = asked.found(&plan_of(&poisoned, seen, Protocol::Split), seen);
            assert_eq!(timeless(&found), timeless(&again), "{inner:?} {budget:?}");
            assert_eq!(found.result.choices, again.result.choices);
            let chosen = found.result.choices[0].configuration;
            assert!((2..=6).contains(&chosen), "threshold {}", NINE[chosen]);

            // The test can fail: a poisoned training label does change the search.
            let mut poisoned = rows();
            for (row, class) in poisoned.indices.iter_mut().enumerate() {
                if poisoned.infos[row].split == Some(Split::Train) {
                    *class = 1 - *class;
                }
            }
            let other = asked.found(&plan_of(&poisoned, seen, Protocol::Split), seen);
            assert_ne!(timeless(&found), timeless(&other));
        }
    }
}

#[test]
fn search_fits_see_no_test_row_and_the_tuned_head_is_tested_once() {
    let rows = rows();
    let seen = seen();
    let plan = plan_of(&rows, seen, Protocol::Split);
    let found = Asked::grid(&NINE).found(&plan, seen);
    let test: BTreeSet<usize> = plan.splits[0].test.iter().copied().collect();
    assert!(seen.fitted.lock().unwrap().is_disjoint(&test));
    assert!(seen.predicted.lock().unwrap().is_disjoint(&test));
    assert!(seen.fits.load(Ordering::SeqCst) >= 12);

    let outcome =
        with_journal(&NoJournal, 2, |run| cross_validate_with(&plan, &[found.head], run).unwrap());
    assert!(test.is_subset(&seen.predicted.lock().unwrap()));
    let names: Vec<&str> = outcome.result.heads.iter().map(|head| head.name.as_str()).collect();
    assert_eq!(names, ["threshold-tuned", "threshold"]);
    let tuned = &outcome.result.heads[0];
    assert!(tuned.summary[0].pooled > outcome.result.heads[1].summary[0].pooled + 0.1);
    let settings = &tuned.settings["test"];
    assert_eq!(settings["at"].as_f64(), Some(NINE[found.result.choices[0].configuration]));
    assert_eq!(settings["epochs"], 1.0, "the whole budget");
}

#[test]
fn every_split_is_searched_separately_by_whole_subjects() {
    let rows = rows();
    let seen = seen();
    let plan = plan_of(&rows, seen, Protocol::KFold(4));
    let asked = Asked { budget: Budget::Subjects, ..Asked::grid(&NINE) };
    let found = asked.found(&plan, seen);
    assert_eq!(found.result.budget_fractions, [1.0 / 3.0, 1.0]);
    assert_eq!(found.result.trials.len(), 4 * (9 + 3));
    assert_eq!(found.result.choices.len(), 4);
    assert_eq!(found.head.heads.len(), 4);
    for (split, choice) in plan.splits.iter().zip(&found.result.choices) {
        assert_eq!(split.name, choice.split);
        let scored = found.result.trials.iter().filter(|trial| trial.split == split.name);
        assert!(scored.clone().all(|trial| trial.rows == split.validation.len()));
        let last = scored.filter(|trial| trial.iteration == 1);
        let best = last.map(|trial| trial.score.unwrap()).fold(0.0, f64::max);
        assert_eq!(choice.score, best);
    }
    let whole = plan.splits.iter().map(|split| split.train.len()).max().unwrap();
    let mut small = 0;
    for training in seen.training_rows.lock().unwrap().iter() {
        let subjects: BTreeSet<usize> = training.iter().map(|row| row / 3).collect();
        assert_eq!(training.len(), 3 * subjects.len(), "subjects are whole");
        small += usize::from(training.len() < whole / 2);
    }
    assert_eq!(small, 4 * 9, "the first step");
}

#[test]
fn inner_folds_score_every_training_row() {
    let rows = rows();
    let seen = seen();
    let plan = plan_of(&rows, seen, Protocol::Split);
    let asked = Asked { inner: InnerValidation::Folds(5), ..Asked::grid(&[0.4, 0.5]) };
    let found = asked.found(&plan, seen);
    let SearchOutcome { result, .. } = &found;
    let known = plan.splits[0].train.len() + plan.splits[0].validation.len();
    assert!(result.trials.iter().all(|trial| trial.rows == known), "{:?}", result.trials);
    // The mean over rows, as counted by hand.
    let right = (0..rows.infos.len())
        .filter(|&row| rows.infos[row].split == Some(Split::Train))
        .filter(|&row| (rows.matrix.plain().row(row)[0] > 0.4) == (rows.indices[row] == 1))
        .count();
    let score = result.trials[0].score.unwrap();
    assert!((score - right as f64 / known as f64).abs() < 1e-12, "{score}");
}

#[test]
fn of_equal_configurations_the_first_is_chosen_and_failures_count_as_worst() {
    let rows = rows();
    let seen = seen();
    let plan = plan_of(&rows, seen, Protocol::Split);
    let found = Asked::grid(&[-1.0, 0.5, 0.500_000_1, -2.0]).found(&plan, seen);
    assert_eq!(found.result.choices[0].configuration, 1);
    let failed: Vec<&str> =
        found.result.trials.iter().filter_map(|trial| trial.failure.as_deref()).collect();
    assert_eq!(failed.len(), 2);
    assert!(failed[0].ends_with("cannot train: below 0"), "{failed:?}");

    let none = with_journal(&NoJournal, 1, |run| {
        Asked::grid(&[-1.0, -2.0]).search(&plan, seen, run).err().unwrap().to_string()
    });
    assert!(none.contains("none of the 2 configurations") && none.contains("below 0"), "{none}");
}

#[test]
fn an_interrupted_search_resumes_without_repeating_a_trial() {
    let rows = rows();
    let directory = tempfile::tempdir().unwrap();
    let journal = DirectoryJournal::new(directory.path());
    let (first, second) = (seen(), seen());
    let asked = Asked::grid(&NINE);
    let cancel = AtomicBool::new(false);
    let stop = CvRun {
        threads: 1,
        journal: &journal,
        cancel: &cancel,
        progress: &|progress| cancel.store(progress.done == 4, Ordering::SeqCst),
    };
    let stopped = asked.search(&plan_of(&rows, first, Protocol::Split), first, &stop);
    assert!(matches!(stopped.err().unwrap(), EvaluateError::Cancelled { done: 4, total: 9 }));

    let plan = plan_of(&rows, second, Protocol::Split);
    let resumed = with_journal(&journal, 2, |run| asked.search(&plan, second, run).unwrap());
    assert_eq!(second.fits.load(Ordering::SeqCst), 9 + 3 - 4);
    let whole = asked.found(&plan, second);
    assert_eq!(timeless(&resumed), timeless(&whole));
    assert_eq!(resumed.result.choices, whole.result.choices);
    // A larger grid takes what it can from a smaller one.
    let before = second.fits.load(Ordering::SeqCst);
    let larger = Asked::grid(&[&[0.45], &NINE[..]].concat());
    with_journal(&journal, 1, |run| larger.search(&plan, second, run).unwrap());
    let more = second.fits.load(Ordering::SeqCst) - before;
    assert!((1..=2).contains(&more), "{more}");
}
