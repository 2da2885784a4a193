//! Batch norm for training, with the rectifier and the dropout that follow it: one pass over the
//! units forward, two backward, where candle's operations make some thirty copies of them.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use facefold_kernels::{Vectorised, dispatch_simd};

use super::product::GradientBuffer;
use super::storage::{slice, with_values};

/// Added to a variance before its root is taken.
pub(super) const EPSILON: f64 = 1e-5;

/// Mean and variance (divided by the number of rows) of each column.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

impl Statistics {
    /// Those of some rows.
    pub(super) fn of(rows: &Tensor) -> Result<Self> {
        let width = rows.dim(1)?;
        with_values(rows, |values| dispatch_simd(Moments { values, width }))
    }
}

struct Moments<'a> {
    values: &'a [f32],
    width: usize,
}

impl Vectorised for Moments<'_> {
    type Output = Statistics;

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) -> Statistics {
        let Self { values, width } = self;
        let scale = 1.0 / (values.len() / width).max(1) as f32;
        let (mut mean, mut variance) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        for row in values.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        for sum in &mut mean {
            *sum *= scale;
        }
        for row in values.chunks_exact(width) {
            for ((sum, mean), value) in variance.iter_mut().zip(&mean).zip(row) {
                *sum += (value - mean) * (value - mean);
            }
        }
        for sum in &mut variance {
            *sum *= scale;
        }
        Statistics { mean, variance }
    }
}

/// mask * relu((x - mean) / deviation * gamma + beta), by the statistics of x itself.
pub(super) struct Normalise {
    pub(super) statistics: Statistics,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    /// Whether negative values become 0.
    pub(super) rectifies: bool,
    /// What each value is multiplied by; empty: nothing is dropped.
    pub(super) mask: Vec<f32>,
    /// Get the gradients of gamma and beta.
    pub(super) gradient_buffers: [GradientBuffer; 2],
}

impl Normalise {
    /// 1 / deviation of each column.
    fn inverses(&self) -> Vec<f32> {
        let inverse = |&variance: &f32| (1.0 / (f64::from(variance) + EPSILON).sqrt()) as f32;
        self.statistics.variance.iter().map(inverse).collect()
    }
}

impl CustomOp1 for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let forward =
            Forward { norm: self, inverses: self.inverses(), values: slice(input, layout)? };
        Ok((CpuStorage::F32(dispatch_simd(forward)), layout.shape().clone()))
    }

    fn bwd(&self, input: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = self.gamma.len();
        let by_input = with_values(input, |values| {
            with_values(output, |output| {
                with_values(gradient, |gradient| {
                    let inverses = self.inverses();
                    dispatch_simd(Backward { norm: self, inverses, values, output, gradient })
                })
            })
        })???;
        for (gradient_buffer, sums) in
            self.gradient_buffers.iter().zip([&by_input.gamma, &by_input.beta])
        {
            gradient_buffer.put(width, |to| to.copy_from_slice(sums));
        }
        Tensor::from_vec(by_input.values, input.shape(), &Device::Cpu).map(Some)
    }
}

struct Forward<'a> {
    norm: &'a Normalise,
    inverses: Vec<f32>,
    values: &'a [f32],
}

impl Vectorised for Forward<'_> {
    type Output = Vec<f32>;

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Self { norm: Normalise { statistics, gamma, beta, rectifies, mask, .. }, .. } = self;
        let width = gamma.len();
        let mut output = vec![0.0; self.values.len()];
        let least = if *rectifies { 0.0 } else { f32::NEG_INFINITY };
        let (mean, inverses) = (&statistics.mean[..width], &self.inverses[..width]);
        let (gamma, beta) = (&gamma[..width], &beta[..width]);
        for (to, row) in output.chunks_exact_mut(width).zip(self.values.chunks_exact(width)) {
            for column in 0..width {
                let scaled = (row[column] - mean[column]) * inverses[column];
                let value = scaled * gamma[column] + beta[column];
                // Not `max`, which would turn NaN into 0.
                to[column] = if value < least { least } else { value };
            }
        }
        for (value, factor) in output.iter_mut().zip(mask) {
            *value *= factor;
        }
        output
    }
}

struct Backward<'a> {
    norm: &'a Normalise,
    inverses: Vec<f32>,
    values: &'a [f32],
    output: &'a [f32],
    gradient: &'a [f32],
}

/// Gradients by the input, gamma and beta.
struct Gradients {
    values: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Vectorised for Backward<'_> {
    type Output = Gradients;

    /// With z = (x - mean) / deviation and g the gradient by gamma * z + beta, that by x is
    /// gamma / deviation * (g - mean of g - z * mean of g z) (Ioffe and Szegedy, "Batch
    /// normalization", 2015).
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) -> Gradients {
        let Self { norm: Normalise { statistics, gamma, rectifies, mask, .. }, .. } = self;
        let width = gamma.len();
        let scale = 1.0 / (self.values.len() / width).max(1) as f32;
        // The gradient by what was normalised: what was cut off or dropped has none.
        let mut gradients = self.gradient.to_vec();
        for (gradient, factor) in gradients.iter_mut().zip(mask) {
            *gradient *= factor;
        }
        if *rectifies {
            for (gradient, &output) in gradients.iter_mut().zip(self.output) {
                *gradient = if output > 0.0 { *gradient } else { 0.0 };
            }
        }
        let (mean, inverses) = (&statistics.mean[..width], &self.inverses[..width]);
        let (mut by_gamma, mut by_beta) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        for (gradients, row) in gradients.chunks_exact(width).zip(self.values.chunks_exact(width)) {
            let (by_gamma, by_beta) = (&mut by_gamma[..width], &mut by_beta[..width]);
            for column in 0..width {
                let scaled = (row[column] - mean[column]) * inverses[column];
                by_gamma[column] += gradients[column] * scaled;
                by_beta[column] += gradients[column];
            }
        }
        let (gammas, betas) = (&by_gamma[..width], &by_beta[..width]);
        let gamma = &gamma[..width];
        for (gradients, row) in
            gradients.chunks_exact_mut(width).zip(self.values.chunks_exact(width))
        {
            for column in 0..width {
                let scaled = (row[column] - mean[column]) * inverses[column];
                let rest = gradients[column] - scale * (betas[column] + scaled * gammas[column]);
                gradients[column] = gamma[column] * inverses[column] * rest;
            }
        }
        Gradients { values: gradients, gamma: by_gamma, beta: by_beta }
    }
}
