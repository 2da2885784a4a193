//! Bundles: the same predictions after a round trip, the same bytes, clear errors for corrupt
//! files.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::OnceLock;

use facefold_core::rng::seeded;
use facefold_core::{
    AgeEstimate, AgeGroups, AgeIntervals, AgeThreshold, AuxiliaryTask, CalibrationRow,
    ExtractorInfo, FamiliarityModel, FeatureDataset, FeatureMatrix, Fingerprint, FittedHead,
    Precision, PredictedTargets, Targets, Task, WeightedRows,
};
use facefold_heads::{
    Bundle, FeatureChoice, HeadOptions, Kernel, TaskHead, WeightFormat, registry,
};
use ndarray::{Array2, ArrayD, ArrayView1, IxDyn};
use proptest::prelude::*;
use rand::Rng as _;

const ROWS: usize = 120;

fn matrix() -> FeatureMatrix {
    let mut generator = seeded(1, "bundle");
    let mut draw = || Array2::from_shape_fn((ROWS, 6), |_| generator.random_range(-1.0..1.0_f32));
    let (plain, mirrored) = (draw(), draw());
    FeatureMatrix::new(plain, Some(mirrored)).unwrap().with_embedding(4).unwrap()
}

fn targets(task: Task, rows: &[usize]) -> Targets {
    match task {
        Task::Age => {
            Targets::exact_years(rows.iter().map(|&row| 20.0 + (row % 50) as f32).collect())
        }
        Task::AgeGroup => {
            Targets::Classes { indices: rows.iter().map(|row| row % 8).collect(), count: 8 }
        }
        Task::Gender | Task::Class => {
            Targets::Classes { indices: rows.iter().map(|row| row % 2).collect(), count: 2 }
        }
    }
}

fn head(kind: &str, task: Task, matrix: &FeatureMatrix) -> (TaskHead, PredictedTargets) {
    let mut options = HeadOptions { unit_columns: Some((0, 4)), ..HeadOptions::default() };
    options.mlp.hidden_layer_sizes = vec![16, 16];
    options.mlp.min_steps = 20;
    options.mlp.epochs = 2;
    let examples = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let targets = targets(task, &rows);
        FeatureDataset::new(matrix, rows, targets).unwrap()
    };
    let auxiliary = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let years = rows.iter().map(|&row| 20.0 + (row % 50) as f32).collect();
        let (task, targets) = match task {
            Task::Age => (Task::Gender, targets(Task::Gender, &rows)),
            _ => (Task::Age, Targets::exact_years(years)),
        };
        vec![AuxiliaryTask { kind: task.into(), rows, targets }]
    };
    let training = examples(0..80).with_auxiliary_tasks(auxiliary(0..80)).unwrap();
    let validation = examples(80..ROWS).with_auxiliary_tasks(auxiliary(80..ROWS)).unwrap();
    let fitted =
        registry::head(kind, &options).unwrap().fit(&training, &validation, 3).unwrap().head;
    let predictions = fitted.predict(matrix, &(0..ROWS).collect::<Vec<_>>()).unwrap().targets;
    let (classes, age_groups) = match task {
        Task::Age => (Vec::new(), None),
        Task::AgeGroup => (AgeGroups::adience().labels(), Some(AgeGroups::adience())),
        Task::Gender | Task::Class => (vec!["f".to_owned(), "m".to_owned()], None),
    };
    let row = |years: u8| CalibrationRow {
        estimate: AgeEstimate::of_years(f32::from(years)),
        truth: (f32::from(years), 1.1 * f32::from(years)),
        weight: 1.0,
        distance: 0.0,
        subject: usize::from(years),
    };
    let age_intervals = match task {
        Task::Age => AgeIntervals::fit(&(0..40).map(row).collect::<Vec<_>>()),
        _ => None,
    };
    let age_thresholds = match task {
        Task::Age => vec![
            AgeThreshold::choose(18, "5%".parse().unwrap(), &[20.5; 80], &[17.5; 80]),
            AgeThreshold::choose(21, "1%".parse().unwrap(), &[20.5; 80], &[40.0; 400]),
        ],
        _ => Vec::new(),
    };
    let state = fitted.state_dict();
    (TaskHead { task, classes, age_groups, age_intervals, age_thresholds, state }, predictions)
}

fn familiarity(matrix: &FeatureMatrix) -> Option<FamiliarityModel> {
    let rows: Vec<usize> = (0..ROWS).collect();
    let weights = [1.0; ROWS];
    let training = WeightedRows { rows: &rows[..60], weights: &weights[..60] };
    FamiliarityModel::fit(matrix, training, &rows[60..]).unwrap()
}

fn fingerprint(text: &str) -> Fingerprint {
    Fingerprint::builder().text("test", text).finish()
}

fn bundle(heads: Vec<TaskHead>) -> Bundle {
    Bundle {
        heads,
        features: FeatureChoice::Both,
        mirrored: true,
        familiarity: familiarity(&matrix()),
        fingerprint: fingerprint("one"),
        extractor: ExtractorInfo {
            backend: "local".to_owned(),
            model: "untrained".to_owned(),
            detector: "none".to_owned(),
            network: "drawn".to_owned(),
            precision: Precision::F32Equivalent,
            execution: "candle f32".to_owned(),
            embedding_length: 4,
            taps_length: 2,
            taps_layout: facefold_core::TAPS_LAYOUT.to_owned(),
            licence: "none".to_owned(),
        },
        training: Vec::new(),
        weights: WeightFormat::F32,
        label_policy: "exact".to_owned(),
        command: "facefold train --seed 3".to_owned(),
        metrics: serde_json::json!({"accuracy": 0.1 + 0.2}),
        licence: "drawn faces: no terms".to_owned(),
        seed: 3,
        facefold_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

#[test]
fn every_head_predicts_the_same_bits_after_a_round_trip() {
    let (matrix, directory) = (matrix(), tempfile::tempdir().unwrap());
    let rows: Vec<usize> = (0..ROWS).collect();
    for (kind, _) in registry::names() {
        let tasks = [Task::Gender, Task::AgeGroup, Task::Age, Task::Class];
        let made: Vec<_> = tasks.iter().map(|&task| head(kind, task, &matrix)).collect();
        let (heads, predictions): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let bundle = bundle(heads);
        let path = directory.path().join(format!("{kind}.facefold"));
        bundle.save(&path).unwrap();
        let loaded = Bundle::load(&path).unwrap();
        assert!(loaded == bundle, "{kind}");
        assert!(loaded.familiarity.is_some());
        for ((fitted, expected), task) in
            loaded.fitted().unwrap().iter().zip(&predictions).zip(tasks)
        {
            assert!(fitted.predict(&matrix, &rows).unwrap().targets == *expected, "{kind} {task}");
        }
    }
}

/// The file says it only where it is not what the features imply, so that files without the field
/// keep their bytes and their meaning.
#[test]
fn whether_heads_see_mirrored_crops_is_kept() {
    for features in [FeatureChoice::Embedding, FeatureChoice::Taps, FeatureChoice::Both] {
        for mirrored in [false, true] {
            let bundle = Bundle { features, mirrored, ..bundle(Vec::new()) };
            let bytes = bundle.to_bytes().unwrap();
            assert!(Bundle::from_bytes(&bytes).unwrap() == bundle, "{features} {mirrored}");
            let said = String::from_utf8_lossy(&bytes).contains(r#"\"mirrored\""#);
            assert_eq!(said, mirrored == (features == FeatureChoice::Embedding), "{features}");
        }
    }
}

#[test]
fn the_same_training_gives_the_same_bytes() {
    let matrix = matrix();
    let make = || bundle(vec![head("mlp", Task::Gender, &matrix).0]).to_bytes().unwrap();
    assert!(make() == make());
}

/// The largest distance between two predictions of probabilities.
fn furthest(one: &Array2<f32>, two: &Array2<f32>) -> f32 {
    one.iter().zip(two).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Mean of each row's distribution over the years 0, 1, 2, …
fn expectations(distribution: &Array2<f32>) -> Vec<f32> {
    let mean = |row: ArrayView1<'_, f32>| -> f32 {
        row.iter().zip(0_u8..).map(|(p, year)| p * f32::from(year)).sum()
    };
    distribution.rows().into_iter().map(mean).collect()
}

#[test]
fn half_precision_changes_predictions_little_and_reads_back_exactly() {
    let matrix = matrix();
    let rows: Vec<usize> = (0..ROWS).collect();
    let (gender, probabilities) = head("mlp", Task::Gender, &matrix);
    let (age, _) = head("mlp", Task::Age, &matrix);
    let full = bundle(vec![gender, age]);
    let half = Bundle { weights: WeightFormat::F16, ..full.clone() };
    let bytes = half.to_bytes().unwrap();
    assert!(bytes.len() < full.to_bytes().unwrap().len());

    let loaded = Bundle::from_bytes(&bytes).unwrap();
    assert!(loaded == Bundle::from_bytes(&bytes).unwrap() && loaded != half);
    // What was rounded once is not rounded again.
    assert!(loaded.to_bytes().unwrap() == bytes);

    let (before, after) = (full.fitted().unwrap(), loaded.fitted().unwrap());
    let PredictedTargets::Classes(before_gender) = probabilities else { panic!("no classes") };
    let PredictedTargets::Classes(after_gender) = after[0].predict(&matrix, &rows).unwrap().targets
    else {
        panic!("no classes")
    };
    let moved = furthest(&before_gender, &after_gender);
    assert!(moved > 0.0 && moved < 0.001, "{moved}");
    // Not the predictions themselves: where those are whole years, a median at a half moves by one.
    let years = |head: &dyn FittedHead| {
        let prediction = head.predict(&matrix, &rows).unwrap();
        expectations(&prediction.age_distribution.expect("a distribution"))
    };
    let moved = years(before[1].as_ref()).into_iter().zip(years(after[1].as_ref()));
    let moved = moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 0.0 && moved < 0.05, "{moved}");
}

/// Sums over hundreds of support vectors: half precision once moved them by 0.2 years and by 0.003.
#[test]
fn svms_of_many_rows_keep_their_predictions_in_half_precision() {
    const N: usize = 600;
    let mut generator = seeded(2, "many rows");
    let plain = Array2::from_shape_fn((N, 64), |_| generator.random_range(-1.0..1.0_f32));
    let many = FeatureMatrix::new(plain, None).unwrap().with_embedding(4).unwrap();
    let years = (0..N).map(|_| generator.random_range(20..70_u8)).map(f32::from).collect();
    let indices = (0..N).map(|_| generator.random_range(0..2)).collect();
    let all = [
        (Task::Age, Targets::exact_years(years)),
        (Task::Gender, Targets::Classes { indices, count: 2 }),
    ];
    for (kind, kernel, smaller) in [
        ("svm", Kernel::Gaussian, false),
        ("svm", Kernel::Polynomial, false),
        ("svm-linear", Kernel::Linear, true),
    ] {
        let mut options = HeadOptions::default();
        (options.svm.kernel, options.svm.c, options.svm.gamma) = (kernel, vec![8.0], vec![0.5]);
        let heads = all.iter().map(|(task, targets)| {
            let rows: Vec<usize> = (0..400).collect();
            let training = FeatureDataset::new(&many, rows.clone(), targets.select(&rows)).unwrap();
            let head = registry::head(kind, &options).unwrap();
            let state = head.fit(&training, &training.empty(), 0).unwrap().head.state_dict();
            let classes = if *task == Task::Age { &[][..] } else { &["f", "m"] };
            TaskHead {
                task: *task,
                classes: classes.iter().map(|&name| name.to_owned()).collect(),
                age_groups: None,
                age_intervals: None,
                age_thresholds: Vec::new(),
                state,
            }
        });
        let full = bundle(heads.collect());
        let half = Bundle { weights: WeightFormat::F16, ..full.clone() };
        let bytes = half.to_bytes().unwrap();
        let of_full = full.to_bytes().unwrap().len();
        assert_eq!(bytes.len() < of_full - 100, smaller, "{kind}: {} {of_full}", bytes.len());
        let loaded = Bundle::from_bytes(&bytes).unwrap();
        let rows: Vec<usize> = (400..N).collect();
        for (before, after) in full.fitted().unwrap().iter().zip(loaded.fitted().unwrap()) {
            let (before, after) =
                (before.predict(&many, &rows).unwrap(), after.predict(&many, &rows).unwrap());
            let (moved, most) = match (&before.targets, &after.targets) {
                (PredictedTargets::Regression(one), PredictedTargets::Regression(two)) => {
                    let moved = one.iter().zip(two).map(|(a, b)| (a - b).abs());
                    (moved.fold(0.0, f32::max), 0.05)
                }
                (PredictedTargets::Classes(one), PredictedTargets::Classes(two)) => {
                    (furthest(one, two), 0.001)
                }
                _ => panic!("other targets"),
            };
            assert!(moved < most, "{kind} {kernel:?}: {moved}");
        }
    }
}

/// A bundle of before 1 December 2026 has matrices of support vectors and coefficients.
#[test]
fn support_vectors_stored_as_a_matrix_are_read() {
    let matrix = matrix();
    let rows: Vec<usize> = (0..ROWS).collect();
    let (mut head, probabilities) = head("svm", Task::AgeGroup, &matrix);
    for (name, width) in [("support", 6), ("coefficients", 28)] {
        let values = head.state.tensors.get_mut(name).unwrap();
        let shape = IxDyn(&[values.len() / width, width]);
        *values = values.to_shape(shape).unwrap().into_owned();
    }
    for weights in [WeightFormat::F32, WeightFormat::F16] {
        let bytes = Bundle { weights, ..bundle(vec![head.clone()]) }.to_bytes().unwrap();
        let fitted = Bundle::from_bytes(&bytes).unwrap().fitted().unwrap();
        let found = fitted[0].predict(&matrix, &rows).unwrap().targets;
        assert_eq!(found == probabilities, weights == WeightFormat::F32);
    }
}

#[test]
fn every_head_can_be_stored_in_half_precision() {
    let (matrix, rows) = (matrix(), (0..ROWS).collect::<Vec<_>>());
    for (kind, _) in registry::names() {
        let (head, probabilities) = head(kind, Task::Gender, &matrix);
        let half = Bundle { weights: WeightFormat::F16, ..bundle(vec![head]) };
        let loaded = Bundle::from_bytes(&half.to_bytes().unwrap()).unwrap();
        let found = loaded.fitted().unwrap()[0].predict(&matrix, &rows).unwrap().targets;
        let (PredictedTargets::Classes(before), PredictedTargets::Classes(after)) =
            (probabilities, found)
        else {
            panic!("{kind}: no classes")
        };
        let moved = furthest(&before, &after);
        assert!(moved < 0.01, "{kind}: {moved}");
    }
}

#[test]
fn three_heads_on_2560_features_in_half_precision_fit_into_6_megabytes() {
    let wide = Array2::from_shape_fn((40, 2_560), |(row, column)| (row * column % 97) as f32);
    let wide = FeatureMatrix::new(wide, None).unwrap();
    let mut options = HeadOptions::default();
    (options.mlp.epochs, options.mlp.min_steps) = (1, 1);
    let heads = [Task::Gender, Task::Age, Task::AgeGroup].map(|task| {
        let examples = |rows: std::ops::Range<usize>| {
            let rows: Vec<usize> = rows.collect();
            let targets = targets(task, &rows);
            FeatureDataset::new(&wide, rows, targets).unwrap()
        };
        let mlp = registry::head("mlp", &options).unwrap();
        let state = mlp.fit(&examples(0..32), &examples(32..40), 0).unwrap().head.state_dict();
        TaskHead {
            task,
            classes: Vec::new(),
            age_groups: None,
            age_intervals: None,
            age_thresholds: Vec::new(),
            state,
        }
    });
    let half = Bundle { weights: WeightFormat::F16, ..bundle(heads.to_vec()) };
    let bytes = half.to_bytes().unwrap().len();
    assert!(bytes > 4_000_000 && bytes < 6_000_000, "{bytes} bytes");
}

#[test]
fn a_weight_beyond_half_precision_is_an_error_with_its_name() {
    let mut large = bundle(vec![head("linear", Task::Gender, &matrix()).0]);
    large.heads[0].state.tensors.get_mut("weights").unwrap().fill(1e6);
    large.to_bytes().unwrap();
    large.weights = WeightFormat::F16;
    let error = large.to_bytes().unwrap_err().to_string();
    for part in ["0/weights", "1000000", "f32"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn another_fingerprint_is_an_error_with_both_fingerprints() {
    let bundle = bundle(Vec::new());
    bundle.check(&fingerprint("one")).unwrap();
    let other = fingerprint("two");
    let error = bundle.check(&other).unwrap_err().to_string();
    for part in [bundle.fingerprint.as_str(), other.as_str(), "untrained", "train a new bundle"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn files_that_are_no_bundle_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gender.facefold");
    let error = Bundle::load(&path).unwrap_err().to_string();
    assert!(error.contains("gender.facefold"), "{error}");
    std::fs::write(&path, "not a bundle").unwrap();
    let error = Bundle::load(&path).unwrap_err().to_string();
    assert!(error.contains("gender.facefold") && error.contains("facefold train"), "{error}");
    assert!(Bundle::from_bytes(&[]).is_err());
}

#[test]
fn familiarity_is_small_and_gives_the_same_scores_after_a_round_trip() {
    const WIDTH: usize = 2_560;
    let mut generator = seeded(1, "familiarity");
    let rows = Array2::from_shape_fn((ROWS, WIDTH), |_| generator.random_range(-1.0..1.0_f32));
    let wide = FeatureMatrix::new(rows, None).unwrap().with_embedding(512).unwrap();
    let bundle = Bundle { familiarity: familiarity(&wide), ..bundle(Vec::new()) };
    let bytes = bundle.to_bytes().unwrap();
    assert!(bytes.len() < 200_000, "{} bytes", bytes.len());
    let loaded = Bundle::from_bytes(&bytes).unwrap();
    let of =
        |bundle: &Bundle| bundle.familiarity.as_ref().unwrap().of(&wide, &[0, 70, 119]).unwrap();
    assert_eq!(of(&loaded), of(&bundle));
}

#[test]
fn inconsistent_heads_are_refused() {
    let matrix = matrix();
    for (kind, _) in registry::names() {
        let (whole, _) = head(kind, Task::AgeGroup, &matrix);
        whole.fitted().unwrap();
        for name in whole.state.tensors.keys() {
            let mut missing = whole.clone();
            missing.state.tensors.remove(name);
            assert!(missing.fitted().is_err(), "{kind} without {name}");
            let mut wrong = whole.clone();
            wrong.state.tensors.insert(name.clone(), ArrayD::zeros(IxDyn(&[3, 1, 2])));
            assert!(wrong.fitted().is_err(), "{kind} with a wrong {name}");
            let mut infinite = whole.clone();
            infinite.state.tensors.get_mut(name).unwrap().fill(f32::NAN);
            assert!(infinite.fitted().is_err(), "{kind} with NaN in {name}");
        }
        let mut fewer = whole.clone();
        fewer.classes.pop();
        assert!(fewer.fitted().is_err(), "{kind} with 7 names for 8 classes");
        let mut years = whole.clone();
        years.task = Task::Age;
        assert!(years.fitted().is_err(), "{kind} for years");
        for count in [0_u64, 3, 1 << 60] {
            let mut other = whole.clone();
            other.state.config["target"]["classes"]["count"] = count.into();
            assert!(other.fitted().is_err(), "{kind} with {count} classes");
        }
    }
}

/// The bytes of a bundle of two small heads.
fn sample() -> &'static (Bundle, Vec<u8>) {
    static SAMPLE: OnceLock<(Bundle, Vec<u8>)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let matrix = matrix();
        let heads = [("linear", Task::Gender), ("mlp", Task::Age)]
            .map(|(kind, task)| head(kind, task, &matrix).0);
        let bundle = bundle(heads.to_vec());
        let bytes = bundle.to_bytes().unwrap();
        (bundle, bytes)
    })
}

proptest! {
    #[test]
    fn corrupt_bytes_are_refused_or_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        header_only in any::<bool>(),
    ) {
        let (bundle, bytes) = sample();
        let mut corrupt = bytes.clone();
        let end = if header_only { 3000.min(bytes.len()) } else { bytes.len() };
        for (position, value) in changes {
            corrupt[position.index(end)] = value;
        }
        // A space of the header's padding may become another blank; nothing else gets through.
        if let Ok(loaded) = Bundle::from_bytes(&corrupt) {
            prop_assert!(loaded == *bundle);
        }
    }

    #[test]
    fn shortened_and_lengthened_files_are_refused(at in any::<prop::sample::Index>(), more in 1..9_usize) {
        let (_, bytes) = sample();
        prop_assert!(Bundle::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(Bundle::from_bytes(&[&bytes[..], &vec![0; more]].concat()).is_err());
    }
}
