//! The booster against scikit-learn's on random rows.

use facefold_core::{FeatureDataset, FeatureMatrix, FittedHead, PredictedTargets, Targets};
use ndarray::Array2;

use super::{TreeOptions, Trees};
use crate::{ClassWeights, HeadOptions};

/// The rows of the script below; every number but the sine's is exact.
fn sample_columns() -> (FeatureMatrix, Vec<f32>) {
    let x = Array2::from_shape_fn((1000, 6), |(i, j)| {
        ((i * 7919 + j * 104_729 + i * i * 31 * (j + 1)) % 1009) as f32 / 1009.0
    });
    let age = |row: ndarray::ArrayView1<'_, f32>| {
        let step = if row[3] > 0.5 { 10.0 } else { 0.0 };
        40.0 + 20.0 * (6.0 * row[0]).sin() + 30.0 * row[1] * row[2] + step + 4.0 * row[5]
    };
    let years = x.rows().into_iter().map(age).collect();
    (FeatureMatrix::new(x, None).unwrap(), years)
}

fn predict(matrix: &FeatureMatrix, targets: &Targets) -> PredictedTargets {
    let trees = TreeOptions {
        num_iterations: 60,
        early_stopping_rounds: None,
        max_bin: 255,
        features_per_tree: 6,
        ..TreeOptions::default()
    };
    let options = HeadOptions { trees, ..HeadOptions::default() };
    let rows: Vec<usize> = (0..600).collect();
    let training = FeatureDataset::new(matrix, rows.clone(), targets.select(&rows)).unwrap();
    let none = FeatureDataset::new(matrix, Vec::new(), targets.select(&[])).unwrap();
    let fitted = Trees::head(&options).unwrap().fitted(&training, &none, 0).unwrap();
    fitted.predict(matrix, &(600..1000).collect::<Vec<_>>()).unwrap().targets
}

fn cross_entropy(scores: &PredictedTargets, truth: &[usize]) -> f64 {
    let PredictedTargets::Classes(probabilities) = scores else { panic!("expected classes") };
    let losses =
        probabilities.rows().into_iter().zip(truth).map(|(row, &at)| -f64::from(row[at]).ln());
    losses.sum::<f64>() / truth.len() as f64
}

/// Golden values from scikit-learn 1.x, whose booster grows the same trees but for where it cuts
/// its bins:
/// ```python
/// import numpy as np
/// from sklearn.ensemble import HistGradientBoostingClassifier as C, HistGradientBoostingRegressor as R
/// i, j = np.arange(1000)[:, None], np.arange(6)
/// x = ((i * 7919 + j * 104729 + i * i * 31 * (j + 1)) % 1009 / 1009).astype(np.float32)
/// y = (40 + 20 * np.sin(6 * x[:, 0]) + 30 * x[:, 1] * x[:, 2] + 10 * (x[:, 3] > 0.5) + 4 * x[:, 5])
/// c = np.digitize(y, [42, 55])
/// a = dict(max_iter=60, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=20,
///          l2_regularization=1.0, max_bins=255, early_stopping=False)
/// r = R(**a).fit(x[:600], y[:600]); k = C(**a).fit(x[:600], c[:600])
/// print(np.abs(r.predict(x[600:]) - y[600:]).mean())                       # 1.416
/// p = k.predict_proba(x[600:])
/// print(-np.log(p[np.arange(400), c[600:]]).mean())                        # 0.1222
/// p = C(**a).fit(x[:600], c[:600] > 0).predict_proba(x[600:])[:, 1]; t = c[600:] > 0
/// print(-np.log(np.where(t, p, 1 - p)).mean())                             # 0.0531
/// ```
#[test]
fn accuracy_is_that_of_scikit_learn() {
    let (matrix, years) = sample_columns();
    let class = |year: &f32| usize::from(*year >= 42.0) + usize::from(*year >= 55.0);
    let classes: Vec<usize> = years.iter().map(class).collect();
    let two: Vec<usize> = classes.iter().map(|&class| class.min(1)).collect();

    let PredictedTargets::Regression(scores) =
        predict(&matrix, &Targets::exact_years(years.clone()))
    else {
        panic!("expected years")
    };
    let errors = scores.iter().zip(&years[600..]).map(|(scores, year)| (scores - year).abs());
    let error = errors.sum::<f32>() / 400.0;
    assert!((error / 1.416 - 1.0).abs() < 0.05, "{error}");
    for (indices, count, golden) in [(classes, 3, 0.122_2), (two, 2, 0.053_1)] {
        let truth = indices[600..].to_vec();
        let loss = cross_entropy(&predict(&matrix, &Targets::Classes { indices, count }), &truth);
        assert!((loss / golden - 1.0).abs() < 0.08, "{count} classes: {loss}");
    }
}

#[test]
fn trees_after_the_best_iteration_are_dropped() {
    let (matrix, years) = sample_columns();
    let mut options = HeadOptions::default();
    options.trees.num_iterations = 200;
    options.trees.early_stopping_rounds = Some(5);
    options.trees.learning_rate = 0.5;
    let examples = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        // Noise that no tree can predict: the validation loss rises soon.
        let noisy = |&row: &usize| years[row] + 10.0 * ((row * 7919 % 100) as f32 / 50.0 - 1.0);
        let targets = Targets::exact_years(rows.iter().map(noisy).collect());
        FeatureDataset::new(&matrix, rows, targets).unwrap()
    };
    let (training, validation) = (examples(0..600), examples(600..1000));
    let fitted = Trees::head(&options).unwrap().fitted(&training, &validation, 0).unwrap();
    let (epochs, best) = (&fitted.log().epochs, fitted.log().best_epoch.unwrap());
    let lowest = epochs.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss));
    assert_eq!(lowest.unwrap().number, best);
    assert_eq!(epochs.len(), best + 5);
    assert_eq!(fitted.state_dict().tensors["sizes"].len(), best);
    // The truncated model has the score of that iteration.
    let PredictedTargets::Regression(scores) =
        fitted.predict(&matrix, validation.rows()).unwrap().targets
    else {
        panic!("expected years")
    };
    let Targets::Regression(truth) = validation.targets() else { panic!("expected years") };
    let errors = scores.iter().zip(truth).map(|(&scores, age)| f64::from(age.distance(scores)));
    let error = errors.sum::<f64>() / 400.0;
    assert!((error - epochs[best - 1].validation_score).abs() < 1e-4, "{error}");
}

#[test]
fn class_weights_count() {
    // Three rows of four are of the first class, and no feature predicts which.
    let matrix = FeatureMatrix::new(Array2::zeros((400, 1)), None).unwrap();
    let rows: Vec<usize> = (0..400).collect();
    let indices = rows.iter().map(|row| usize::from(row % 4 == 0)).collect();
    let training =
        FeatureDataset::new(&matrix, rows, Targets::Classes { indices, count: 2 }).unwrap();
    for (class_weights, expected) in [(ClassWeights::None, 0.25), (ClassWeights::Balanced, 0.5)] {
        let options = HeadOptions { class_weights, ..HeadOptions::default() };
        let fitted = Trees::head(&options).unwrap().fitted(&training, &training, 0).unwrap();
        let PredictedTargets::Classes(probabilities) =
            fitted.predict(&matrix, &[0]).unwrap().targets
        else {
            panic!("expected classes")
        };
        assert!((probabilities[[0, 1]] - expected).abs() < 0.01, "{probabilities}");
    }
}
