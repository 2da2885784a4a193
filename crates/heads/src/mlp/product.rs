//! The product of a layer's input with its weights, whose backward pass does no more than is
//! needed.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// Where the gradient of a layer's weights is put by the backward pass.
///
/// candle's own store first makes zeros and adds to them, and hands such sums, from 65,536 values
/// on, to a pool of threads of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Option<Tensor>>>);

impl Sink {
    /// Keeps a gradient until the optimiser takes it.
    pub(super) fn put(&self, gradient: Tensor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }

    /// The gradient of the last backward pass, once.
    pub(super) fn take(&self) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// input (rows x d) times weights (d x units).
pub(super) struct Product {
    /// Whether the input has a gradient. The features have none, and candle would compute it all
    /// the same: a third of the work of the widest layer.
    pub(super) derives_input: bool,
    /// Gets the weights' gradient.
    pub(super) sink: Sink,
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
        let product =
            input.matmul(weights, (1, rows, units, width), input_layout, weights_layout)?;
        Ok((product, Shape::from((rows, units))))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weights: &Tensor,
        _product: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.sink.put(input.t()?.matmul(gradient)?);
        let by_input =
            if self.derives_input { Some(gradient.matmul(&weights.t()?)?) } else { None };
        Ok((by_input, None))
    }
}

#[cfg(test)]
mod tests {
    use super::{Product, Sink};
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn value_and_gradients_are_those_of_a_plain_product() {
        let input: Vec<f32> = (0..12).map(|i| (i as f32).sin()).collect();
        let input = Var::from_vec(input, (4, 3), &Device::Cpu).unwrap();
        let weights: Vec<f32> = (0..6).map(|i| (i as f32).cos()).collect();
        let weights = Var::from_vec(weights, (3, 2), &Device::Cpu).unwrap();
        let derive = |product: &Tensor| product.sqr().unwrap().sum_all().unwrap().backward();
        let numbers = |tensor: &Tensor| tensor.to_vec2::<f32>().unwrap();

        let plain = input.matmul(&weights).unwrap();
        let expected = derive(&plain).unwrap();
        let sink = Sink::default();
        let product = Product { derives_input: true, sink: sink.clone() };
        let ours = input.apply_op2(weights.as_tensor(), product).unwrap();
        let found = derive(&ours).unwrap();

        assert_eq!(numbers(&ours), numbers(&plain));
        assert_eq!(numbers(found.get(&input).unwrap()), numbers(expected.get(&input).unwrap()));
        let by_weights = sink.take().unwrap();
        assert_eq!(numbers(&by_weights), numbers(expected.get(&weights).unwrap()));
        assert!(sink.take().is_none());
    }
}
