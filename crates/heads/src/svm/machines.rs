//! Fitted machines: support rows and coefficients, evaluated by matrix products.

use candle_core::{Device, Tensor};
use facefold_core::HeadError;
use ndarray::{Array1, Array2, ArrayD};

use super::kernel::KernelFunction;
use super::options::Kernel;
use crate::parts::{Reader, Tensors, backend};

/// One fitted machine: a coefficient for each training row, and what is added to the sum.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) coefficients: Vec<f32>,
    pub(super) bias: f32,
}

/// All machines of a head over shared support rows.
#[derive(Debug)]
pub(super) struct Machines {
    function: KernelFunction,
    /// Support rows, m x d; for a linear kernel one row of weights a machine.
    support: Tensor,
    /// Squared length of each support row.
    lengths: Vec<f32>,
    /// m x machines; for a linear kernel the identity.
    coefficients: Tensor,
    biases: Vec<f32>,
}

impl Machines {
    /// Joins machines over training rows, of `width` features each; `rows` gives the scaled
    /// features of those at some positions. Rows that no machine needs are left out.
    pub(super) fn join(
        function: KernelFunction,
        width: usize,
        columns: &[Column],
        rows: impl Fn(&[usize]) -> Vec<f32>,
    ) -> Result<Self, HeadError> {
        let n = columns.first().map_or(0, |column| column.coefficients.len());
        let needed = |at: &usize| columns.iter().any(|column| column.coefficients[*at] != 0.0);
        let positions: Vec<usize> = (0..n).filter(needed).collect();
        let support = rows(&positions);
        let (support, coefficients) = if function.kernel == Kernel::Linear {
            let weights = columns.iter().flat_map(|column| {
                let mut sum = vec![0.0_f64; width];
                for (row, &at) in support.chunks_exact(width).zip(&positions) {
                    let coefficient = f64::from(column.coefficients[at]);
                    sum.iter_mut().zip(row).for_each(|(s, &v)| *s += coefficient * f64::from(v));
                }
                sum.into_iter().map(|value| value as f32)
            });
            (weights.collect(), Array2::eye(columns.len()).into_raw_vec_and_offset().0)
        } else {
            let of = |&at: &usize| columns.iter().map(move |column| column.coefficients[at]);
            (support, positions.iter().flat_map(of).collect())
        };
        let biases = columns.iter().map(|column| column.bias).collect();
        Self::new(function, (support, width), coefficients, biases)
    }

    fn new(
        function: KernelFunction,
        (support, width): (Vec<f32>, usize),
        coefficients: Vec<f32>,
        biases: Vec<f32>,
    ) -> Result<Self, HeadError> {
        let failed = backend("laying out an SVM");
        let lengths: Vec<f32> = support.chunks_exact(width).map(squared_length).collect();
        let shape = (lengths.len(), biases.len());
        let support = Tensor::from_vec(support, (lengths.len(), width), &Device::Cpu);
        let coefficients = Tensor::from_vec(coefficients, shape, &Device::Cpu);
        let (support, coefficients) = (support.map_err(&failed)?, coefficients.map_err(&failed)?);
        Ok(Self { function, support, lengths, coefficients, biases })
    }

    /// Number of machines.
    pub(super) fn count(&self) -> usize {
        self.biases.len()
    }

    /// Decisions (rows x machines, row by row) for `rows` rows of scaled features.
    pub(super) fn decide(&self, values: Vec<f32>, rows: usize) -> Result<Vec<f32>, HeadError> {
        let mut decisions = if self.lengths.is_empty() || self.biases.is_empty() || rows == 0 {
            vec![0.0; rows * self.biases.len()]
        } else {
            self.sums(values, rows).map_err(backend("answering with an SVM"))?
        };
        add_biases(&mut decisions, &self.biases);
        Ok(decisions)
    }

    fn sums(&self, values: Vec<f32>, rows: usize) -> candle_core::Result<Vec<f32>> {
        let (count, width) = self.support.dims2()?;
        let lengths: Vec<f32> = values.chunks_exact(width).map(squared_length).collect();
        let mut products = Tensor::from_vec(values, (rows, width), &Device::Cpu)?
            .matmul(&self.support.t()?)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        for (row, length) in products.chunks_exact_mut(count).zip(lengths) {
            self.function.apply(row, length, &self.lengths);
        }
        let similar = Tensor::from_vec(products, (rows, count), &Device::Cpu)?;
        similar.matmul(&self.coefficients)?.flatten_all()?.to_vec1()
    }

    /// Adds its numbers to a head's tensors.
    pub(super) fn store(&self, tensors: &mut Tensors) {
        tensors.insert("support".to_owned(), array(&self.support));
        tensors.insert("coefficients".to_owned(), array(&self.coefficients));
        tensors.insert("biases".to_owned(), Array1::from(self.biases.clone()).into_dyn());
    }

    /// Takes its numbers from a stored head.
    pub(super) fn restore(
        reader: &Reader<'_>,
        function: KernelFunction,
        width: usize,
        count: usize,
    ) -> Result<Self, HeadError> {
        let support = reader.matrix("support", (None, Some(width)))?;
        let rows = Some(support.nrows());
        let coefficients = reader.matrix("coefficients", (rows, Some(count)))?;
        let biases = reader.vector("biases", Some(count))?;
        let values = |matrix: Array2<f32>| matrix.iter().copied().collect();
        Self::new(function, (values(support), width), values(coefficients), biases)
    }
}

fn squared_length(row: &[f32]) -> f32 {
    row.iter().map(|value| value * value).sum()
}

/// Adds one bias a machine to decisions, row by row.
pub(super) fn add_biases(decisions: &mut [f32], biases: &[f32]) {
    for row in decisions.chunks_exact_mut(biases.len().max(1)) {
        row.iter_mut().zip(biases).for_each(|(sum, bias)| *sum += bias);
    }
}

/// A matrix as an array. It was made here from plain values, which always come back.
fn array(matrix: &Tensor) -> ArrayD<f32> {
    let values = matrix.flatten_all().and_then(|flat| flat.to_vec1()).unwrap_or_default();
    ArrayD::from_shape_vec(matrix.dims(), values).unwrap_or_else(|_| ArrayD::zeros(matrix.dims()))
}
