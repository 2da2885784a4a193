//! The layers of the network, as candle-nn has them: made from a `VarBuilder`.

use candle_core::{Device, Result, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder, init};
use facefold_core::rng::Rng;

use super::dropout::drop_values;
use super::norm::{EPSILON, Normalise, Statistics};
use super::product::{GradientBuffer, Product, Shared};
use super::storage::with_values;

/// Weight of a batch's statistics in the running ones.
const MOMENTUM: f64 = 0.1;

/// A linear layer: weights are inputs x units.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) weight: Var,
    pub(super) bias: Var,
    /// Where the weight's gradient comes from.
    pub(super) gradient_buffer: GradientBuffer,
}

/// Batch norm over the columns of its input.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) gamma: Var,
    pub(super) beta: Var,
    /// Running statistics, used for prediction.
    pub(super) mean: Var,
    pub(super) variance: Var,
    /// Where the gradients of gamma and beta come from.
    pub(super) gradient_buffers: [GradientBuffer; 2],
}

/// What a forward pass is for.
pub(super) enum Pass<'a> {
    Training(&'a mut Rng),
    Prediction,
    /// Prediction with dropout, of the same units for all rows.
    PredictionWithDropout(&'a mut Rng),
}

/// A variable of this name.
fn variable(shape: impl Into<Shape>, name: &str, init: Init, vars: &VarBuilder<'_>) -> Result<Var> {
    Var::from_tensor(&vars.get_with_hints(shape, name, init)?)
}

impl Dense {
    /// Weights and biases uniform within 1 / sqrt(inputs), as `PyTorch` draws them.
    pub(super) fn new(inputs: usize, units: usize, vars: &VarBuilder<'_>) -> Result<Self> {
        let bound = f64::from(1.0 / (inputs as f32).sqrt());
        let uniform = Init::Uniform { lo: -bound, up: bound };
        Ok(Self {
            weight: variable((inputs, units), "weight", uniform, vars)?,
            bias: variable(units, "bias", uniform, vars)?,
            gradient_buffer: GradientBuffer::default(),
        })
    }

    /// Without the bias.
    pub(super) fn product(
        &self,
        input: &Tensor,
        is_first: bool,
        multiplier: &Shared,
    ) -> Result<Tensor> {
        let product = Product {
            derives_input: !is_first,
            gradient_buffer: self.gradient_buffer.clone(),
            multiplier: multiplier.clone(),
        };
        input.apply_op2(self.weight.as_tensor(), product)
    }

    pub(super) fn forward(
        &self,
        input: &Tensor,
        is_first: bool,
        multiplier: &Shared,
    ) -> Result<Tensor> {
        self.product(input, is_first, multiplier)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    /// Of this width.
    pub(super) fn new(width: usize, vars: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            gamma: variable(width, "gamma", init::ONE, vars)?,
            beta: variable(width, "beta", init::ZERO, vars)?,
            mean: variable(width, "mean", init::ZERO, vars)?,
            variance: variable(width, "variance", init::ONE, vars)?,
            gradient_buffers: [GradientBuffer::default(), GradientBuffer::default()],
        })
    }

    /// Batch norm of `input` plus `bias`, followed by ReLU if `rectifies`, and by dropout in
    /// training.
    ///
    /// A batch's mean takes the bias away again, so that it has no gradient: in training it moves
    /// the running mean alone.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        bias: Option<&Var>,
        rectifies: bool,
        dropout: f32,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let Pass::Training(generator) = pass else {
            let scale =
                ((self.variance.as_tensor() + EPSILON)?.sqrt()?.recip()? * self.gamma.as_tensor())?;
            let biased = match bias {
                Some(bias) => input.broadcast_add(bias)?,
                None => input.clone(),
            };
            let centred = biased.broadcast_sub(&self.mean)?;
            let units = centred.broadcast_mul(&scale)?.broadcast_add(&self.beta)?;
            let units = if rectifies { units.relu()? } else { units };
            return drop_units(&units, dropout, pass);
        };
        let statistics = Statistics::of(input)?;
        let n = input.dim(0)? as f64;
        let mean = Tensor::new(statistics.mean.as_slice(), &Device::Cpu)?;
        let mean = match bias {
            Some(bias) => (mean + bias.as_detached_tensor())?,
            None => mean,
        };
        follow(&self.mean, &mean)?;
        // The running variance is the unbiased one, as in PyTorch.
        let unbiased =
            Tensor::new(statistics.variance.as_slice(), &Device::Cpu)? * (n / (n - 1.0).max(1.0));
        follow(&self.variance, &unbiased?)?;
        let mut mask = Vec::new();
        if dropout > 0.0 {
            mask.resize(input.elem_count(), 1.0);
            drop_values(&mut mask, dropout, generator);
        }
        let normalise = Normalise {
            statistics,
            gamma: with_values(&self.gamma, <[f32]>::to_vec)?,
            beta: with_values(&self.beta, <[f32]>::to_vec)?,
            rectifies,
            mask,
            gradient_buffers: self.gradient_buffers.clone(),
        };
        input.apply_op1(normalise)
    }
}

/// Moves a running statistic towards a batch's.
fn follow(running: &Var, batch: &Tensor) -> Result<()> {
    let moved = ((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?;
    running.set(&moved)
}

/// Dropout of the units, in passes with dropout: of each row's own in training, of the same for
/// all rows in prediction.
pub(super) fn drop_units(units: &Tensor, probability: f32, pass: &mut Pass<'_>) -> Result<Tensor> {
    let mask = |shape: &Shape, generator: &mut Rng| {
        let mut mask = vec![1.0; shape.elem_count()];
        drop_values(&mut mask, probability, generator);
        Tensor::from_vec(mask, shape, &Device::Cpu)
    };
    match pass {
        Pass::Training(generator) if probability > 0.0 => units * mask(units.shape(), generator)?,
        Pass::PredictionWithDropout(generator) if probability > 0.0 => {
            units.broadcast_mul(&mask(&Shape::from(units.dim(1)?), generator)?)
        }
        _ => Ok(units.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::variables::{Initialised, builder};
    use super::{Norm, Pass};
    use candle_core::{Device, Tensor, Var};
    use candle_nn::{BatchNorm, ModuleT, VarMap};
    use facefold_core::rng::seeded;

    fn norm(width: usize) -> Norm {
        let generator = seeded(1, "test").into();
        Norm::new(width, &builder(Initialised { generator, variables: VarMap::new() })).unwrap()
    }

    /// Forward and backward, with the rectifier and without it, training and prediction.
    #[test]
    fn batch_norm_agrees_with_candle_nn() {
        let mut generator = seeded(1, "test");
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let near = |ours: &[f32], theirs: &[f32]| {
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 2e-5, "{ours} {theirs}");
            }
        };
        let norm = norm(3);
        norm.gamma.set(&Tensor::new(&[0.5_f32, 1.0, -2.0], &Device::Cpu).unwrap()).unwrap();
        norm.beta.set(&Tensor::new(&[0.1_f32, 0.0, 0.3], &Device::Cpu).unwrap()).unwrap();
        let zeros = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let ones = zeros.ones_like().unwrap();
        let (gamma, beta) = (norm.gamma.as_tensor().copy(), norm.beta.as_tensor().copy());
        let gamma = Var::from_tensor(&gamma.unwrap()).unwrap();
        let beta = Var::from_tensor(&beta.unwrap()).unwrap();
        let state = (gamma.as_tensor().clone(), beta.as_tensor().clone());
        let reference = BatchNorm::new(3, zeros, ones, state.0, state.1, 1e-5).unwrap();
        let bias = Var::new(&[0.7_f32, -0.2, 0.0], &Device::Cpu).unwrap();
        let values: Vec<f32> = (0..15).map(|i| (i as f32 * 1.7).sin() + i as f32).collect();
        let input = Var::from_vec(values, (5, 3), &Device::Cpu).unwrap();
        let gradients: Vec<f32> = (0..15).map(|i| (i as f32 * 0.9).cos()).collect();
        let gradients = Tensor::from_vec(gradients, (5, 3), &Device::Cpu).unwrap();
        for (training, rectifies) in [(true, true), (true, false), (false, true)] {
            let mut pass = if training { Pass::Training(&mut generator) } else { Pass::Prediction };
            let ours = norm.forward(&input, Some(&bias), rectifies, 0.0, &mut pass).unwrap();
            let biased = input.broadcast_add(&bias).unwrap();
            let theirs = reference.forward_t(&biased, training).unwrap();
            let theirs = if rectifies { theirs.relu().unwrap() } else { theirs };
            near(&numbers(&ours), &numbers(&theirs));
            if training {
                let derive = |output: &Tensor| {
                    (output * &gradients).unwrap().sum_all().unwrap().backward().unwrap()
                };
                let (found, expected) = (derive(&ours), derive(&theirs));
                let by_input = [found.get(&input), expected.get(&input)];
                near(&numbers(by_input[0].unwrap()), &numbers(by_input[1].unwrap()));
                for (gradient_buffer, theirs) in norm.gradient_buffers.iter().zip([&gamma, &beta]) {
                    let ours = gradient_buffer.take(<[f32]>::to_vec).unwrap();
                    near(&ours, &numbers(expected.get(theirs).unwrap()));
                }
            }
        }
    }

    #[test]
    fn dropped_units_have_no_gradient() {
        let mut generator = seeded(1, "test");
        let norm = norm(4);
        let values: Vec<f32> = (0..400).map(|i| (i as f32 * 1.7).sin()).collect();
        let input = Var::from_vec(values, (100, 4), &Device::Cpu).unwrap();
        let mut pass = Pass::Training(&mut generator);
        let output = norm.forward(&input, None, false, 0.5, &mut pass).unwrap();
        let kept = output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let kept = kept.iter().filter(|value| **value != 0.0).count();
        assert!((150..250).contains(&kept), "{kept}");
        let gradients = output.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&input).is_some());
        // The gradient by beta is 2 for each value kept, 0 for the others.
        let by_beta = norm.gradient_buffers[1].take(|sums| sums.iter().sum::<f32>()).unwrap();
        assert_eq!(by_beta, 2.0 * kept as f32);
    }
}
