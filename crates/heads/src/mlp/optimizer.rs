//! `AdamW`, Adam and SGD as an `Optimizer` of candle-nn, each variable updated in place in one pass.
//!
//! candle-nn's optimisers make about 14 temporaries a parameter, which took 37 % of a step.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, TensorId, Var, bail};
use candle_nn::Optimizer;
use facefold_kernels::{Vectorised, dispatch_simd};

use super::OptimizerKind;
use super::product::GradientBuffer;
use super::storage::with_values;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Settings of [`FusedOptimizer`].
pub(super) struct Config {
    pub(super) kind: OptimizerKind,
    /// Penalty on the absolute values of the variables that decay.
    pub(super) l1: f64,
    pub(super) learning_rate: f64,
    /// How variables are treated, where not by default.
    pub(super) parameters: HashMap<TensorId, Parameter>,
}

/// How a variable is treated.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameter {
    /// Whether weight decay acts on it.
    pub(super) decays: bool,
    /// Where its gradient is, if not in candle's store.
    pub(super) gradient_buffer: Option<GradientBuffer>,
}

/// The optimizer's state of one variable.
struct OptimizerState {
    /// Mean gradient (`AdamW`, Adam), or last step (SGD).
    first: Vec<f32>,
    /// Mean squared gradient (`AdamW`, Adam).
    second: Vec<f32>,
}

/// Updates variables, each in one pass.
pub(super) struct FusedOptimizer {
    kind: OptimizerKind,
    l1: f64,
    learning_rate: f64,
    variables: Vec<(Var, Parameter, OptimizerState)>,
    steps: i32,
}

impl Optimizer for FusedOptimizer {
    type Config = Config;

    fn new(variables: Vec<Var>, config: Config) -> Result<Self> {
        let Config { kind, l1, learning_rate, mut parameters } = config;
        let remember = |variable: Var| {
            let n = variable.elem_count();
            let second = match kind {
                OptimizerKind::AdamW { .. } | OptimizerKind::Adam { .. } => vec![0.0; n],
                OptimizerKind::Sgd { .. } => Vec::new(),
            };
            let parameter = parameters.remove(&variable.id()).unwrap_or_default();
            (variable, parameter, OptimizerState { first: vec![0.0; n], second })
        };
        let variables = variables.into_iter().map(remember).collect();
        Ok(Self { kind, l1, learning_rate, variables, steps: 0 })
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.learning_rate = rate;
    }

    /// Moves every variable that has a gradient.
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        let rate = self.learning_rate;
        for (variable, parameter, state) in &mut self.variables {
            let (optimizer, steps, decays) = (self.kind, self.steps, parameter.decays);
            let l1 = if decays { self.l1 } else { 0.0 };
            // candle hands operations out by shared reference.
            let state = Mutex::new(state);
            let move_by = |gradient: &[f32]| {
                let state = &state;
                let update = Update { optimizer, l1, rate, steps, decays, gradient, state };
                variable.inplace_op1(&update)
            };
            match &parameter.gradient_buffer {
                Some(gradient_buffer) => gradient_buffer.take(move_by).transpose()?,
                None => match gradients.get(variable.as_tensor()) {
                    Some(gradient) => Some(with_values(gradient, move_by)??),
                    None => None,
                },
            };
        }
        Ok(())
    }
}

/// One step of one parameter, as an operation that candle runs on its storage.
struct Update<'a, 'b> {
    optimizer: OptimizerKind,
    l1: f64,
    rate: f64,
    steps: i32,
    decays: bool,
    gradient: &'a [f32],
    state: &'a Mutex<&'b mut OptimizerState>,
}

impl InplaceOp1 for Update<'_, '_> {
    fn name(&self) -> &'static str {
        "optimiser-step"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(weights), Some((start, end))) = (weights, layout.contiguous_offsets())
        else {
            bail!("parameters must be contiguous f32 values")
        };
        let weights = &mut weights[start..end];
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let OptimizerState { first, second } = &mut **guard;
        let (gradient, rate) = (self.gradient, self.rate);
        match self.optimizer {
            OptimizerKind::AdamW { weight_decay } => {
                self.adam(weights, first, second, (weight_decay, 0.0));
            }
            OptimizerKind::Adam { weight_decay } => {
                self.adam(weights, first, second, (0.0, weight_decay));
            }
            OptimizerKind::Sgd { momentum, weight_decay } => {
                let decay = if self.decays { weight_decay as f32 } else { 0.0 };
                let (momentum, rate) = (momentum as f32, rate as f32);
                for ((weight, &gradient), last) in weights.iter_mut().zip(gradient).zip(first) {
                    *last = momentum * *last + gradient + decay * *weight;
                    *weight -= rate * *last;
                }
            }
        }
        if self.l1 > 0.0 {
            shrink(weights, (self.rate * self.l1) as f32);
        }
        Ok(())
    }
}

impl Update<'_, '_> {
    /// The first decay is decoupled from the gradient (`AdamW`), the second added to it (Adam).
    fn adam(
        &self,
        weights: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        (decay, in_gradient): (f64, f64),
    ) {
        let (decay, in_gradient) = if self.decays { (decay, in_gradient) } else { (0.0, 0.0) };
        dispatch_simd(Adam {
            weights,
            gradient: self.gradient,
            first,
            second,
            keep: (1.0 - self.rate * decay) as f32,
            in_gradient: in_gradient as f32,
            scale: (self.rate / (1.0 - BETA1.powi(self.steps))) as f32,
            scale_second: (1.0 / (1.0 - BETA2.powi(self.steps))) as f32,
        });
    }
}

/// A step of `Adam` or `AdamW`.
struct Adam<'a> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    /// Factor of decoupled weight decay.
    keep: f32,
    /// L2 penalty that is added to the gradient.
    in_gradient: f32,
    /// The learning rate, and what the mean square is multiplied by: both means start at 0.
    scale: f32,
    scale_second: f32,
}

impl Vectorised for Adam<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        let Self { weights, gradient, first, second, keep, in_gradient, scale, scale_second } =
            self;
        let (beta1, beta2, epsilon) = (BETA1 as f32, BETA2 as f32, EPSILON as f32);
        // Taken in f64: 1 - 0.999 in f32 is off in the fifth digit.
        let (new1, new2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let moments = first.iter_mut().zip(second);
        for ((weight, &gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments)
        {
            let gradient = gradient + in_gradient * *weight;
            *first = beta1 * *first + new1 * gradient;
            *second = beta2 * *second + new2 * gradient * gradient;
            let denominator = (*second * scale_second).sqrt() + epsilon;
            *weight = *weight * keep - scale * *first / denominator;
        }
    }
}

/// Brings every weight nearer to 0 by `by`, and no further: the proximal step of an L1 penalty,
/// which leaves weights at exactly 0.
fn shrink(weights: &mut [f32], by: f32) {
    for weight in weights {
        *weight = (weight.abs() - by).max(0.0).copysign(*weight);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Config, FusedOptimizer, OptimizerKind, Parameter};
    use candle_core::{Device, Var};
    use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

    /// An optimizer of one variable that decays.
    fn optimizer(kind: OptimizerKind, l1: f64, variable: &Var) -> FusedOptimizer {
        let parameter = Parameter { decays: true, gradient_buffer: None };
        let parameters = HashMap::from([(variable.id(), parameter)]);
        let config = Config { kind, l1, learning_rate: 0.1, parameters };
        FusedOptimizer::new(vec![variable.clone()], config).unwrap()
    }

    fn steps(mut step: impl FnMut(&candle_core::Tensor), variable: &Var) -> Vec<f32> {
        for _ in 0..5 {
            step(&variable.powf(3.0).unwrap().sum_all().unwrap());
        }
        variable.to_vec1().unwrap()
    }

    #[test]
    fn adamw_agrees_with_candle_nn() {
        let start = [0.5_f32, -1.0, 2.0];
        let theirs = Var::new(&start, &Device::Cpu).unwrap();
        let params = ParamsAdamW { lr: 0.1, weight_decay: 0.05, ..ParamsAdamW::default() };
        let mut reference = AdamW::new(vec![theirs.clone()], params).unwrap();
        let expected = steps(|loss| reference.backward_step(loss).unwrap(), &theirs);

        let ours = Var::new(&start, &Device::Cpu).unwrap();
        let mut optimizer = optimizer(OptimizerKind::AdamW { weight_decay: 0.05 }, 0.0, &ours);
        let found = steps(|loss| optimizer.backward_step(loss).unwrap(), &ours);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    /// By hand, for f(x) = x^3 at 1: gradient 3, with decay 0.1 it is 3.1, and x = 1 - 0.1 * 3.1 =
    /// 0.69; then gradient 3 * 0.69^2 + 0.069 = 1.4973, step 0.5 * 3.1 + 1.4973 = 3.0473, x =
    /// 0.38527.
    #[test]
    fn sgd_has_momentum_and_decay() {
        let variable = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let sgd = OptimizerKind::Sgd { momentum: 0.5, weight_decay: 0.1 };
        let mut optimizer = optimizer(sgd, 0.0, &variable);
        for expected in [0.69, 0.385_27] {
            let loss = variable.powf(3.0).unwrap().sum_all().unwrap();
            optimizer.backward_step(&loss).unwrap();
            assert!((variable.to_vec1::<f32>().unwrap()[0] - expected).abs() < 1e-5);
        }
    }

    /// Golden values:
    /// ```python
    /// for w in [0.5, -1.0, 2.0]:
    ///     m = v = 0
    ///     for t in range(1, 6):
    ///         g = 3 * w * w + 0.05 * w
    ///         m = 0.9 * m + 0.1 * g; v = 0.999 * v + 0.001 * g * g
    ///         w -= 0.1 * (m / (1 - 0.9 ** t)) / (math.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
    ///     print(w)
    /// ```
    #[test]
    fn adam_adds_its_penalty_to_the_gradient() {
        let ours = Var::new(&[0.5_f32, -1.0, 2.0], &Device::Cpu).unwrap();
        let adam = OptimizerKind::Adam { weight_decay: 0.05 };
        let mut optimizer = optimizer(adam, 0.0, &ours);
        let found = steps(|loss| optimizer.backward_step(loss).unwrap(), &ours);
        for (found, expected) in found.iter().zip([0.058_436_f32, -1.501_307, 1.506_961]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    /// By hand: SGD without momentum takes x = 1 to 1 - 0.1 * 3 = 0.7 and x = 0.05 to 0.04925; the
    /// penalty takes another 0.1 * 0.6 = 0.06 from each, but not beyond 0.
    #[test]
    fn an_l1_penalty_leaves_exact_zeros() {
        let variable = Var::new(&[1.0_f32, 0.05], &Device::Cpu).unwrap();
        let sgd = OptimizerKind::Sgd { momentum: 0.0, weight_decay: 0.0 };
        let mut optimizer = optimizer(sgd, 0.6, &variable);
        let loss = variable.powf(3.0).unwrap().sum_all().unwrap();
        optimizer.backward_step(&loss).unwrap();
        let found = variable.to_vec1::<f32>().unwrap();
        assert!((found[0] - 0.64).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
    }
}
