//! Fitted binary classifiers: support vectors and dual coefficients, evaluated by matrix products.

use facefold_core::HeadError;
use facefold_kernels::{Matrix, MatrixMut, Multiplier};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};
use ndarray::{Array1, Array2, ArrayD, IxDyn};

use super::kernel::KernelFunction;
use super::options::Kernel;
use crate::inner_products::inner_products;
use crate::state_dict::{Reader, Tensors, multiplier};

/// The dual coefficients of one fitted classifier: one for each training row, and the bias.
#[derive(Debug, Clone)]
pub(super) struct DualCoefficients {
    pub(super) coefficients: Vec<f32>,
    pub(super) bias: f32,
}

/// Rows that others are compared with.
#[derive(Debug)]
pub(super) struct Support {
    /// m x width.
    rows: Vec<f32>,
    width: usize,
    /// Squared length of each row.
    lengths: Vec<f32>,
}

impl Support {
    /// Lays out rows of `width` scaled features.
    pub(super) fn new(rows: Vec<f32>, width: usize) -> Self {
        let lengths = rows.chunks_exact(width).map(squared_length).collect();
        Self { rows, width, lengths }
    }

    /// Kernel values of rows of scaled features with these, rows x m.
    pub(super) fn kernel_values(
        &self,
        values: &[f32],
        function: KernelFunction,
        multiplier: &mut Multiplier,
    ) -> Vec<f32> {
        let mut products = inner_products(values, &self.rows, self.width, multiplier);
        let lengths = values.chunks_exact(self.width).map(squared_length);
        for (row, length) in products.chunks_exact_mut(self.lengths.len().max(1)).zip(lengths) {
            function.apply(row, length, &self.lengths);
        }
        products
    }
}

/// All classifiers of a head over shared support rows.
#[derive(Debug)]
pub(super) struct BinaryClassifiers {
    function: KernelFunction,
    /// For a linear kernel one row of weights a classifier.
    support: Support,
    /// m x classifiers; for a linear kernel the identity.
    coefficients: Vec<f32>,
    biases: Vec<f32>,
}

impl BinaryClassifiers {
    /// Joins classifiers over training rows, of `width` features each; `rows` gives the scaled
    /// features of those at some positions. Rows that no classifier needs are left out.
    pub(super) fn join(
        function: KernelFunction,
        width: usize,
        duals: &[DualCoefficients],
        rows: impl Fn(&[usize]) -> Vec<f32>,
    ) -> Self {
        let n = duals.first().map_or(0, |dual| dual.coefficients.len());
        let needed = |at: &usize| duals.iter().any(|dual| dual.coefficients[*at] != 0.0);
        let positions: Vec<usize> = (0..n).filter(needed).collect();
        let support = rows(&positions);
        let (support, coefficients) = if function.kernel == Kernel::Linear {
            let weights = duals.iter().flat_map(|dual| {
                let mut sum = vec![0.0_f64; width];
                for (row, &at) in support.chunks_exact(width).zip(&positions) {
                    let coefficient = f64::from(dual.coefficients[at]);
                    sum.iter_mut().zip(row).for_each(|(s, &v)| *s += coefficient * f64::from(v));
                }
                sum.into_iter().map(|value| value as f32)
            });
            (weights.collect(), Array2::eye(duals.len()).into_raw_vec_and_offset().0)
        } else {
            let of = |&at: &usize| duals.iter().map(move |dual| dual.coefficients[at]);
            (support, positions.iter().flat_map(of).collect())
        };
        let biases = duals.iter().map(|dual| dual.bias).collect();
        Self { function, support: Support::new(support, width), coefficients, biases }
    }

    /// Binary classifiers whose coefficients are the weights of `width` features.
    pub(super) fn linear(
        function: KernelFunction,
        width: usize,
        duals: &[DualCoefficients],
    ) -> Self {
        let weights = duals.iter().flat_map(|dual| dual.coefficients.iter().copied());
        let biases = duals.iter().map(|dual| dual.bias).collect();
        let coefficients = Array2::eye(duals.len()).into_raw_vec_and_offset().0;
        let support = Support::new(weights.collect(), width);
        Self { function, support, coefficients, biases }
    }

    /// Number of features.
    pub(super) fn width(&self) -> usize {
        self.support.width
    }

    /// Decisions (rows x classifiers, row by row) for rows of scaled features.
    pub(super) fn decide(&self, values: &[f32]) -> Result<Vec<f32>, HeadError> {
        let rows = values.len() / self.width();
        let (count, classifiers) = (self.support.lengths.len(), self.biases.len());
        let mut multiplier = multiplier()?;
        let kernel_values = self.support.kernel_values(values, self.function, &mut multiplier);
        let mut decisions = vec![0.0; rows * classifiers];
        multiplier.multiply(
            Matrix::new(&kernel_values, rows, count),
            Matrix::new(&self.coefficients, count, classifiers),
            MatrixMut::new(&mut decisions, rows, classifiers),
        );
        add_biases(&mut decisions, &self.biases);
        Ok(decisions)
    }

    /// Appends the decisions, n x classifiers, for rows of scaled features.
    pub(super) fn export(&self, rows: Value, graph: &mut ComputationGraph) -> Value {
        let Support { rows: support, width, lengths } = &self.support;
        let count = lengths.len();
        let turned: Vec<f32> =
            (0..support.len()).map(|at| support[at % count * width + at / count]).collect();
        let turned = graph.matrix("support", count, turned);
        let products = graph.compute(Operation::MatMul, &[rows, turned]);
        let gamma = self.function.gamma;
        let kernel_values = match self.function.kernel {
            Kernel::Linear => products,
            Kernel::Polynomial => {
                let base = graph.scaled(products, gamma, 1.0);
                graph.with(Operation::Power, base, self.function.degree as f32)
            }
            Kernel::Gaussian => {
                let square = graph.compute(Operation::Multiply, &[rows, rows]);
                let length = graph.compute(Operation::RowSum, &[square]);
                let lengths = graph.row("support.lengths", lengths.as_slice());
                let lengths = graph.compute(Operation::Add, &[length, lengths]);
                let products = graph.with(Operation::Multiply, products, 2.0);
                let distance = graph.compute(Operation::Subtract, &[lengths, products]);
                let distance = graph.rectify(distance);
                let distance = graph.with(Operation::Multiply, distance, -gamma);
                graph.compute(Operation::Exp, &[distance])
            }
        };
        let classifiers = self.biases.len();
        let coefficients = graph.matrix("coefficients", classifiers, self.coefficients.clone());
        let sums = graph.compute(Operation::MatMul, &[kernel_values, coefficients]);
        let biases = graph.row("biases", self.biases.as_slice());
        graph.compute(Operation::Add, &[sums, biases])
    }

    /// Adds its numbers to a head's tensors.
    ///
    /// Only the weights of a linear kernel are matrices, which a bundle may store in half precision.
    /// A sum over a thousand support vectors has the rounding of all of them: on 3,000 faces of
    /// UTKFace (C 8, gamma 0.5, 512 features) half precision moved ages by 0.08 years and
    /// probabilities by 0.009, the support vectors' alone by 0.02 and 0.00098.
    pub(super) fn store(&self, tensors: &mut Tensors) {
        let stored = |values: &[f32], width: usize| match self.function.kernel {
            Kernel::Linear => array(values, width),
            Kernel::Gaussian | Kernel::Polynomial => Array1::from(values.to_vec()).into_dyn(),
        };
        tensors.insert("support".to_owned(), stored(&self.support.rows, self.support.width));
        tensors.insert("coefficients".to_owned(), stored(&self.coefficients, self.biases.len()));
        tensors.insert("biases".to_owned(), Array1::from(self.biases.clone()).into_dyn());
    }

    /// Takes its numbers from a stored head.
    pub(super) fn restore(
        reader: &Reader<'_>,
        function: KernelFunction,
        width: usize,
        count: usize,
    ) -> Result<Self, HeadError> {
        let support = Support::new(reader.rows("support", width)?, width);
        let coefficients = reader.rows("coefficients", count)?;
        let biases = reader.vector("biases", Some(count))?;
        if coefficients.len() != support.lengths.len() * count {
            return Err(HeadError::Corrupt(format!(
                "{} coefficients of {count} classifiers for {} support vectors",
                coefficients.len(),
                support.lengths.len()
            )));
        }
        Ok(Self { function, support, coefficients, biases })
    }
}

fn squared_length(row: &[f32]) -> f32 {
    row.iter().map(|value| value * value).sum()
}

/// Adds one bias a classifier to decisions, row by row.
pub(super) fn add_biases(decisions: &mut [f32], biases: &[f32]) {
    for row in decisions.chunks_exact_mut(biases.len().max(1)) {
        row.iter_mut().zip(biases).for_each(|(sum, bias)| *sum += bias);
    }
}

/// Rows of some width as an array.
fn array(values: &[f32], width: usize) -> ArrayD<f32> {
    let shape = IxDyn(&[values.len() / width.max(1), width]);
    // The shape is that of the values: it always fits.
    ArrayD::from_shape_vec(shape, values.to_vec()).unwrap_or_default()
}
