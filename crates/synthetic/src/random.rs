//! Random distributions of identities and captures, over the seeded generator.

use facefold_core::rng::Rng;
use rand::Rng as _;

/// Uniform in `low..high`.
pub(super) fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// True with probability `p`.
pub(super) fn chance(rng: &mut Rng, p: f32) -> bool {
    rng.random::<f32>() < p
}

/// Normal with mean 0 and standard deviation `deviation`, truncated at three deviations so that no
/// feature leaves its range. Box and Muller's method.
pub(super) fn normal(rng: &mut Rng, deviation: f32) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).max(f32::MIN_POSITIVE).ln()).sqrt();
    let angle = std::f32::consts::TAU * rng.random::<f32>();
    (radius * angle.cos()).clamp(-3.0, 3.0) * deviation
}

/// One of `choices`, evenly.
pub(super) fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// 0 below `low`, 1 above `high`, smooth between (the cubic 3t² - 2t³).
pub(super) fn smooth(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The logistic function.
pub(super) fn logistic(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// The point a share `t` of the way from `a` to `b`.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}
