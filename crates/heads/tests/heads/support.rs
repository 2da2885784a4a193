//! Synthetic problems, and fits of them.

use facefold_core::rng::seeded;
use facefold_core::{
    AuxiliaryTask, FeatureDataset, FeatureMatrix, Fit, FittedHead, PredictedTargets, Prediction,
    Targets, Task,
};
use facefold_heads::{HeadOptions, registry};
use ndarray::Array2;
use rand::Rng as _;

/// Rows around `centres`, taking turns, with this spread.
pub fn blobs(centres: &[[f32; 2]], n: usize, spread: f32, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut generator = seeded(seed, "blobs");
    let classes: Vec<usize> = (0..n).map(|i| i % centres.len()).collect();
    let plain = Array2::from_shape_fn((n, 2), |(row, column)| {
        centres[classes[row]][column] + spread * generator.random_range(-1.0..1.0)
    });
    (plain, classes)
}

/// Two classes: inside, and on a ring around it.
pub fn ring(n: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
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

pub fn examples<'a>(
    matrix: &'a FeatureMatrix,
    rows: std::ops::Range<usize>,
    targets: &Targets,
) -> FeatureDataset<'a> {
    let rows: Vec<usize> = rows.collect();
    let own = FeatureDataset::new(matrix, rows.clone(), targets.select(&rows)).unwrap();
    // For heads that learn tasks together: a number that the plain features determine exactly.
    let years = |&row: &usize| 30.0 + 10.0 * matrix.plain().row(row)[0].clamp(-2.0, 4.0);
    let targets = Targets::exact_years(rows.iter().map(years).collect());
    own.with_auxiliary_tasks(vec![AuxiliaryTask { kind: Task::Age.into(), rows, targets }]).unwrap()
}

pub fn probabilities(prediction: Prediction) -> Array2<f32> {
    match prediction.targets {
        PredictedTargets::Classes(probabilities) => probabilities,
        PredictedTargets::Regression(_) => panic!("expected classes"),
    }
}

pub fn years(prediction: Prediction) -> Vec<f32> {
    match prediction.targets {
        PredictedTargets::Regression(years) => years,
        PredictedTargets::Classes(_) => panic!("expected years"),
    }
}

pub fn accuracy(probabilities: &Array2<f32>, classes: &[usize]) -> f32 {
    let right = probabilities.rows().into_iter().zip(classes).filter(|(row, class)| {
        assert!((row.sum() - 1.0).abs() < 1e-4, "{row}");
        let largest = row.iter().copied().fold(0.0, f32::max);
        row.iter().position(|share| *share == largest) == Some(**class)
    });
    right.count() as f32 / classes.len() as f32
}

/// Settings under which toy problems take a moment.
pub fn quick() -> HeadOptions {
    let mut options = HeadOptions::default();
    options.mlp.hidden_layer_sizes = vec![32, 32];
    options.mlp.input_dropout = 0.0;
    options.mlp.dropout = 0.1;
    options.mlp.mixup = 0.0;
    options.mlp.min_steps = 300;
    options.mlp.refit = false;
    options
}

pub fn fit(
    name: &str,
    options: &HeadOptions,
    matrix: &FeatureMatrix,
    targets: &Targets,
    seed: u64,
) -> Box<dyn FittedHead> {
    whole_fit(name, options, matrix, targets, seed).head
}

/// [`fit`], with the prediction for the validation rows.
pub fn whole_fit(
    name: &str,
    options: &HeadOptions,
    matrix: &FeatureMatrix,
    targets: &Targets,
    seed: u64,
) -> Fit {
    let (n, head) = (matrix.rows(), registry::head(name, options).unwrap());
    let training = examples(matrix, 0..n / 2, targets);
    let validation = examples(matrix, n / 2..n * 3 / 4, targets);
    head.fit(&training, &validation, seed).unwrap()
}

pub fn test_rows(matrix: &FeatureMatrix) -> Vec<usize> {
    (matrix.rows() * 3 / 4..matrix.rows()).collect()
}

/// Years that are a sum of two features, 10 to 70.
pub fn aged(n: usize, seed: u64) -> (FeatureMatrix, Targets) {
    let mut generator = seeded(seed, "aged");
    let plain = Array2::from_shape_fn((n, 3), |_| generator.random_range(-1.0..1.0_f32));
    let years = plain.rows().into_iter().map(|row| 40.0 + 20.0 * row[0] + 10.0 * row[1]).collect();
    (FeatureMatrix::new(plain, None).unwrap(), Targets::exact_years(years))
}

pub fn mean_absolute_error(
    fitted: &dyn FittedHead,
    matrix: &FeatureMatrix,
    targets: &Targets,
) -> f32 {
    let Targets::Regression(truth) = targets else { panic!("expected years") };
    let rows = test_rows(matrix);
    let found = years(fitted.predict(matrix, &rows).unwrap());
    let errors = rows.iter().zip(found).map(|(&row, found)| truth[row].distance(found));
    errors.sum::<f32>() / rows.len() as f32
}

/// A matrix with mirrored rows and all sources of randomness in use.
pub fn mirrored() -> (FeatureMatrix, Targets) {
    let (plain, indices) = blobs(&[[0.0, 0.0], [1.0, 1.0]], 200, 1.0, 5);
    let mirrored = plain.mapv(|value| value + 0.1);
    let matrix = FeatureMatrix::new(plain, Some(mirrored)).unwrap();
    (matrix, Targets::Classes { indices, count: 2 })
}
