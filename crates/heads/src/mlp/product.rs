//! The product of a layer's input with its weights, by the engine's kernels, with a backward pass
//! that does no more than is needed.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use facefold_kernels::{Matrix, MatrixMut, Multiplier};

use super::storage::{slice, with_values};

/// What multiplies for all layers of a network, which are computed one after the other.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Multiplier>>);

impl Shared {
    pub(super) fn new(multiplier: Multiplier) -> Self {
        Self(Arc::new(Mutex::new(multiplier)))
    }

    fn multiply(&self, left: Matrix<'_>, right: Matrix<'_>, to: &mut [f32]) {
        let to = MatrixMut::new(to, left.rows(), right.columns());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).multiply(left, right, to);
    }
}

/// Where the gradient of a parameter is put by the backward pass.
///
/// candle's own store first makes zeros and adds to them, and hands such sums, from 65,536 values
/// on, to a pool of threads of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct GradientBuffer(Arc<Mutex<Gradient>>);

/// The allocation is reused from one step to the next.
#[derive(Debug, Default)]
struct Gradient {
    values: Vec<f32>,
    is_new: bool,
}

impl GradientBuffer {
    /// Has `write` write a gradient of so many values over the last one.
    pub(super) fn put(&self, count: usize, write: impl FnOnce(&mut [f32])) {
        let mut gradient = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gradient.values.resize(count, 0.0);
        write(&mut gradient.values);
        gradient.is_new = true;
    }

    /// Gives the gradient of the last backward pass to `read`, once.
    pub(super) fn take<T>(&self, read: impl FnOnce(&[f32]) -> T) -> Option<T> {
        let mut gradient = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut gradient.is_new).then(|| read(&gradient.values))
    }
}

/// input (rows x d) times weights (d x units).
pub(super) struct Product {
    /// Whether the input has a gradient. The features have none, and candle would compute it all
    /// the same: a third of the work of the widest layer.
    pub(super) derives_input: bool,
    /// Gets the weights' gradient.
    pub(super) gradient_buffer: GradientBuffer,
    pub(super) multiplier: Shared,
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "layer-product"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = input_layout.shape().dims2()?;
        let (_, units) = weights_layout.shape().dims2()?;
        let mut product = vec![0.0; rows * units];
        self.multiplier.multiply(
            Matrix::new(slice(input, input_layout)?, rows, width),
            Matrix::new(slice(weights, weights_layout)?, width, units),
            &mut product,
        );
        Ok((CpuStorage::F32(product), Shape::from((rows, units))))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weights: &Tensor,
        _product: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, width), units) = (input.dims2()?, weights.dim(1)?);
        let by_input = with_values(gradient, |gradient| {
            let gradient = Matrix::new(gradient, rows, units);
            with_values(input, |input| {
                let input = Matrix::new(input, rows, width).transposed();
                self.gradient_buffer
                    .put(width * units, |to| self.multiplier.multiply(input, gradient, to));
            })?;
            if !self.derives_input {
                return Ok(None);
            }
            let mut by_input = vec![0.0; rows * width];
            with_values(weights, |weights| {
                let weights = Matrix::new(weights, width, units).transposed();
                self.multiplier.multiply(gradient, weights, &mut by_input);
            })?;
            Tensor::from_vec(by_input, (rows, width), &Device::Cpu).map(Some)
        })??;
        Ok((by_input, None))
    }
}

#[cfg(test)]
mod tests {
    use super::{GradientBuffer, Product, Shared};
    use crate::state_dict::multiplier;
    use candle_core::{Device, Tensor, Var};

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn value_and_gradients_are_those_of_a_plain_product() {
        let wave = |count: usize, shape: (usize, usize), by: f32| {
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * by).sin()).collect();
            Var::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let (input, weights) = (wave(37 * 40, (37, 40), 0.7), wave(40 * 50, (40, 50), 1.3));
        let derive = |product: &Tensor| product.sqr().unwrap().sum_all().unwrap().backward();
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let plain = input.matmul(&weights).unwrap();
        let expected = derive(&plain).unwrap();
        let gradient_buffer = GradientBuffer::default();
        let shared = Shared::new(multiplier().unwrap());
        let product = Product {
            derives_input: true,
            gradient_buffer: gradient_buffer.clone(),
            multiplier: shared,
        };
        let ours = input.apply_op2(weights.as_tensor(), product).unwrap();
        let found = derive(&ours).unwrap();

        assert_near(&numbers(&ours), &numbers(&plain));
        assert_near(&numbers(found.get(&input).unwrap()), &numbers(expected.get(&input).unwrap()));
        let by_weights = gradient_buffer.take(<[f32]>::to_vec).unwrap();
        assert_near(&by_weights, &numbers(expected.get(&weights).unwrap()));
        assert!(gradient_buffer.take(|_| ()).is_none());
    }
}
