//! The product of the input features with the first layer's weights, whose backward pass leaves
//! out what nobody needs.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// features (rows x d) times weights (d x units), with a gradient for the weights only.
///
/// candle's own product also derives by the features, which are no parameters: a third of the
/// work of the widest layer.
pub(super) struct InputProduct;

impl CustomOp2 for InputProduct {
    fn name(&self) -> &'static str {
        "input-product"
    }

    fn cpu_fwd(
        &self,
        features: &CpuStorage,
        features_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = features_layout.shape().dims2()?;
        let (_, units) = weights_layout.shape().dims2()?;
        let sizes = (1, rows, units, width);
        let product = features.matmul(weights, sizes, features_layout, weights_layout)?;
        Ok((product, Shape::from((rows, units))))
    }

    fn bwd(
        &self,
        features: &Tensor,
        _weights: &Tensor,
        _product: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((None, Some(features.t()?.matmul(gradient)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::InputProduct;
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn value_and_weight_gradient_are_those_of_a_plain_product() {
        let features: Vec<f32> = (0..12).map(|i| (i as f32).sin()).collect();
        let features = Tensor::from_vec(features, (4, 3), &Device::Cpu).unwrap();
        let weights: Vec<f32> = (0..6).map(|i| (i as f32).cos()).collect();
        let weights = Var::from_vec(weights, (3, 2), &Device::Cpu).unwrap();
        let derive = |product: &Tensor| {
            let gradients = product.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            gradients.get(&weights).unwrap().to_vec2::<f32>().unwrap()
        };
        let ours = features.apply_op2(weights.as_tensor(), InputProduct).unwrap();
        let plain = features.matmul(&weights).unwrap();
        assert_eq!(ours.to_vec2::<f32>().unwrap(), plain.to_vec2::<f32>().unwrap());
        assert_eq!(derive(&ours), derive(&plain));
    }
}
