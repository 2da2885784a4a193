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

/// Rows that others are compared with.
#[derive(Debug)]
pub(super) struct Support {
    /// m x d.
    rows: Tensor,
    /// Squared length of each row.
    lengths: Vec<f32>,
}

impl Support {
    /// Lays out rows of `width` scaled features.
    pub(super) fn new(values: Vec<f32>, width: usize) -> Result<Self, HeadError> {
        let lengths: Vec<f32> = values.chunks_exact(width).map(squared_length).collect();
        let rows = Tensor::from_vec(values, (lengths.len(), width), &Device::Cpu)
            .map_err(backend("laying out an SVM"))?;
        Ok(Self { rows, lengths })
    }

    /// Kernel values of rows of scaled features with these, rows x m.
    pub(super) fn similar(
        &self,
        values: Vec<f32>,
        function: KernelFunction,
    ) -> candle_core::Result<Tensor> {
        let (count, width) = self.rows.dims2()?;
        let lengths: Vec<f32> = values.chunks_exact(width).map(squared_length).collect();
        let rows = Tensor::from_vec(values, (lengths.len(), width), &Device::Cpu)?;
        let mut products = rows.matmul(&self.rows.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        for (row, &length) in products.chunks_exact_mut(count).zip(&lengths) {
            function.apply(row, length, &self.lengths);
        }
        Tensor::from_vec(products, (lengths.len(), count), &Device::Cpu)
    }
}

/// All machines of a head over shared support rows.
#[derive(Debug)]
pub(super) struct Machines {
    function: KernelFunction,
    /// For a linear kernel one row of weights a machine.
    support: Support,
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
        let support = Support::new(support, width)?;
        let shape = (support.lengths.len(), biases.len());
        let coefficients = Tensor::from_vec(coefficients, shape, &Device::Cpu)
            .map_err(backend("laying out an SVM"))?;
        Ok(Self { function, support, coefficients, biases })
    }

    /// Machines whose coefficients are the weights of `width` features.
    pub(super) fn linear(
        function: KernelFunction,
        width: usize,
        columns: &[Column],
    ) -> Result<Self, HeadError> {
        let weights = columns.iter().flat_map(|column| column.coefficients.iter().copied());
        let biases = columns.iter().map(|column| column.bias).collect();
        let identity = Array2::eye(columns.len()).into_raw_vec_and_offset().0;
        Self::new(function, (weights.collect(), width), identity, biases)
    }

    /// Number of machines.
    pub(super) fn count(&self) -> usize {
        self.biases.len()
    }

    /// Decisions (rows x machines, row by row) for `rows` rows of scaled features.
    pub(super) fn decide(&self, values: Vec<f32>, rows: usize) -> Result<Vec<f32>, HeadError> {
        let mut decisions =
            if self.support.lengths.is_empty() || self.biases.is_empty() || rows == 0 {
                vec![0.0; rows * self.biases.len()]
            } else {
                self.sums(values).map_err(backend("answering with an SVM"))?
            };
        add_biases(&mut decisions, &self.biases);
        Ok(decisions)
    }

    fn sums(&self, values: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        let similar = self.support.similar(values, self.function)?;
        similar.matmul(&self.coefficients)?.flatten_all()?.to_vec1()
    }

    /// Adds its numbers to a head's tensors.
    pub(super) fn store(&self, tensors: &mut Tensors) {
        tensors.insert("support".to_owned(), array(&self.support.rows));
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
