//! The reference solver: linfa-svm, one class against the rest, and regression.
//!
//! It computes a full kernel matrix for every classifier, one pair of rows after the other, so rows
//! above a budget are left out by a stratified draw. Its `shrinking` gives wrong results and is
//! never used.

use facefold_core::HeadError;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_svm::{Svm, SvmError, SvmParams};
use ndarray::{Array1, Array2, Axis};

use super::classifiers::DualCoefficients;
use super::options::{Kernel, SvmOptions};
use super::subproblems::Subproblem;

/// Stopping tolerance: at linfa's default of 1e-7 it runs many times longer for the same
/// predictions.
const STOP: f64 = 1e-3;

/// Multiplications that the kernel matrices of one fit may take: about a minute.
///
/// Measured: eight classes on 1,056 rows of 3,584 features, which is this many, took 70
/// CPU-seconds on one core.
const KERNEL_BUDGET: f64 = 3.2e10;

/// Rows that the kernel matrices of so many classifiers can be paid for.
pub(super) fn row_limit(options: &SvmOptions, width: usize, classifiers: usize) -> usize {
    let affordable = KERNEL_BUDGET / (width.max(1) * classifiers.max(1)) as f64;
    options.max_rows.unwrap_or(affordable.sqrt() as usize)
}

/// Fits one classifier to rows of scaled features, at the first cost and gamma of the options.
pub(super) fn fit(
    samples: &Array2<f64>,
    subproblem: &Subproblem,
    options: &SvmOptions,
) -> Result<DualCoefficients, HeadError> {
    let cost = options.c[0];
    let chosen = samples.select(Axis(0), &subproblem.members);
    let (alpha, rho) = if let Some(epsilon) = subproblem.epsilon {
        let targets: Array1<f64> =
            subproblem.targets.iter().map(|&target| f64::from(target)).collect();
        let params = Svm::<f64, f64>::params()
            .eps(STOP)
            .shrinking(false)
            .c_svr(cost, Some(f64::from(epsilon)));
        let fitted = kernel(params, options).fit(&DatasetBase::new(chosen, targets));
        fitted.map(|fitted| (fitted.alpha, fitted.rho))
    } else {
        let positive: Array1<bool> =
            subproblem.targets.iter().map(|&target| target > 0.0).collect();
        let params = Svm::<f64, bool>::params().eps(STOP).shrinking(false).pos_neg_weights(
            cost * side_weight(subproblem, true),
            cost * side_weight(subproblem, false),
        );
        let fitted = kernel(params, options).fit(&DatasetBase::new(chosen, positive));
        fitted.map(|fitted| (fitted.alpha, fitted.rho))
    }
    .map_err(|error| failed(&error))?;
    let mut coefficients = vec![0.0; samples.nrows()];
    for (&member, value) in subproblem.members.iter().zip(alpha) {
        coefficients[member] = value as f32;
    }
    Ok(DualCoefficients { coefficients, bias: -rho as f32 })
}

/// The mean weight of the rows of one sign: linfa has one weight per sign.
fn side_weight(subproblem: &Subproblem, positive: bool) -> f64 {
    let rows = subproblem.targets.iter().zip(&subproblem.weights);
    let weights: Vec<f64> = rows
        .filter(|(target, _)| (**target > 0.0) == positive)
        .map(|(_, &weight)| f64::from(weight))
        .collect();
    weights.iter().sum::<f64>() / weights.len().max(1) as f64
}

fn kernel<T>(params: SvmParams<f64, T>, options: &SvmOptions) -> SvmParams<f64, T> {
    match options.kernel {
        Kernel::Gaussian => params.gaussian_kernel(1.0 / options.gamma[0]),
        Kernel::Linear => params.linear_kernel(),
        // linfa's has no gamma: (x'y + c)^d, so the rows' scale would have to carry it.
        Kernel::Polynomial => params.polynomial_kernel(1.0, f64::from(options.degree)),
    }
}

fn failed(error: &SvmError) -> HeadError {
    HeadError::Backend { context: "fitting with linfa-svm".to_owned(), message: error.to_string() }
}
