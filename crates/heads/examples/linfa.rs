//! The SVM, linear and neighbour heads where linfa-svm and linfa-logistic stand: the same
//! functions of linfa cross-validate all of them, on the same generated rows.
//!
//! `cargo run --release -p facefold-heads --example linfa`

#![allow(clippy::print_stdout, reason = "a program: stdout is its output")]

use std::error::Error;
use std::time::Instant;

use facefold_core::rng::seeded;
use facefold_heads::HeadOptions;
use facefold_heads::linfa::Learner;
use linfa::metrics::ToConfusionMatrix;
use linfa::traits::{Fit, PredictInplace};
use linfa::{Dataset, ParamGuard};
use linfa_logistic::LogisticRegression;
use linfa_svm::Svm;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Ix1};
use rand::Rng as _;

/// Rows, and features of each.
const SHAPE: (usize, usize) = (600, 32);

/// Two classes that are parted by a curved surface, with noise.
fn generated() -> Dataset<f64, bool, Ix1> {
    let mut generator = seeded(1, "linfa example");
    let records = Array2::from_shape_fn(SHAPE, |_| generator.random_range(-1.0..1.0));
    let class = |row: ArrayView1<'_, f64>| {
        row[0] + row[1] * row[2] + 0.5 * row[3] + generator.random_range(-0.3..0.3) > 0.0
    };
    let classes: Array1<bool> = records.rows().into_iter().map(class).collect();
    Dataset::new(records, classes)
}

/// Prints the accuracy in five folds of any estimator of linfa.
fn cross_validate<M, O, E>(name: &str, estimator: M) -> Result<(), E>
where
    E: Error + From<linfa::Error>,
    M: for<'a> Fit<ArrayView2<'a, f64>, ArrayView1<'a, bool>, E, Object = O>,
    O: for<'a> PredictInplace<ArrayView2<'a, f64>, Array1<bool>>,
{
    let mut dataset = generated();
    let begin = Instant::now();
    let accuracy = dataset.cross_validate_single(5, &[estimator], |predicted, truth| {
        Ok(predicted.confusion_matrix(truth)?.accuracy())
    })?;
    println!("{name:22} accuracy {:.3} in {:.2?}", accuracy[0], begin.elapsed());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let width = SHAPE.1 as f64;
    let mut options = HeadOptions::default();
    // The heads standardise the features: a gamma of 1 is 1 / (width * variance), 3 / width here.
    options.svm.c = vec![1.0];
    options.svm.gamma = vec![1.0];
    options.linear.l2_penalties = vec![0.001];
    for head in ["svm", "svm-linear", "linear", "knn"] {
        cross_validate(head, Learner::new(head, &options, 1)?)?;
    }
    let svm = || Svm::<f64, bool>::params().pos_neg_weights(1.0, 1.0).eps(1e-3);
    cross_validate("linfa-svm, Gaussian", svm().gaussian_kernel(width / 3.0).check()?)?;
    cross_validate("linfa-svm, linear", svm().linear_kernel().check()?)?;
    cross_validate("linfa-logistic", LogisticRegression::<f64>::new().check()?)?;
    Ok(())
}
