//! Every head learns separable problems.

use facefold_core::{FeatureMatrix, FittedHead, Targets};
use facefold_heads::{AgeDecoding, AgeLoss, OptimizerKind, Schedule, registry};
use ndarray::{Array2, ArrayView1};

use crate::support::{
    accuracy, aged, blobs, fit, mean_absolute_error, probabilities, quick, ring, test_rows, years,
};

#[test]
fn every_head_but_the_baseline_learns_blobs() {
    let (plain, indices) = blobs(&[[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], 400, 1.0, 1);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    let targets = Targets::Classes { indices, count: 3 };
    for (name, _) in registry::names() {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let found = accuracy(&probabilities(fitted.predict(&matrix, &rows).unwrap()), &truth);
        let expected = if name == "majority" { 0.2..0.5 } else { 0.97..1.01 };
        assert!(expected.contains(&found), "{name}: {found}");
    }
}

#[test]
fn nonlinear_boundaries_need_a_nonlinear_head() {
    let (plain, indices) = ring(400, 2);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    let targets = Targets::Classes { indices, count: 2 };
    for (name, expected) in [
        ("svm", 0.98..1.01),
        ("mlp", 0.95..1.01),
        ("mlp-residual", 0.95..1.01),
        ("mlp-multi-task", 0.95..1.01),
        ("trees", 0.93..1.01),
        // A cosine sees directions only.
        ("knn", 0.3..0.75),
        ("svm-linfa", 0.98..1.01),
        ("svm-linear", 0.3..0.75),
        ("linear", 0.3..0.75),
    ] {
        let fitted = fit(name, &quick(), &matrix, &targets, 1);
        let found = accuracy(&probabilities(fitted.predict(&matrix, &rows).unwrap()), &truth);
        assert!(expected.contains(&found), "{name}: {found}");
    }
}

#[test]
fn every_head_but_the_baseline_learns_ages() {
    let (matrix, targets) = aged(600, 3);
    for (name, most) in [
        ("linear", 0.2),
        ("svm-linear", 1.5),
        ("svm", 2.0),
        ("svm-linfa", 2.0),
        ("mlp", 3.0),
        ("mlp-residual", 3.0),
        ("mlp-multi-task", 3.0),
        ("mlp-stacked", 3.0),
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
fn every_loss_optimizer_and_schedule_learns_ages() {
    let (matrix, targets) = aged(600, 4);
    let adamw = OptimizerKind::AdamW { weight_decay: 0.01 };
    let sgd = OptimizerKind::Sgd { momentum: 0.9, weight_decay: 1e-4 };
    let plateau = Schedule::Plateau { factor: 0.3, patience: 2 };
    let distribution = AgeLoss::Distribution { sigma: 2.0, growth: 0.02, l1: 0.1 };
    for (loss, optimiser, rate, schedule) in [
        (AgeLoss::L1, adamw, 3e-3, Schedule::Constant),
        (AgeLoss::L2, sgd, 0.02, Schedule::Exponential { factor: 0.9 }),
        (AgeLoss::L2, adamw, 3e-3, plateau),
        (distribution, sgd, 0.1, Schedule::OneCycle { warmup: 0.3 }),
        (AgeLoss::Ordinal, adamw, 3e-3, Schedule::OneCycle { warmup: 0.3 }),
    ] {
        let mut options = quick();
        options.mlp.age_loss = loss;
        options.mlp.optimizer = optimiser;
        options.mlp.learning_rate = rate;
        options.mlp.schedule = schedule;
        options.mlp.age_decoding = AgeDecoding::Expectation;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let error = mean_absolute_error(fitted.as_ref(), &matrix, &targets);
        assert!(error < 4.0, "{loss:?} {optimiser:?} {schedule:?}: {error}");
    }
}

/// The year at which half of each row's distribution is reached.
fn median_years(probabilities: &Array2<f32>) -> Vec<f32> {
    let half = |row: ArrayView1<'_, f32>| {
        let mut reached = 0.0;
        row.iter().position(|share| {
            reached += share;
            reached >= 0.5 * row.sum()
        })
    };
    probabilities.rows().into_iter().map(|row| half(row).unwrap() as f32).collect()
}

#[test]
fn an_ensemble_decodes_its_mean_distribution() {
    let (matrix, targets) = aged(300, 6);
    let rows = test_rows(&matrix);
    let mut options = quick();
    options.ensemble.members = 3;
    let ensemble = fit("mlp-ensemble", &options, &matrix, &targets, 2);
    let predictions = |fitted: &dyn FittedHead| years(fitted.predict(&matrix, &rows).unwrap());
    let predicted = predictions(ensemble.as_ref());
    let probabilities = ensemble.predict(&matrix, &rows).unwrap().age_distribution.unwrap();
    assert_eq!(predicted, median_years(&probabilities));
    // Restored, it says the same, and so it does not of one member's distribution alone.
    let restored = registry::restore(&ensemble.state_dict()).unwrap();
    assert_eq!(predictions(restored.as_ref()), predicted);
    options.ensemble.members = 1;
    let one = fit("mlp-ensemble", &options, &matrix, &targets, 2);
    assert_ne!(predictions(one.as_ref()), predicted);
    assert_eq!(
        predictions(one.as_ref()),
        predictions(fit("mlp", &options, &matrix, &targets, 2).as_ref())
    );
}
