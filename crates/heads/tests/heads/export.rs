//! Computation graphs of heads give the predictions of the heads, evaluated here step by step.

use facefold_core::{FeatureMatrix, PredictedTargets, Targets};
use facefold_heads::{AgeDecoding, AgeLoss, HeadOptions, MultiClass, registry};
use facefold_onnx::computation::{ComputationGraph, Operation, Step, Value};
use ndarray::{Array2, Axis, concatenate};

use crate::support::{aged, blobs, fit, quick, test_rows, years};

/// The value of a formula for rows of features, of so many crops a face.
fn evaluate(
    graph: &ComputationGraph,
    prediction: Value,
    features: Array2<f32>,
    crops: usize,
) -> Array2<f32> {
    let mut values = vec![features];
    for step in graph.steps() {
        let value = match step {
            Step::Constant { shape, values, .. } => {
                Array2::from_shape_vec(*shape, values.to_vec()).unwrap()
            }
            Step::Node { operation, inputs } => {
                let inputs: Vec<&Array2<f32>> =
                    inputs.iter().map(|input| &values[input.index()]).collect();
                compute(*operation, &inputs, crops)
            }
        };
        values.push(value);
    }
    values.swap_remove(prediction.index())
}

fn compute(operation: Operation, inputs: &[&Array2<f32>], crops: usize) -> Array2<f32> {
    let a = inputs[0];
    let both = |of: fn(f32, f32) -> f32| {
        let rows = a.nrows().max(inputs[1].nrows());
        let shape = (rows, a.ncols().max(inputs[1].ncols()));
        let b = inputs[1].broadcast(shape).unwrap();
        let mut result = a.broadcast(shape).unwrap().to_owned();
        result.zip_mut_with(&b, |a, &b| *a = of(*a, b));
        result
    };
    match operation {
        Operation::Add => both(|a, b| a + b),
        Operation::Subtract => both(|a, b| a - b),
        Operation::Multiply => both(|a, b| a * b),
        Operation::Divide => both(|a, b| a / b),
        Operation::Power => both(f32::powf),
        Operation::Maximum => both(f32::max),
        Operation::Minimum => both(f32::min),
        Operation::Floor => a.mapv(f32::floor),
        Operation::MatMul => a.dot(inputs[1]),
        Operation::Exp => a.mapv(f32::exp),
        Operation::Sigmoid => a.mapv(|a| 1.0 / (1.0 + (-a).exp())),
        Operation::Softmax => {
            let largest = a.map_axis(Axis(1), |row| row.iter().copied().fold(f32::MIN, f32::max));
            let powers = (a - &largest.insert_axis(Axis(1))).mapv(f32::exp);
            let sums = powers.sum_axis(Axis(1)).insert_axis(Axis(1));
            powers / sums
        }
        Operation::RowSum => a.sum_axis(Axis(1)).insert_axis(Axis(1)),
        Operation::RowNorm => (a * a).sum_axis(Axis(1)).mapv(f32::sqrt).insert_axis(Axis(1)),
        Operation::CumulativeSum => {
            let mut result = Array2::zeros(a.dim());
            for column in 1..a.ncols() {
                let sum = &result.column(column - 1) + &a.column(column - 1);
                result.column_mut(column).assign(&sum);
            }
            result
        }
        Operation::Slice { first, end } => a.slice_axis(Axis(1), (first..end).into()).to_owned(),
        Operation::Concat => concatenate(Axis(1), &[a.view(), inputs[1].view()]).unwrap(),
        Operation::MeanOfCrops { width } => {
            assert_eq!(a.ncols(), width);
            let faces = a.nrows() / crops;
            let crop = |at: usize| a.slice_axis(Axis(0), (at * faces..(at + 1) * faces).into());
            let sum = (0..crops).fold(Array2::zeros((faces, width)), |sum, at| sum + crop(at));
            sum / crops as f32
        }
    }
}

/// Fits a head, and compares its predictions with those of its graph: by plain rows, and by plain
/// and mirrored ones. The sums of both are in other orders, so that f32 differs in its last bits.
fn agrees(name: &str, options: &HeadOptions, matrix: &FeatureMatrix, targets: &Targets) {
    let fitted = fit(name, options, matrix, targets, 3);
    let mut graph = ComputationGraph::default();
    let prediction = registry::export(&fitted.state_dict(), &mut graph).unwrap();
    let rows = test_rows(matrix);
    let plain = matrix.plain().to_array().select(Axis(0), &rows);
    let mirrored = &plain * 0.9 + 0.05;
    let both = concatenate(Axis(0), &[plain.view(), mirrored.view()]).unwrap();
    let rows: Vec<usize> = (0..rows.len()).collect();
    for (features, crops, mirrored) in [(plain.clone(), 1, None), (both, 2, Some(mirrored))] {
        let matrix = FeatureMatrix::new(plain.clone(), mirrored).unwrap();
        let found = evaluate(&graph, prediction, features, crops);
        let (expected, tolerance) = match fitted.predict(&matrix, &rows).unwrap().targets {
            PredictedTargets::Classes(probabilities) => (probabilities, 2e-5),
            PredictedTargets::Regression(years) => {
                (Array2::from_shape_vec((years.len(), 1), years).unwrap(), 2e-3)
            }
        };
        assert_eq!(found.dim(), expected.dim(), "{name}");
        let furthest = (&found - &expected).iter().fold(0.0_f32, |far, d| far.max(d.abs()));
        assert!(furthest < tolerance, "{name}, {crops} crops: off by {furthest}");
    }
}

#[test]
fn exported_regressors_agree_with_their_heads() {
    let (matrix, targets) = aged(240, 1);
    for loss in [
        AgeLoss::Distribution { sigma: 2.0, growth: 0.02, l1: 0.1 },
        AgeLoss::Ordinal,
        AgeLoss::L1,
        AgeLoss::L2,
    ] {
        for age_decoding in [AgeDecoding::MedianYear, AgeDecoding::Median, AgeDecoding::Expectation]
        {
            let mut options = quick();
            options.mlp.age_loss = loss;
            options.mlp.age_decoding = age_decoding;
            agrees("mlp", &options, &matrix, &targets);
        }
    }
    let mut options = quick();
    options.ensemble.members = 2;
    for name in ["mlp-residual", "mlp-ensemble", "linear", "svm", "svm-linear"] {
        agrees(name, &options, &matrix, &targets);
    }
}

/// Far from the training rows a regression goes below 0, where no age is.
#[test]
fn no_age_below_0_is_predicted_or_exported() {
    let (matrix, targets) = aged(240, 1);
    let mut options = quick();
    options.mlp.age_loss = AgeLoss::L2;
    for name in ["mlp", "linear", "svm-linear"] {
        let fitted = fit(name, &options, &matrix, &targets, 3);
        let far = -10.0 * &matrix.plain().to_array();
        let rows: Vec<usize> = (0..far.nrows()).collect();
        let mut graph = ComputationGraph::default();
        let prediction = registry::export(&fitted.state_dict(), &mut graph).unwrap();
        let exported = evaluate(&graph, prediction, far.clone(), 1);
        let predicted =
            years(fitted.predict(&FeatureMatrix::new(far, None).unwrap(), &rows).unwrap());
        for ages in [exported.into_raw_vec_and_offset().0, predicted] {
            assert!(ages.contains(&0.0) && ages.iter().all(|&age| age >= 0.0), "{name}: {ages:?}");
        }
    }
}

#[test]
fn exported_classifiers_agree_with_their_heads() {
    let centres = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.5]];
    let (plain, indices) = blobs(&centres, 240, 1.0, 5);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let three = Targets::Classes { indices: indices.clone(), count: 3 };
    let two = Targets::Classes { indices: indices.iter().map(|&i| i.min(1)).collect(), count: 2 };
    let mut options = quick();
    options.ensemble.members = 2;
    options.unit_columns = Some((0, 2));
    options.mlp.batch_norm = false;
    for name in ["mlp", "mlp-multi-task", "mlp-multi-task-ensemble", "mlp-residual", "linear"] {
        agrees(name, &options, &matrix, &three);
    }
    options.mlp.batch_norm = true;
    for name in ["mlp", "svm", "svm-linear"] {
        agrees(name, &options, &matrix, &two);
    }
    options.unit_columns = Some((1, 2));
    options.svm.multi_class = MultiClass::OneVsRest;
    for name in ["mlp", "svm", "svm-linfa"] {
        agrees(name, &options, &matrix, &three);
    }
}

#[test]
fn a_head_that_cannot_be_exported_names_those_that_can() {
    let (plain, indices) = blobs(&[[0.0, 0.0], [1.0, 1.0], [0.0, 1.5]], 120, 1.0, 5);
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let targets = Targets::Classes { indices, count: 3 };
    let refused = |name: &str| {
        let fitted = fit(name, &quick(), &matrix, &targets, 3);
        registry::export(&fitted.state_dict(), &mut ComputationGraph::default())
            .unwrap_err()
            .to_string()
    };
    let message = refused("knn");
    assert!(message.contains("`knn`") && message.contains("`mlp`, `mlp-ensemble`"), "{message}");
    let message = refused("svm");
    assert!(message.contains("3 classes") && message.contains("one-vs-rest"), "{message}");
}
