//! What every head must do: learn, repeat itself, look at nothing it should not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use facefold_core::rng::seeded;
use facefold_core::{Examples, FeatureMatrix, FittedHead, HeadParts, Predictions, Targets};
use facefold_heads::{
    ClassWeights, HeadOptions, Optimiser, Schedule, YearsAnswer, YearsLoss, registry,
};
use ndarray::Array2;
use rand::Rng as _;

/// Rows around `centres`, taking turns, with this spread.
fn blobs(centres: &[[f32; 2]], n: usize, spread: f32, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut generator = seeded(seed, "blobs");
    let classes: Vec<usize> = (0..n).map(|i| i % centres.len()).collect();
    let plain = Array2::from_shape_fn((n, 2), |(row, column)| {
        centres[classes[row]][column] + spread * generator.random_range(-1.0..1.0)
    });
    (plain, classes)
}

/// Two classes: inside, and on a ring around it.
fn ring(n: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut generator = seeded(seed, "ring");
    let classes: Vec<usize> = (0..n).map(|i| i % 2).collect();
    let mut plain = Array2::zeros((n, 2));
    for (row, class) in classes.iter().enumerate() {
        let angle: f32 = generator.random_range(0.0..std::f32::consts::TAU);
        let radius = [0.5, 2.0][*class] * generator.random_range(0.8..1.2);
        plain[[row, 0]] = radius * angle.cos();
        plain[[row, 1]] = radius * angle.sin();
    }
    (plain, classes)
}

fn examples<'a>(
    matrix: &'a FeatureMatrix,
    rows: std::ops::Range<usize>,
    targets: &Targets,
) -> Examples<'a> {
    let rows: Vec<usize> = rows.collect();
    let targets = match targets {
        Targets::Classes { indices, count } => Targets::Classes {
            indices: rows.iter().map(|&row| indices[row]).collect(),
            count: *count,
        },
        Targets::Years(years) => Targets::Years(rows.iter().map(|&row| years[row]).collect()),
    };
    Examples::new(matrix, rows, targets).unwrap()
}

fn shares(predictions: Predictions) -> Array2<f32> {
    match predictions {
        Predictions::Classes(shares) => shares,
        Predictions::Years(_) => panic!("expected classes"),
    }
}

fn years(predictions: Predictions) -> Vec<f32> {
    match predictions {
        Predictions::Years(years) => years,
        Predictions::Classes(_) => panic!("expected years"),
    }
}

fn accuracy(shares: &Array2<f32>, classes: &[usize]) -> f32 {
    let right = shares.rows().into_iter().zip(classes).filter(|(row, class)| {
        assert!((row.sum() - 1.0).abs() < 1e-4, "{row}");
        let largest = row.iter().copied().fold(0.0, f32::max);
        row.iter().position(|share| *share == largest) == Some(**class)
    });
    right.count() as f32 / classes.len() as f32
}

/// Settings under which toy problems take a moment.
fn quick() -> HeadOptions {
    let mut options = HeadOptions::default();
    options.mlp.hidden = vec![32, 32];
    options.mlp.input_dropout = 0.0;
    options.mlp.dropout = 0.1;
    options.mlp.mixup = 0.0;
    options.mlp.least_steps = 300;
    options
}

fn fit(
    name: &str,
    options: &HeadOptions,
    matrix: &FeatureMatrix,
    targets: &Targets,
    seed: u64,
) -> Box<dyn FittedHead> {
    let (n, head) = (matrix.rows(), registry::head(name, options).unwrap());
    let training = examples(matrix, 0..n / 2, targets);
    let validation = examples(matrix, n / 2..n * 3 / 4, targets);
    head.fit(&training, &validation, seed).unwrap()
}

fn test_rows(matrix: &FeatureMatrix) -> Vec<usize> {
    (matrix.rows() * 3 / 4..matrix.rows()).collect()
}

#[test]
fn every_head_but_the_majority_learns_blobs() {
    let (plain, indices) = blobs(&[[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], 400, 1.0, 1);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    let targets = Targets::Classes { indices, count: 3 };
    for (name, _) in registry::names() {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let found = accuracy(&shares(fitted.predict(&matrix, &rows).unwrap()), &truth);
        let expected = if name == "majority" { 0.2..0.5 } else { 0.97..1.01 };
        assert!(expected.contains(&found), "{name}: {found}");
    }
}

#[test]
fn bent_boundaries_need_a_bent_head() {
    let (plain, indices) = ring(400, 2);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    let targets = Targets::Classes { indices, count: 2 };
    for (name, expected) in [
        ("svm", 0.98..1.01),
        ("mlp", 0.95..1.01),
        ("mlp-residual", 0.95..1.01),
        ("svm-linfa", 0.98..1.01),
        ("svm-linear", 0.3..0.75),
        ("linear", 0.3..0.75),
    ] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let found = accuracy(&shares(fitted.predict(&matrix, &rows).unwrap()), &truth);
        assert!(expected.contains(&found), "{name}: {found}");
    }
}

/// Years that are a sum of two features, 10 to 70.
fn aged(n: usize, seed: u64) -> (FeatureMatrix, Targets) {
    let mut generator = seeded(seed, "aged");
    let plain = Array2::from_shape_fn((n, 3), |_| generator.random_range(-1.0..1.0_f32));
    let years = plain.rows().into_iter().map(|row| 40.0 + 20.0 * row[0] + 10.0 * row[1]).collect();
    (FeatureMatrix::new(plain, None).unwrap(), Targets::Years(years))
}

fn mean_absolute_error(fitted: &dyn FittedHead, matrix: &FeatureMatrix, targets: &Targets) -> f32 {
    let Targets::Years(truth) = targets else { panic!("expected years") };
    let rows = test_rows(matrix);
    let found = years(fitted.predict(matrix, &rows).unwrap());
    let errors = rows.iter().zip(found).map(|(&row, found)| (truth[row] - found).abs());
    errors.sum::<f32>() / rows.len() as f32
}

#[test]
fn every_head_but_the_majority_learns_years() {
    let (matrix, targets) = aged(600, 3);
    for (name, most) in [
        ("linear", 0.2),
        ("svm-linear", 1.5),
        ("svm", 2.0),
        ("svm-linfa", 2.0),
        ("mlp", 3.0),
        ("mlp-residual", 3.0),
    ] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let error = mean_absolute_error(fitted.as_ref(), &matrix, &targets);
        assert!(error < most, "{name}: {error}");
    }
    let floor = fit("majority", &quick(), &matrix, &targets, 1);
    assert!(mean_absolute_error(floor.as_ref(), &matrix, &targets) > 8.0);
}

#[test]
fn every_loss_optimiser_and_schedule_learns_years() {
    let (matrix, targets) = aged(600, 4);
    let adamw = Optimiser::AdamW { weight_decay: 0.01 };
    let sgd = Optimiser::Sgd { momentum: 0.9, weight_decay: 1e-4 };
    let plateau = Schedule::Plateau { factor: 0.3, patience: 2 };
    let distribution = YearsLoss::Distribution { sigma: 2.0, l1: 0.1 };
    for (loss, optimiser, rate, schedule) in [
        (YearsLoss::L1, adamw, 3e-3, Schedule::Constant),
        (YearsLoss::L2, sgd, 0.02, Schedule::Exponential { factor: 0.9 }),
        (YearsLoss::L2, adamw, 3e-3, plateau),
        (distribution, sgd, 0.1, Schedule::OneCycle { warmup: 0.3 }),
    ] {
        let mut options = quick();
        options.mlp.years_loss = loss;
        options.mlp.optimiser = optimiser;
        options.mlp.learning_rate = rate;
        options.mlp.schedule = schedule;
        options.mlp.years_answer = YearsAnswer::Expectation;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let error = mean_absolute_error(fitted.as_ref(), &matrix, &targets);
        assert!(error < 4.0, "{loss:?} {optimiser:?} {schedule:?}: {error}");
    }
}

/// A matrix with mirrored rows and all sources of randomness in use.
fn mirrored() -> (FeatureMatrix, Targets) {
    let (plain, indices) = blobs(&[[0.0, 0.0], [1.0, 1.0]], 200, 1.0, 5);
    let mirrored = plain.mapv(|value| value + 0.1);
    let matrix = FeatureMatrix::new(plain, Some(mirrored)).unwrap();
    (matrix, Targets::Classes { indices, count: 2 })
}

#[test]
fn the_same_seed_gives_the_same_bits_in_any_pool() {
    let (matrix, targets) = mirrored();
    let mut options = HeadOptions::default();
    options.mlp.hidden = vec![64, 64];
    options.mlp.epochs = 3;
    options.mlp.least_steps = 10;
    options.svm.max_rows = Some(60);
    let rows = test_rows(&matrix);
    for (name, _) in registry::names() {
        let run = |seed| {
            let fitted = fit(name, &options, &matrix, &targets, seed);
            (fitted.parts(), shares(fitted.predict(&matrix, &rows).unwrap()))
        };
        let reference = run(7);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| run(7)) == reference, "{name} on {threads} threads");
        }
        let random = ["mlp", "mlp-ensemble", "mlp-residual", "svm-linfa"].contains(&name);
        assert_eq!(run(8) != reference, random, "{name}: another seed");
    }
}

#[test]
fn rows_that_are_not_for_training_change_no_weight() {
    let (matrix, targets) = mirrored();
    let mut plain = matrix.plain().clone();
    // Rows that neither training nor validation names: leakage of any kind would show.
    for &row in &test_rows(&matrix) {
        plain.row_mut(row).fill(1e6);
    }
    let spoilt = FeatureMatrix::new(plain, matrix.mirrored().cloned()).unwrap();
    for (name, _) in registry::names() {
        let parts = fit(name, &quick(), &matrix, &targets, 1).parts();
        assert!(parts == fit(name, &quick(), &spoilt, &targets, 1).parts(), "{name}");
    }
}

#[test]
fn validation_rows_choose_but_do_not_teach() {
    let (matrix, targets) = mirrored();
    let Targets::Classes { indices, count } = &targets else { panic!("expected classes") };
    let mut options = quick();
    options.linear.penalties = vec![0.01];
    options.svm.cost = vec![2.0];
    options.svm.gamma = vec![1.0];
    let n = matrix.rows();
    // Validation rows whose classes are turned round: another epoch, temperature or sigmoid may
    // come of it, but no other weights.
    let turned = indices.iter().enumerate();
    let turned = turned.map(|(row, &class)| if row < n / 2 { class } else { 1 - class }).collect();
    let turned = Targets::Classes { indices: turned, count: *count };
    for name in ["svm", "svm-linear", "svm-linfa", "linear"] {
        let mut one = fit(name, &options, &matrix, &targets, 1).parts().tensors;
        let mut other = fit(name, &options, &matrix, &turned, 1).parts().tensors;
        assert_eq!(one.remove("sigmoids").is_some(), other.remove("sigmoids").is_some());
        assert!(one == other, "{name}");
    }
    // The learning curve of training rows is the same whatever the validation rows say.
    let curve = |targets: &Targets| -> Vec<f64> {
        let fitted = fit("mlp", &options, &matrix, targets, 1);
        fitted.log().epochs.iter().map(|epoch| epoch.training_loss).collect()
    };
    assert_eq!(curve(&targets), curve(&turned));
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends_training() {
    // Twelve rows with classes at random: the validation loss rises almost from the start.
    let mut generator = seeded(6, "noise");
    let plain = Array2::from_shape_fn((80, 20), |_| generator.random_range(-1.0..1.0_f32));
    let indices = (0..80).map(|_| generator.random_range(0..2)).collect();
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let targets = Targets::Classes { indices, count: 2 };
    let mut options = quick();
    options.mlp.schedule = Schedule::Constant;
    options.mlp.epochs = 60;
    options.mlp.temperature = false;
    let all = fit("mlp", &options, &matrix, &targets, 1);
    assert_eq!(all.log().epochs.len(), 300);
    let lowest = all
        .log()
        .epochs
        .iter()
        .min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))
        .unwrap();
    assert_eq!(all.log().best_epoch, Some(lowest.number));
    // What is kept really is that epoch: its loss comes out again from the kept weights.
    let rows: Vec<usize> = (40..60).collect();
    let told = shares(all.predict(&matrix, &rows).unwrap());
    let Targets::Classes { indices, .. } = &targets else { panic!("expected classes") };
    let loss: f64 = rows
        .iter()
        .zip(told.rows())
        .map(|(&row, told)| -f64::from(told[indices[row]]).ln())
        .sum::<f64>()
        / 20.0;
    assert!((loss - lowest.validation_loss).abs() < 1e-4, "{loss} {lowest:?}");

    options.mlp.patience = Some(3);
    let short = fit("mlp", &options, &matrix, &targets, 1);
    let (log, best) = (short.log(), short.log().best_epoch.unwrap());
    assert_eq!(log.epochs.len(), best + 3);
    assert!(log.notes.iter().any(|note| note.contains("stopped after epoch")), "{:?}", log.notes);
}

#[test]
fn class_weights_help_the_rare_class() {
    let mut generator = seeded(9, "rare");
    let indices: Vec<usize> = (0..400).map(|i| usize::from(i % 10 == 0)).collect();
    let plain = Array2::from_shape_fn((400, 2), |(row, _)| {
        indices[row] as f32 * 0.8 + generator.random_range(-1.0..1.0_f32)
    });
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows = test_rows(&matrix);
    let rare: Vec<usize> = rows.iter().copied().filter(|&row| indices[row] == 1).collect();
    let targets = Targets::Classes { indices, count: 2 };
    for name in ["linear", "mlp", "mlp-residual"] {
        let recall = |class_weights| {
            let options = HeadOptions { class_weights, ..quick() };
            let mut options = options;
            options.mlp.temperature = false;
            let fitted = fit(name, &options, &matrix, &targets, 1);
            accuracy(&shares(fitted.predict(&matrix, &rare).unwrap()), &vec![1; rare.len()])
        };
        let (plain, balanced) = (recall(ClassWeights::None), recall(ClassWeights::Balanced));
        assert!(balanced >= plain + 0.15, "{name}: {plain} {balanced}");
    }
}

#[test]
fn a_large_set_is_thinned_for_linfa_and_says_so() {
    let (matrix, targets) = mirrored();
    let mut options = quick();
    let all = fit("svm-linfa", &options, &matrix, &targets, 1);
    assert_eq!((all.log().rows_used, all.log().notes.len()), (100, 0));
    options.svm.max_rows = Some(40);
    let some = fit("svm-linfa", &options, &matrix, &targets, 1);
    assert_eq!(some.log().rows_used, 40);
    assert!(some.log().notes[0].contains("subsample of 40 of 100 rows"), "{:?}", some.log().notes);
}

#[test]
fn a_class_without_training_rows_is_never_told() {
    let (plain, indices) = blobs(&[[0.0, 0.0], [3.0, 0.0]], 200, 1.0, 8);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let indices = indices.into_iter().map(|class| class * 2).collect();
    let targets = Targets::Classes { indices, count: 3 };
    for (name, _) in registry::names() {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let told = shares(fitted.predict(&matrix, &test_rows(&matrix)).unwrap());
        assert!(told.column(1).iter().all(|&share| share < 0.2), "{name}: {told}");
    }
}

#[test]
fn one_class_alone_and_no_validation_rows_are_no_crash() {
    let matrix = FeatureMatrix::new(Array2::eye(4), None).unwrap();
    let one = Targets::Classes { indices: vec![1; 4], count: 2 };
    let none = examples(&matrix, 0..0, &one);
    let training = examples(&matrix, 0..4, &one);
    for (name, _) in registry::names() {
        let head = registry::head(name, &quick()).unwrap();
        let fitted = head.fit(&training, &none, 1).unwrap();
        let told = shares(fitted.predict(&matrix, &[0, 3]).unwrap());
        assert!(told.column(1).iter().all(|&share| share > 0.5), "{name}: {told}");
        assert!(head.fit(&none, &none, 1).is_err(), "{name}: no training rows");
        assert_eq!(fitted.predict(&matrix, &[]).unwrap().len(), 0);
    }
}

#[test]
fn an_ensemble_answers_with_the_mean_of_its_members() {
    let (matrix, targets) = mirrored();
    let rows = test_rows(&matrix);
    let told = |members: usize| {
        let mut options = quick();
        options.ensemble.members = members;
        let fitted = fit("mlp-ensemble", &options, &matrix, &targets, 1);
        (shares(fitted.predict(&matrix, &rows).unwrap()), fitted.parts())
    };
    let alone = fit("mlp", &quick(), &matrix, &targets, 1);
    let alone = shares(alone.predict(&matrix, &rows).unwrap());
    assert_eq!(told(1).0, alone);
    let (mean, parts) = told(2);
    // The second member, taken out of the stored ensemble.
    let other = parts
        .tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("1.")?.to_owned(), tensor.clone())));
    let config = parts.config["settings"][1]["config"].clone();
    let other = HeadParts { kind: "mlp".to_owned(), config, tensors: other.collect() };
    let other = shares(registry::restore(&other).unwrap().predict(&matrix, &rows).unwrap());
    assert_ne!(other, alone);
    for (mean, (one, other)) in mean.iter().zip(alone.iter().zip(&other)) {
        assert!((mean - f32::midpoint(*one, *other)).abs() < 1e-6);
    }
}

#[test]
fn another_width_is_refused_with_both_numbers() {
    let (matrix, targets) = mirrored();
    let wide = FeatureMatrix::new(Array2::zeros((3, 5)), None).unwrap();
    for name in ["mlp", "svm", "linear"] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let error = fitted.predict(&wide, &[0]).unwrap_err().to_string();
        assert!(error.contains("2 features") && error.contains('5'), "{name}: {error}");
    }
}
