//! Heads are reproducible, use no rows that they should not, and note what they did.

use facefold_core::rng::seeded;
use facefold_core::{FeatureMatrix, PredictedTargets, Prediction, StateDict, Targets};
use facefold_heads::{ClassWeights, HeadOptions, Schedule, registry};
use ndarray::{Array2, Axis};
use rand::Rng as _;

use crate::support::{accuracy, blobs, examples, fit, mirrored, probabilities, quick, test_rows};

#[test]
fn the_same_seed_gives_the_same_bits_in_any_pool() {
    let (matrix, targets) = mirrored();
    let mut options = HeadOptions::default();
    options.mlp.hidden_layer_sizes = vec![64, 64];
    options.mlp.epochs = 3;
    options.mlp.min_steps = 10;
    options.svm.max_rows = Some(60);
    let rows = test_rows(&matrix);
    for (name, _) in registry::names() {
        let run = |seed| {
            let fitted = fit(name, &options, &matrix, &targets, seed);
            (fitted.state_dict(), probabilities(fitted.predict(&matrix, &rows).unwrap()))
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
fn rows_outside_the_training_set_change_no_weight() {
    let (matrix, targets) = mirrored();
    let mut plain = matrix.plain().to_array();
    // Rows that neither training nor validation names: leakage of any kind would show.
    for &row in &test_rows(&matrix) {
        plain.row_mut(row).fill(1e6);
    }
    let spoilt = FeatureMatrix::of_rows(plain.into(), matrix.mirrored().cloned()).unwrap();
    for (name, _) in registry::names() {
        let state = fit(name, &quick(), &matrix, &targets, 1).state_dict();
        assert!(state == fit(name, &quick(), &spoilt, &targets, 1).state_dict(), "{name}");
    }
}

#[test]
fn validation_rows_choose_but_are_not_trained_on() {
    let (matrix, targets) = mirrored();
    let Targets::Classes { indices, count } = &targets else { panic!("expected classes") };
    let mut options = quick();
    options.linear.l2_penalties = vec![0.01];
    options.svm.c = vec![2.0];
    options.svm.gamma = vec![1.0];
    let n = matrix.rows();
    // Validation rows whose classes are turned round: another epoch, temperature or sigmoid may
    // come of it, but no other weights.
    let turned = indices.iter().enumerate();
    let turned = turned.map(|(row, &class)| if row < n / 2 { class } else { 1 - class }).collect();
    let turned = Targets::Classes { indices: turned, count: *count };
    for name in ["svm", "svm-linear", "svm-linfa", "linear"] {
        let mut one = fit(name, &options, &matrix, &targets, 1).state_dict().tensors;
        let mut other = fit(name, &options, &matrix, &turned, 1).state_dict().tensors;
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
fn early_stopping_ends_training_and_restores_the_best_epoch() {
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
    let predicted = probabilities(all.predict(&matrix, &rows).unwrap());
    let Targets::Classes { indices, .. } = &targets else { panic!("expected classes") };
    let loss: f64 = rows
        .iter()
        .zip(predicted.rows())
        .map(|(&row, predicted)| -f64::from(predicted[indices[row]]).ln())
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
fn class_weights_raise_recall_of_the_rare_class() {
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
            accuracy(&probabilities(fitted.predict(&matrix, &rare).unwrap()), &vec![1; rare.len()])
        };
        let (plain, balanced) = (recall(ClassWeights::None), recall(ClassWeights::Balanced));
        assert!(balanced >= plain + 0.15, "{name}: {plain} {balanced}");
        let sampled = recall(ClassWeights::Sampled);
        assert!(sampled >= plain + 0.08, "{name}: {plain} {sampled}");
    }
}

#[test]
fn linfa_trains_on_a_stratified_subsample_and_notes_it() {
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
fn a_class_without_training_rows_is_never_predicted() {
    let (plain, indices) = blobs(&[[0.0, 0.0], [3.0, 0.0]], 200, 1.0, 8);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let indices = indices.into_iter().map(|class| class * 2).collect();
    let targets = Targets::Classes { indices, count: 3 };
    for (name, _) in registry::names() {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let predicted = probabilities(fitted.predict(&matrix, &test_rows(&matrix)).unwrap());
        assert!(predicted.column(1).iter().all(|&share| share < 0.2), "{name}: {predicted}");
    }
}

#[test]
fn one_class_and_no_validation_rows_can_be_fitted() {
    let matrix = FeatureMatrix::new(Array2::eye(4), None).unwrap();
    let one = Targets::Classes { indices: vec![1; 4], count: 2 };
    let none = examples(&matrix, 0..0, &one);
    let training = examples(&matrix, 0..4, &one);
    for (name, _) in registry::names() {
        let head = registry::head(name, &quick()).unwrap();
        let fitted = head.fit(&training, &none, 1).unwrap().head;
        let predicted = probabilities(fitted.predict(&matrix, &[0, 3]).unwrap());
        assert!(predicted.column(1).iter().all(|&share| share > 0.5), "{name}: {predicted}");
        assert!(head.fit(&none, &none, 1).is_err(), "{name}: no training rows");
        assert_eq!(fitted.predict(&matrix, &[]).unwrap().len(), 0);
    }
}

#[test]
fn bits_of_a_row_do_not_depend_on_other_rows() {
    let mut generator = seeded(9, "rows alone");
    let plain = Array2::from_shape_fn((400, 67), |_| generator.random_range(-1.0..1.0_f32));
    let years = plain.rows().into_iter().map(|row| 40.0 + 20.0 * row[0] + 10.0 * row[1]);
    let years = Targets::exact_years(years.collect());
    let indices = plain.rows().into_iter().map(|row| usize::from(row[0] + row[2] > 0.0)).collect();
    let mirrored = plain.mapv(|value| value + 0.03);
    let matrix = FeatureMatrix::new(plain, Some(mirrored)).unwrap();
    let mut options = quick();
    options.mlp.epochs = 1;
    options.mlp.min_steps = 10;
    options.mlp.input_dropout = 0.1;
    options.mlp.mc_dropout_passes = 3;
    options.svm.max_rows = Some(60);
    options.trees.num_iterations = 10;
    let rows = [300, 311, 322, 333, 399];
    for targets in [years, Targets::Classes { indices, count: 2 }] {
        for (name, _) in registry::names() {
            let fitted = fit(name, &options, &matrix, &targets, 1);
            let together = fitted.predict(&matrix, &rows).unwrap();
            for (place, &row) in rows.iter().enumerate() {
                let alone = fitted.predict(&matrix, &[row]).unwrap();
                assert!(alone == of_row(&together, place), "{name}: row {row}");
            }
        }
    }
}

/// The prediction for one of the rows.
fn of_row(prediction: &Prediction, place: usize) -> Prediction {
    let rows = |all: &Array2<f32>| all.select(Axis(0), &[place]);
    Prediction {
        targets: match &prediction.targets {
            PredictedTargets::Classes(all) => PredictedTargets::Classes(rows(all)),
            PredictedTargets::Regression(years) => PredictedTargets::Regression(vec![years[place]]),
        },
        age_distribution: prediction.age_distribution.as_ref().map(rows),
        uncertainty: prediction.uncertainty.as_ref().map(|all| vec![all[place]]),
    }
}

#[test]
fn an_ensemble_predicts_the_mean_of_its_members() {
    let (matrix, targets) = mirrored();
    let rows = test_rows(&matrix);
    let predicted = |members: usize| {
        let mut options = quick();
        options.ensemble.members = members;
        let fitted = fit("mlp-ensemble", &options, &matrix, &targets, 1);
        (probabilities(fitted.predict(&matrix, &rows).unwrap()), fitted.state_dict())
    };
    let alone = fit("mlp", &quick(), &matrix, &targets, 1);
    let alone = probabilities(alone.predict(&matrix, &rows).unwrap());
    assert_eq!(predicted(1).0, alone);
    let (mean, state) = predicted(2);
    // The second member, taken out of the stored ensemble.
    let other = state
        .tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("1.")?.to_owned(), tensor.clone())));
    let config = state.config["settings"][1]["config"].clone();
    let other = StateDict { kind: "mlp".to_owned(), config, tensors: other.collect() };
    let other = probabilities(registry::restore(&other).unwrap().predict(&matrix, &rows).unwrap());
    assert_ne!(other, alone);
    for (mean, (one, other)) in mean.iter().zip(alone.iter().zip(&other)) {
        assert!((mean - f32::midpoint(*one, *other)).abs() < 1e-6);
    }
}

#[test]
fn another_feature_width_is_an_error_with_both_widths() {
    let (matrix, targets) = mirrored();
    let wide = FeatureMatrix::new(Array2::zeros((3, 5)), None).unwrap();
    for name in ["mlp", "svm", "linear", "trees", "knn"] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let error = fitted.predict(&wide, &[0]).unwrap_err().to_string();
        assert!(error.contains("2 features") && error.contains('5'), "{name}: {error}");
    }
}
