//! Where a described network's weights come from.

use facefold_core::rng::seeded;
use rand::Rng;

/// What a tensor does in its layer; its scale follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A kernel whose output goes through an activation.
    Activated,
    /// A kernel whose output goes on as it is.
    Linear,
    /// The last kernel of a branch that is added to what it branched from.
    Residual,
    /// Slopes of a `PReLU`.
    Slope,
    /// Scales of a folded batch normalisation.
    Scale,
    /// Biases and shifts.
    Shift,
}

/// Gives a described network its weights, tensor by tensor.
pub trait WeightSource {
    /// The tensor of this role and shape for the layer of this number, in row-major order.
    fn weights(&mut self, layer: usize, role: Role, shape: &[usize]) -> Vec<f32>;
}

/// Seeded random weights: the network `untrained` of tests and of a demo without a download.
///
/// Kernels are uniform with the variance of He et al. 2015 (arXiv:1502.01852) for a `PReLU` of
/// slope 1/4, so that activations keep their size through any number of layers; residual branches
/// add a tenth to the variance each, so that a hundred of them do not explode. Slopes, scales and
/// shifts vary a little, so that an executor that ignores one of them is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untrained {
    /// Same seed, same weights, on every machine.
    pub seed: u64,
}

impl WeightSource for Untrained {
    fn weights(&mut self, layer: usize, role: Role, shape: &[usize]) -> Vec<f32> {
        let fan_in = shape[1..].iter().product::<usize>() as f32;
        // A uniform distribution over -a to a has the variance a squared / 3.
        let spread = |gain: f32| (3.0 * gain / fan_in).sqrt();
        let (middle, spread) = match role {
            Role::Activated => (0.0, spread(2.0 / (1.0 + 0.25 * 0.25))),
            Role::Linear => (0.0, spread(1.0)),
            Role::Residual => (0.0, spread(0.1)),
            Role::Slope => (0.25, 0.05),
            Role::Scale => (1.0, 0.1),
            Role::Shift => (0.0, 0.02),
        };
        let mut random = seeded(self.seed, &format!("untrained layer {layer} {role:?}"));
        let count = shape.iter().product();
        (0..count).map(|_| middle + random.random_range(-spread..spread)).collect()
    }
}
