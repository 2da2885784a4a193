//! The machines themselves: fitted by linfa, kept as support rows and coefficients, and evaluated
//! by matrix products.

use candle_core::{Device, Tensor};
use facefold_core::HeadError;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_svm::SvmParams;
use ndarray::{Array1, Array2, Axis};

use super::{Kernel, Svm};
use crate::parts::{Reader, Tensors, backend};

/// When linfa stops: at its default of 1e-7 it runs many times longer for the same answers.
const STOP: f64 = 1e-3;
/// Rows whose coefficients are all below this are left out: they change no answer.
const LEAST_COEFFICIENT: f64 = 1e-9;

/// One fitted machine: a coefficient for each training row, and what is taken from the sum.
#[derive(Debug, Clone)]
pub(super) struct Column {
    coefficients: Vec<f64>,
    offset: f64,
}

/// All machines of a head over shared support rows.
#[derive(Debug)]
pub(super) struct Machine {
    kernel: Kernel,
    gamma: f32,
    /// Gaussian: support rows, m x d. Linear: one row of weights a column.
    support: Array2<f32>,
    /// Gaussian: m x columns. Linear: the identity.
    coefficients: Array2<f32>,
    offsets: Vec<f32>,
    /// 1 for each column that has a machine.
    told: Vec<f32>,
    /// The column to answer with where no machine speaks.
    fallback: usize,
}

/// Fits a machine that tells positive rows from the others.
pub(super) fn classify(
    samples: &Array2<f32>,
    positive: &[bool],
    (cost, other_cost): (f64, f64),
    head: &Svm,
) -> Result<Column, HeadError> {
    let params = linfa_svm::Svm::<f64, bool>::params()
        .eps(STOP)
        .shrinking(false)
        .pos_neg_weights(cost, other_cost);
    let dataset = DatasetBase::new(samples.mapv(f64::from), Array1::from(positive.to_vec()));
    let fitted = kernel(params, head).fit(&dataset).map_err(|error| failed(&error))?;
    Ok(Column { coefficients: fitted.alpha, offset: fitted.rho })
}

/// Fits a machine that tells standardised years.
pub(super) fn regress(
    samples: &Array2<f32>,
    goals: &[f32],
    head: &Svm,
) -> Result<Column, HeadError> {
    let params = linfa_svm::Svm::<f64, f64>::params()
        .eps(STOP)
        .shrinking(false)
        .c_svr(head.options.cost, Some(head.options.epsilon));
    let goals = goals.iter().map(|&goal| f64::from(goal)).collect::<Array1<f64>>();
    let dataset = DatasetBase::new(samples.mapv(f64::from), goals);
    let fitted = kernel(params, head).fit(&dataset).map_err(|error| failed(&error))?;
    Ok(Column { coefficients: fitted.alpha, offset: fitted.rho })
}

fn kernel<T>(params: SvmParams<f64, T>, head: &Svm) -> SvmParams<f64, T> {
    match head.kernel {
        Kernel::Gaussian => params.gaussian_kernel(1.0 / head.options.gamma),
        Kernel::Linear => params.linear_kernel(),
    }
}

fn failed(error: &linfa_svm::SvmError) -> HeadError {
    HeadError::Backend { context: "fitting with linfa-svm".to_owned(), message: error.to_string() }
}

/// Joins machines over one set of training rows; `None` is a class without one.
pub(super) fn join(
    samples: &Array2<f32>,
    columns: Vec<Option<Column>>,
    fallback: usize,
    head: &Svm,
) -> Machine {
    let told: Vec<f32> =
        columns.iter().map(|column| f32::from(u8::from(column.is_some()))).collect();
    let columns: Vec<Column> = columns
        .into_iter()
        .map(|column| {
            column.unwrap_or(Column { coefficients: vec![0.0; samples.nrows()], offset: 0.0 })
        })
        .collect();
    let offsets = columns.iter().map(|column| column.offset as f32).collect();
    let (support, coefficients) = match head.kernel {
        Kernel::Gaussian => {
            let supports = |row: &usize| {
                columns.iter().any(|column| column.coefficients[*row].abs() > LEAST_COEFFICIENT)
            };
            let rows: Vec<usize> = (0..samples.nrows()).filter(supports).collect();
            let coefficients =
                Array2::from_shape_fn((rows.len(), columns.len()), |(row, column)| {
                    columns[column].coefficients[rows[row]] as f32
                });
            (samples.select(Axis(0), &rows), coefficients)
        }
        Kernel::Linear => {
            let mut weights = Array2::zeros((columns.len(), samples.ncols()));
            for (column, mut weights) in columns.iter().zip(weights.rows_mut()) {
                let mut sum = Array1::<f64>::zeros(samples.ncols());
                for (sample, &coefficient) in samples.rows().into_iter().zip(&column.coefficients) {
                    sum.zip_mut_with(&sample, |sum, &value| *sum += coefficient * f64::from(value));
                }
                weights.assign(&sum.mapv(|value| value as f32));
            }
            (weights, Array2::eye(columns.len()))
        }
    };
    let gamma = head.options.gamma as f32;
    Machine { kernel: head.kernel, gamma, support, coefficients, offsets, told, fallback }
}

impl Machine {
    /// Number of columns: classes, or 1.
    pub(super) fn columns(&self) -> usize {
        self.offsets.len()
    }

    /// Whether each column has a machine.
    pub(super) fn told(&self) -> Vec<bool> {
        self.told.iter().map(|&told| told != 0.0).collect()
    }

    /// The column to answer with where no machine speaks.
    pub(super) fn fallback(&self) -> usize {
        self.fallback
    }

    /// Decisions (rows x columns, row by row) for standardised and scaled rows.
    pub(super) fn decide(&self, values: Vec<f32>, rows: usize) -> Result<Vec<f32>, HeadError> {
        let columns = self.columns();
        let mut decisions = if self.support.nrows() == 0 {
            vec![0.0; rows * columns]
        } else {
            self.sums(values, rows).map_err(backend("answering with an SVM"))?
        };
        for row in decisions.chunks_mut(columns) {
            row.iter_mut().zip(&self.offsets).for_each(|(sum, offset)| *sum -= offset);
        }
        Ok(decisions)
    }

    fn sums(&self, values: Vec<f32>, rows: usize) -> candle_core::Result<Vec<f32>> {
        let (count, width) = self.support.dim();
        let lengths = |values: &[f32]| -> Vec<f32> {
            values.chunks(width).map(|row| row.iter().map(|value| value * value).sum()).collect()
        };
        let support: Vec<f32> = self.support.iter().copied().collect();
        let (row_lengths, support_lengths) = (lengths(&values), lengths(&support));
        let support = Tensor::from_vec(support, (count, width), &Device::Cpu)?;
        let products = Tensor::from_vec(values, (rows, width), &Device::Cpu)?
            .matmul(&support.t()?)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        if self.kernel == Kernel::Linear {
            return Ok(products);
        }
        let mut similar = products;
        for (row, length) in similar.chunks_mut(count).zip(row_lengths) {
            for (value, support_length) in row.iter_mut().zip(&support_lengths) {
                let distance = (length + support_length - 2.0 * *value).max(0.0);
                *value = (-self.gamma * distance).exp();
            }
        }
        let coefficients: Vec<f32> = self.coefficients.iter().copied().collect();
        let shape = self.coefficients.dim();
        Tensor::from_vec(similar, (rows, count), &Device::Cpu)?
            .matmul(&Tensor::from_vec(coefficients, shape, &Device::Cpu)?)?
            .flatten_all()?
            .to_vec1()
    }

    /// Adds its numbers to a head's tensors.
    pub(super) fn store(&self, tensors: &mut Tensors) {
        tensors.insert("support".to_owned(), self.support.clone().into_dyn());
        tensors.insert("coefficients".to_owned(), self.coefficients.clone().into_dyn());
        tensors.insert("offsets".to_owned(), Array1::from(self.offsets.clone()).into_dyn());
        tensors.insert("told".to_owned(), Array1::from(self.told.clone()).into_dyn());
        let fallback = Array1::from(vec![self.fallback as f32]);
        tensors.insert("fallback".to_owned(), fallback.into_dyn());
    }

    /// Takes its numbers from a stored head.
    pub(super) fn restore(
        reader: &Reader<'_>,
        kernel: Kernel,
        gamma: f64,
        width: usize,
        columns: usize,
    ) -> Result<Self, HeadError> {
        let support = reader.matrix("support", (None, Some(width)))?;
        let rows = Some(support.nrows());
        let coefficients = reader.matrix("coefficients", (rows, Some(columns)))?;
        let offsets = reader.vector("offsets", Some(columns))?;
        let told = reader.vector("told", Some(columns))?;
        let fallback = reader.vector("fallback", Some(1))?[0] as usize;
        Ok(Self { kernel, gamma: gamma as f32, support, coefficients, offsets, told, fallback })
    }
}
