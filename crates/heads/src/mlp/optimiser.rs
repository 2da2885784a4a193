//! `AdamW`, Adam and SGD, each parameter updated in place in one pass.
//!
//! candle-nn's optimisers make about 14 temporaries a parameter, which took 37 % of a step.

use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Var, bail};

use super::Optimiser;
use super::product::Sink;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A parameter of the network.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) variable: Var,
    /// Whether weight decay acts on it.
    pub(super) decays: bool,
    /// Where its gradient is, if not in candle's store.
    pub(super) sink: Option<Sink>,
}

/// What an optimiser remembers of one parameter.
struct Memory {
    /// Mean gradient (`AdamW`, Adam), or last step (SGD).
    first: Vec<f32>,
    /// Mean squared gradient (`AdamW`, Adam).
    second: Vec<f32>,
}

/// Steps the parameters of a network.
pub(super) struct Stepper {
    optimiser: Optimiser,
    l1: f64,
    parameters: Vec<(Parameter, Memory)>,
    steps: i32,
}

impl Stepper {
    /// With a penalty `l1` on the absolute weights.
    pub(super) fn new(optimiser: Optimiser, l1: f64, parameters: Vec<Parameter>) -> Self {
        let remember = |parameter: Parameter| {
            let n = parameter.variable.elem_count();
            let second = match optimiser {
                Optimiser::AdamW { .. } | Optimiser::Adam { .. } => vec![0.0; n],
                Optimiser::Sgd { .. } => Vec::new(),
            };
            (parameter, Memory { first: vec![0.0; n], second })
        };
        let parameters = parameters.into_iter().map(remember).collect();
        Self { optimiser, l1, parameters, steps: 0 }
    }

    /// Moves every parameter that has a gradient.
    pub(super) fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.steps += 1;
        for (parameter, memory) in &mut self.parameters {
            let gradient = match &parameter.sink {
                Some(sink) => sink.take(),
                None => gradients.get(&parameter.variable).cloned(),
            };
            let Some(gradient) = gradient else { continue };
            let update = Update {
                optimiser: self.optimiser,
                l1: if parameter.decays { self.l1 } else { 0.0 },
                rate,
                steps: self.steps,
                decays: parameter.decays,
                memory: Mutex::new(memory),
            };
            parameter.variable.inplace_op2(&gradient.contiguous()?, &update)?;
        }
        Ok(())
    }
}

/// One step of one parameter, as an operation that candle runs on its storage.
struct Update<'a> {
    optimiser: Optimiser,
    l1: f64,
    rate: f64,
    steps: i32,
    decays: bool,
    /// candle hands operations out by shared reference.
    memory: Mutex<&'a mut Memory>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "optimiser-step"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (weights, gradient) else {
            bail!("parameters and gradients must be f32")
        };
        let (Some((start, end)), Some((from, to))) =
            (layout.contiguous_offsets(), gradient_layout.contiguous_offsets())
        else {
            bail!("parameters and gradients must be contiguous")
        };
        let (weights, gradient) = (&mut weights[start..end], &gradient[from..to]);
        let mut guard = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let memory: &mut Memory = &mut guard;
        match self.optimiser {
            Optimiser::AdamW { weight_decay } => {
                self.adam(weights, gradient, memory, (weight_decay, 0.0));
            }
            Optimiser::Adam { weight_decay } => {
                self.adam(weights, gradient, memory, (0.0, weight_decay));
            }
            Optimiser::Sgd { momentum, weight_decay } => {
                self.sgd(weights, gradient, memory, (momentum as f32, weight_decay));
            }
        }
        if self.l1 > 0.0 {
            shrink(weights, (self.rate * self.l1) as f32);
        }
        Ok(())
    }
}

impl Update<'_> {
    /// The first decay takes a share of each weight, the second goes into the gradient.
    fn adam(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        memory: &mut Memory,
        (decay, in_gradient): (f64, f64),
    ) {
        let (decay, in_gradient) = if self.decays { (decay, in_gradient) } else { (0.0, 0.0) };
        let keep = (1.0 - self.rate * decay) as f32;
        let in_gradient = in_gradient as f32;
        let scale = self.rate / (1.0 - BETA1.powi(self.steps));
        let scale_second = 1.0 / (1.0 - BETA2.powi(self.steps));
        let (scale, scale_second, epsilon) = (scale as f32, scale_second as f32, EPSILON as f32);
        let (beta1, beta2) = (BETA1 as f32, BETA2 as f32);
        // Taken in f64: 1 - 0.999 in f32 is off in the fifth digit.
        let (new1, new2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        let moments = memory.first.iter_mut().zip(&mut memory.second);
        for ((weight, &slope), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            let slope = slope + in_gradient * *weight;
            *first = beta1 * *first + new1 * slope;
            *second = beta2 * *second + new2 * slope * slope;
            let spread = (*second * scale_second).sqrt() + epsilon;
            *weight = *weight * keep - scale * *first / spread;
        }
    }

    fn sgd(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        memory: &mut Memory,
        (momentum, decay): (f32, f64),
    ) {
        let decay = if self.decays { decay as f32 } else { 0.0 };
        let rate = self.rate as f32;
        for ((weight, &slope), last) in weights.iter_mut().zip(gradient).zip(&mut memory.first) {
            *last = momentum * *last + slope + decay * *weight;
            *weight -= rate * *last;
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
    use super::{Optimiser, Parameter, Stepper};
    use candle_core::{Device, Var};
    use candle_nn::{AdamW, Optimizer, ParamsAdamW};

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
        let parameter = Parameter { variable: ours.clone(), decays: true, sink: None };
        let mut stepper =
            Stepper::new(Optimiser::AdamW { weight_decay: 0.05 }, 0.0, vec![parameter]);
        let found = steps(|loss| stepper.step(&loss.backward().unwrap(), 0.1).unwrap(), &ours);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    /// By hand, for f(x) = x^3 at 1: slope 3, with decay 0.1 it is 3.1, and x = 1 - 0.1 * 3.1 =
    /// 0.69; then slope 3 * 0.69^2 + 0.069 = 1.4973, step 0.5 * 3.1 + 1.4973 = 3.0473, x = 0.38527.
    #[test]
    fn sgd_has_momentum_and_decay() {
        let variable = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let parameter = Parameter { variable: variable.clone(), decays: true, sink: None };
        let sgd = Optimiser::Sgd { momentum: 0.5, weight_decay: 0.1 };
        let mut stepper = Stepper::new(sgd, 0.0, vec![parameter]);
        for expected in [0.69, 0.385_27] {
            let loss = variable.powf(3.0).unwrap().sum_all().unwrap();
            stepper.step(&loss.backward().unwrap(), 0.1).unwrap();
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
    fn adam_takes_its_penalty_into_the_gradient() {
        let ours = Var::new(&[0.5_f32, -1.0, 2.0], &Device::Cpu).unwrap();
        let parameter = Parameter { variable: ours.clone(), decays: true, sink: None };
        let adam = Optimiser::Adam { weight_decay: 0.05 };
        let mut stepper = Stepper::new(adam, 0.0, vec![parameter]);
        let found = steps(|loss| stepper.step(&loss.backward().unwrap(), 0.1).unwrap(), &ours);
        for (found, expected) in found.iter().zip([0.058436_f32, -1.501307, 1.506961]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    /// By hand: SGD without momentum takes x = 1 to 1 - 0.1 * 3 = 0.7 and x = 0.05 to 0.04925; the
    /// penalty takes another 0.1 * 0.6 = 0.06 from each, but not beyond 0.
    #[test]
    fn an_l1_penalty_leaves_exact_zeros() {
        let variable = Var::new(&[1.0_f32, 0.05], &Device::Cpu).unwrap();
        let parameter = Parameter { variable: variable.clone(), decays: true, sink: None };
        let sgd = Optimiser::Sgd { momentum: 0.0, weight_decay: 0.0 };
        let mut stepper = Stepper::new(sgd, 0.6, vec![parameter]);
        let loss = variable.powf(3.0).unwrap().sum_all().unwrap();
        stepper.step(&loss.backward().unwrap(), 0.1).unwrap();
        let found = variable.to_vec1::<f32>().unwrap();
        assert!((found[0] - 0.64).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
    }
}
