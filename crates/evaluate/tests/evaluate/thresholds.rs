//! Decisions at an age threshold: chosen on validation rows, true of test rows.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use facefold_core::rng::seeded;
use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    Split, StateDict, SubjectId, Targets, Task, TrainingLog,
};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, AuxiliaryLabels, CvOutcome, CvPlan, CvRun,
    DirectoryJournal, Journal, Metric, NoJournal, Protocol, RowInfo, Thresholds, cross_validate,
    plan,
};
use ndarray::Array2;
use rand::Rng as _;

/// Predicts the row's only feature, as years or as a distribution around them.
struct Feature {
    distribution: bool,
}

impl Head for Feature {
    fn name(&self) -> &'static str {
        "feature"
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn fit(
        &self,
        _: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _: u64,
    ) -> Result<Fit, HeadError> {
        let log = TrainingLog::default();
        Fit::of(Fitted { distribution: self.distribution, log }, validation)
    }
}

struct Fitted {
    distribution: bool,
    log: TrainingLog,
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let years = rows.iter().map(|&row| matrix.plain().row(row)[0]).collect();
        let mut probabilities = Array2::zeros((rows.len(), 117));
        for (mut probabilities, &row) in probabilities.rows_mut().into_iter().zip(rows) {
            let centre = matrix.plain().row(row)[0];
            for (age, share) in probabilities.iter_mut().enumerate() {
                *share = (-(age as f32 - centre).powi(2) / 18.0).exp();
            }
            let sum = probabilities.sum();
            probabilities /= sum;
        }
        Ok(Prediction {
            age_distribution: self.distribution.then_some(probabilities),
            ..PredictedTargets::Regression(years).into()
        })
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        StateDict {
            kind: "feature".to_owned(),
            config: serde_json::Value::Null,
            tensors: BTreeMap::new(),
        }
    }
}

/// People of all ages up to 60 with two pictures each, of whom every third is tested on and every
/// third validated on; the feature misses their age by up to 8 years.
struct People {
    matrix: FeatureMatrix,
    rows: Vec<RowInfo>,
    years: Vec<f32>,
    attributes: Attributes,
}

const PEOPLE: usize = 3_000;

fn people(seed: u64) -> People {
    let mut generator = seeded(seed, "people of all ages");
    let (mut rows, mut years, mut features, mut genders) = (vec![], vec![], vec![], vec![]);
    for person in 0..PEOPLE {
        let age: f32 = generator.random_range(0_u8..60).into();
        for picture in 0..2 {
            rows.push(RowInfo {
                path: format!("{person}-{picture}.jpg").into(),
                subject: Some(SubjectId::new(format!("person {person}"))),
                fold: None,
                split: Some([Split::Train, Split::Validation, Split::Test][person % 3]),
                set: None,
            });
            years.push(age);
            let miss: f32 = generator.random_range(-4.0..4.0) + generator.random_range(-4.0..4.0);
            features.push((age + miss).max(0.0));
            genders.push(Some(["female", "male"][person / 3 % 2].into()));
        }
    }
    let paths: Vec<_> = rows.iter().map(|row: &RowInfo| row.path.clone()).collect();
    let gender = Attribute { name: "gender".to_owned(), values: AttributeValues::Names(genders) };
    People {
        matrix: FeatureMatrix::new(
            Array2::from_shape_vec((2 * PEOPLE, 1), features).unwrap(),
            None,
        )
        .unwrap(),
        rows,
        years,
        attributes: Attributes::new(&paths, vec![gender]).unwrap(),
    }
}

fn decide(
    people: &People,
    years: Vec<f32>,
    distribution: bool,
    bound: &str,
    journal: &dyn Journal,
) -> CvOutcome {
    let targets = Targets::exact_years(years);
    let max_error = bound.parse().unwrap();
    let plan = CvPlan {
        task: Task::Age,
        classes: Vec::new(),
        matrix: &people.matrix,
        matrix_rows: (0..people.rows.len()).collect(),
        splits: plan(&Protocol::Split, &people.rows, &targets, 7).unwrap(),
        targets,
        auxiliary_labels: AuxiliaryLabels::default(),
        rows: people.rows.clone().into(),
        protocol: Protocol::Split,
        heads: vec![Box::new(Feature { distribution })],
        seed: 7,
        seeds: vec![1, 2],
        thresholds: Some(Thresholds { ages: vec![18], max_error, attributes: &people.attributes }),
        stamp: String::new(),
    };
    let run = CvRun { threads: 1, journal, cancel: &AtomicBool::new(false), progress: &|_| {} };
    cross_validate(&plan, &run).unwrap()
}

#[test]
fn the_chosen_challenge_age_keeps_the_bound_on_other_people() {
    let mut probabilities = Vec::new();
    for seed in 0..6 {
        let people = people(seed);
        let outcome = decide(&people, people.years.clone(), true, "0.5%", &NoJournal);
        let at = &outcome.result.heads[0].thresholds[0];
        assert_eq!((at.age, at.minors + at.adults, at.not_counted), (18, 2_000, 0));
        assert!(at.has_distribution && at.auc.unwrap() > 0.98, "{:?}", at.auc);
        let (limits, passed) = (&at.chosen[0].limits, at.decisions.minors_passed);
        let limit = limits.over_from.unwrap();
        assert!((18..=25).contains(&limit), "{limit}");
        assert!(limits.under_below.unwrap() <= 18);
        let interval = passed.interval.unwrap();
        assert!(interval.contains(passed.share.unwrap()));
        probabilities.push(passed.share.unwrap());
        // The table has the same number at that challenge age.
        let row = at.challenges.iter().find(|row| row.age == limit).unwrap();
        assert_eq!(row.minors_passed.hits, passed.hits);
        assert_eq!(row.older_passed.hits, at.decisions.older_passed.hits);
        assert!(at.decisions.older_passed.share > Some(0.99), "30 years and a miss of up to 8");
    }
    // Each has a standard deviation of 0.004: errors of 600 minors who choose, and of 600 others.
    let mean = probabilities.iter().sum::<f64>() / probabilities.len() as f64;
    assert!((0.001..=0.0065).contains(&mean), "{probabilities:?}");
}

#[test]
fn thresholds_do_not_depend_on_test_rows() {
    let people = people(1);
    let chosen = |years: Vec<f32>| {
        let outcome = decide(&people, years, true, "0.5%", &NoJournal);
        let thresholds = outcome.result.heads[0].thresholds.clone();
        let limits = thresholds.iter().flat_map(|at| &at.chosen).cloned().collect::<Vec<_>>();
        (limits, thresholds[0].decisions)
    };
    let (limits, rates) = chosen(people.years.clone());
    let with = |split: Split| -> Vec<f32> {
        let turned = |(row, &years): (&RowInfo, &f32)| {
            if row.split == Some(split) { 60.0 - years } else { years }
        };
        people.rows.iter().zip(&people.years).map(turned).collect()
    };
    let (same, other_rates) = chosen(with(Split::Test));
    assert_eq!(same, limits);
    assert_ne!(other_rates, rates);
    let (moved, _) = chosen(with(Split::Validation));
    assert_ne!(moved, limits, "validation rows choose");
}

#[test]
fn minors_are_sliced_by_age_band_and_attribute() {
    let people = people(2);
    let outcome = decide(&people, people.years.clone(), false, "5%", &NoJournal);
    let at = &outcome.result.heads[0].thresholds[0];
    let names: Vec<(&str, &str)> =
        at.slices.iter().map(|slice| (slice.attribute.as_str(), slice.name.as_str())).collect();
    let expected = [
        ("true age", "0-12"),
        ("true age", "13-15"),
        ("true age", "16-17"),
        ("gender", "female"),
        ("gender", "male"),
    ];
    assert_eq!(names, expected);
    let sum = |range: std::ops::Range<usize>| -> (usize, f64) {
        at.slices[range].iter().fold((0, 0.0), |(rows, hits), slice| {
            let passed = slice.decisions.minors_passed;
            (rows + passed.rows, hits + passed.hits)
        })
    };
    let all = (at.minors, at.decisions.minors_passed.hits);
    assert_eq!((sum(0..3), sum(3..5)), (all, all));
    let oldest = at.slices[2].decisions.minors_passed;
    assert!(oldest.share > at.slices[0].decisions.minors_passed.share);
    assert!(oldest.interval.unwrap().contains(oldest.share.unwrap()));
}

#[test]
fn children_and_old_people_are_reported_separately() {
    let people = people(3);
    let years = people.years.iter().map(|years| years + 10.0).collect();
    let outcome = decide(&people, years, false, "0.5%", &NoJournal);
    let head = &outcome.result.heads[0];
    let names: Vec<&str> = head.by_age.iter().map(|band| band.name.as_str()).collect();
    assert_eq!(names, ["under 18", "60 and older"]);
    assert!(
        head.by_age
            .iter()
            .all(|band| band.metrics.exact_rows() == 2 * band.rows && band.rows > 100)
    );
    assert!(
        head.by_age
            .iter()
            .all(|band| (band.metrics.get(Metric::MeanError).unwrap() + 10.0).abs() < 1.5)
    );
}

#[test]
fn point_predictions_decide_too_and_resume_from_the_journal() {
    let people = people(4);
    let directory = tempfile::tempdir().unwrap();
    for distribution in [false, true] {
        let directory = directory.path().join(distribution.to_string());
        let journal = DirectoryJournal::new(directory);
        let decide = |journal: &dyn Journal| {
            decide(&people, people.years.clone(), distribution, "0.5%", journal).result.heads[0]
                .thresholds
                .clone()
        };
        let first = decide(&journal);
        assert_eq!(first, decide(&journal), "from the journal");
        assert_eq!(first, decide(&NoJournal));
        assert_eq!(first[0].has_distribution, distribution);
        // Distributions of one form order people as their years do.
        assert!((first[0].auc.unwrap() - first[0].auc_of_age.unwrap()).abs() < 1e-3);
    }
}
