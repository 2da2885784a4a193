//! What every head must do: learn, repeat itself, look at nothing it should not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, Companion, Examples, FeatureMatrix, FittedHead, HeadParts, Predictions, Targets,
    Task,
};
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
    let own = Examples::new(matrix, rows.clone(), targets.pick(&rows)).unwrap();
    // For heads that learn tasks together: a number that the plain features tell exactly.
    let years = |&row: &usize| 30.0 + 10.0 * matrix.plain()[[row, 0]].clamp(-2.0, 4.0);
    let targets = Targets::Years(rows.iter().map(years).collect());
    own.with_companions(vec![Companion { task: Task::Age, rows, targets }]).unwrap()
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
        ("mlp-joint", 0.95..1.01),
        ("trees", 0.93..1.01),
        // A cosine sees directions only.
        ("knn", 0.3..0.75),
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
        ("mlp-joint", 3.0),
        ("mlp-two-step", 3.0),
        ("trees", 3.0),
        ("knn", 6.0),
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
        (YearsLoss::Ordinal, adamw, 3e-3, Schedule::OneCycle { warmup: 0.3 }),
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
        let random = name.starts_with("mlp") || name == "svm-linfa";
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
        let sampled = recall(ClassWeights::Sampled);
        assert!(sampled >= plain + 0.08, "{name}: {plain} {sampled}");
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
    for name in ["mlp", "svm", "linear", "trees", "knn"] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let error = fitted.predict(&wide, &[0]).unwrap_err().to_string();
        assert!(error.contains("2 features") && error.contains('5'), "{name}: {error}");
    }
}

/// Features, gender and age of faces that tell both.
fn two_labels(n: usize) -> (FeatureMatrix, Vec<usize>, Vec<f32>) {
    let mut generator = seeded(12, "two labels");
    let plain = Array2::from_shape_fn((n, 8), |_| generator.random_range(-1.0..1.0_f32));
    let genders = plain.rows().into_iter().map(|row| usize::from(row[0] + row[1] > 0.0)).collect();
    let years = plain.rows().into_iter().map(|row| 40.0 + 15.0 * row[2] + 10.0 * row[0]).collect();
    (FeatureMatrix::new(plain, None).unwrap(), genders, years)
}

#[test]
fn joint_training_learns_from_rows_that_lack_a_label() {
    let (matrix, genders, years) = two_labels(600);
    let has_gender = |row: &usize| row % 10 == 0;
    let has_age = |row: &usize| row % 5 != 1;
    let part = |rows: std::ops::Range<usize>| {
        let gendered: Vec<usize> = rows.clone().filter(has_gender).collect();
        let aged: Vec<usize> = rows.filter(has_age).collect();
        let genders = gendered.iter().map(|&row| genders[row]).collect();
        let years = aged.iter().map(|&row| years[row]).collect();
        ((gendered, Targets::Classes { indices: genders, count: 2 }), (aged, Targets::Years(years)))
    };
    let told_by = |of_age: bool| {
        let examples = |rows: std::ops::Range<usize>| {
            let ((gendered, genders), (aged, years)) = part(rows);
            let (own, task, rows, targets) = if of_age {
                (Examples::new(&matrix, aged, years), Task::Gender, gendered, genders)
            } else {
                (Examples::new(&matrix, gendered, genders), Task::Age, aged, years)
            };
            own.unwrap().with_companions(vec![Companion { task, rows, targets }]).unwrap()
        };
        let head = registry::head("mlp-joint", &quick()).unwrap();
        assert!(head.uses_companions());
        let fitted = head.fit(&examples(0..400), &examples(400..500), 1).unwrap();
        // Every row that has any of the two labels.
        assert_eq!(fitted.log().rows_used, 320);
        assert!(fitted.log().notes.iter().any(|note| note.contains("learnt together with")));
        fitted
    };
    let rows: Vec<usize> = (500..600).collect();
    let truth: Vec<usize> = rows.iter().map(|&row| genders[row]).collect();
    let gender = told_by(false);
    let found = accuracy(&shares(gender.predict(&matrix, &rows).unwrap()), &truth);
    assert!(found > 0.85, "{found}");
    let age = told_by(true);
    let error = mean_absolute_error(age.as_ref(), &matrix, &Targets::Years(years.clone()));
    assert!(error < 3.0, "{error}");
    // Each is stored as its trunk and its own outputs.
    assert_eq!(gender.parts().tensors["output.bias"].len(), 2);
    assert_eq!(age.parts().tensors["output.bias"].len(), 117);
}

#[test]
fn joint_training_of_one_task_says_what_to_do() {
    let (matrix, targets) = mirrored();
    let rows: Vec<usize> = (0..100).collect();
    let alone = Examples::new(&matrix, rows.clone(), targets.pick(&rows)).unwrap();
    let head = registry::head("mlp-joint", &quick()).unwrap();
    let error = head.fit(&alone, &alone, 1).err().unwrap().to_string();
    assert!(error.contains("--task gender,age") && error.contains("`mlp`"), "{error}");
}

#[test]
fn age_groups_are_told_from_years() {
    let (matrix, targets) = aged(600, 3);
    let Targets::Years(years) = &targets else { panic!("expected years") };
    let groups = AgeGroups::nine();
    let indices: Vec<usize> =
        years.iter().map(|&years| groups.group_of(years.max(0.0)).unwrap()).collect();
    let classes = Targets::Classes { indices: indices.clone(), count: 9 };
    let grouped = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let ages = Companion { task: Task::Age, rows: rows.clone(), targets: targets.pick(&rows) };
        Examples::new(&matrix, rows.clone(), classes.pick(&rows))
            .unwrap()
            .with_companions(vec![ages])
            .and_then(|examples| examples.with_age_groups(groups.clone()))
            .unwrap()
    };
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    for name in ["mlp", "mlp-by-years"] {
        let head = registry::head(name, &quick()).unwrap();
        let fitted = head.fit(&grouped(0..300), &grouped(300..450), 1).unwrap();
        let found = accuracy(&shares(fitted.predict(&matrix, &rows).unwrap()), &truth);
        assert!(found > if name == "mlp" { 0.6 } else { 0.7 }, "{name}: {found}");
        assert_eq!(
            fitted.year_distribution(&matrix, &rows).unwrap().is_some(),
            name == "mlp-by-years"
        );
        if name == "mlp-by-years" {
            let restored = registry::restore(&fitted.parts()).unwrap();
            assert!(
                restored.predict(&matrix, &rows).unwrap()
                    == fitted.predict(&matrix, &rows).unwrap()
            );
        }
    }
    // Without years it says what to do.
    let none = Examples::new(&matrix, rows.clone(), classes.pick(&rows)).unwrap();
    let none = none.with_age_groups(groups).unwrap();
    let head = registry::head("mlp-by-years", &quick()).unwrap();
    let error = head.fit(&none, &none, 1).err().unwrap().to_string();
    assert!(error.contains("`mlp`"), "{error}");
}

#[test]
fn an_ordinal_head_tells_a_distribution_and_survives_storage() {
    let (matrix, targets) = aged(600, 3);
    let mut options = quick();
    options.mlp.years_loss = YearsLoss::Ordinal;
    let fitted = fit("mlp", &options, &matrix, &targets, 1);
    let rows = test_rows(&matrix);
    let shares = fitted.year_distribution(&matrix, &rows).unwrap().unwrap();
    assert_eq!(shares.ncols(), 117);
    assert!(shares.iter().all(|share| *share >= 0.0));
    assert!(shares.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-4));
    let restored = registry::restore(&fitted.parts()).unwrap();
    assert!(restored.predict(&matrix, &rows).unwrap() == fitted.predict(&matrix, &rows).unwrap());
    let mut parts = fitted.parts();
    parts.tensors.remove("thresholds");
    assert!(registry::restore(&parts).is_err());
}

#[test]
fn a_trained_head_can_be_started_from() {
    let (matrix, targets) = aged(600, 3);
    let trained = fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.start = Some(Arc::new(trained.parts()));
    // A learning rate too small to move anything: the answers are those of the trained head, on
    // rows that the scaling was not fitted to.
    options.mlp.learning_rate = 1e-12;
    options.mlp.least_steps = 1;
    options.mlp.epochs = 1;
    options.mlp.mirror = false;
    let rows = test_rows(&matrix);
    let head = registry::head("mlp", &options).unwrap();
    let (few, kept) = (examples(&matrix, 0..50, &targets), examples(&matrix, 50..90, &targets));
    let fitted = head.fit(&few, &kept, 2).unwrap();
    assert_eq!(fitted.parts().tensors["features.mean"], trained.parts().tensors["features.mean"]);
    assert_eq!(
        fitted.parts().tensors["output.weight"].shape(),
        trained.parts().tensors["output.weight"].shape()
    );
    for name in ["hidden.0.weight", "output.bias"] {
        let (ours, theirs) = (&fitted.parts().tensors[name], &trained.parts().tensors[name]);
        let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-6, "{name}: {largest}");
    }
    assert_eq!(fitted.predict(&matrix, &rows).unwrap().len(), rows.len());
    assert!(fitted.log().notes.iter().any(|note| note.contains("started from")));
    assert_ne!(head.settings(), registry::head("mlp", &quick()).unwrap().settings());

    // Another question takes the hidden layers; a joint one the outputs too.
    let (classes, count) = ((0..600).map(|row| row % 2).collect(), 2);
    let classes = Targets::Classes { indices: classes, count };
    let other =
        head.fit(&examples(&matrix, 0..50, &classes), &examples(&matrix, 0..0, &classes), 2);
    let notes = other.unwrap().log().notes.join(" ");
    assert!(notes.contains("drawn anew"), "{notes}");
    let joint = registry::head("mlp-joint", &options).unwrap().fit(&few, &kept, 2).unwrap();
    let weight = |parts: &HeadParts| parts.tensors["output.weight"][[0, 5]];
    assert!((weight(&joint.parts()) - weight(&trained.parts())).abs() < 1e-6);

    options.mlp.hidden = vec![16];
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("mlp.hidden") && error.contains("[32, 32]"), "{error}");
    options.start = Some(Arc::new(fit("linear", &quick(), &matrix, &targets, 1).parts()));
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("`linear`"), "{error}");
}

#[test]
fn dropout_tells_how_sure_a_head_is() {
    let (matrix, genders, years) = two_labels(600);
    let rows = test_rows(&matrix);
    for targets in [Targets::Years(years), Targets::Classes { indices: genders, count: 2 }] {
        let silent = fit("mlp", &quick(), &matrix, &targets, 1);
        assert_eq!(silent.spread(&matrix, &rows).unwrap(), None);
        let mut options = quick();
        options.mlp.spread_passes = 20;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let spread = fitted.spread(&matrix, &rows).unwrap().unwrap();
        assert_eq!(spread.len(), rows.len());
        assert!(spread.iter().all(|spread| *spread >= 0.0 && spread.is_finite()));
        assert_eq!(fitted.spread(&matrix, &rows).unwrap().unwrap(), spread);
        // Rows near the border between the genders are told less surely.
        if let Targets::Classes { .. } = targets {
            let mean = |near: bool| {
                let margin =
                    |row: usize| (matrix.plain()[[row, 0]] + matrix.plain()[[row, 1]]).abs();
                let chosen =
                    rows.iter().zip(&spread).filter(|(row, _)| (margin(**row) < 0.3) == near);
                let chosen: Vec<f32> = chosen.map(|(_, spread)| *spread).collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            assert!(mean(true) > 1.5 * mean(false), "{} {}", mean(true), mean(false));
        }
        // Dropping nothing varies nothing.
        options.mlp.dropout = 0.0;
        let spread = fit("mlp", &options, &matrix, &targets, 1).spread(&matrix, &rows).unwrap();
        assert!(spread.unwrap().iter().all(|spread| *spread < 1e-6));
    }
}

#[test]
fn a_refit_learns_from_the_validation_rows_and_is_not_judged_by_them() {
    let (matrix, targets) = aged(600, 3);
    let once = fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.mlp.refit = true;
    let twice = fit("mlp", &options, &matrix, &targets, 1);
    assert_eq!((once.log().rows_used, twice.log().rows_used), (300, 450));
    let kept: Vec<usize> = (300..450).collect();
    let validation = |fitted: &dyn FittedHead| fitted.predict_validation(&matrix, &kept).unwrap();
    assert!(validation(once.as_ref()) == once.predict(&matrix, &kept).unwrap());
    // What is said of the validation rows is what the first fit said.
    assert!(validation(twice.as_ref()) == validation(once.as_ref()));
    assert!(twice.predict(&matrix, &kept).unwrap() != validation(once.as_ref()));
    assert!(twice.log().epochs == once.log().epochs);
    let error = mean_absolute_error(twice.as_ref(), &matrix, &targets);
    assert!(error < 3.0, "{error}");
    // Classes keep the temperature that the validation rows chose.
    let (matrix, targets) = mirrored();
    let temperature = |options: &HeadOptions| {
        fit("mlp", options, &matrix, &targets, 1).parts().tensors["answer"][[0]]
    };
    assert_eq!(temperature(&quick()), temperature(&options));
}
