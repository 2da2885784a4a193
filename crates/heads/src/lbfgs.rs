//! Minimising a smooth convex function: L-BFGS with backtracking (Nocedal and Wright, "Numerical
//! Optimization", algorithms 7.4 and 3.1).

use std::collections::VecDeque;

/// Number of (s, y) pairs kept.
const HISTORY: usize = 10;

/// A step is not worth the evaluation where less than this part of the value is to be won: it is lost in the
/// rounding of the function.
const LEAST_DESCENT: f64 = 1e-11;

/// Where to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At most so many steps.
    pub(crate) steps: usize,
    /// Done when the largest part of the gradient is no larger.
    pub(crate) gradient: f64,
}

/// The minimum found, and what it took.
#[derive(Debug)]
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    pub(crate) steps: usize,
    /// How often the function was evaluated.
    pub(crate) evaluations: usize,
    curvature: Curvature,
}

impl Minimum {
    /// Where the search for the minimum of a function much like this one begins: at this minimum, with
    /// the curvature met on the way to it.
    pub(crate) fn start(&self) -> Start {
        Start { at: self.at.clone(), curvature: self.curvature.clone() }
    }
}

/// Where a search begins.
#[derive(Debug)]
pub(crate) struct Start {
    at: Vec<f64>,
    curvature: Curvature,
}

impl From<Vec<f64>> for Start {
    fn from(at: Vec<f64>) -> Self {
        Self { at, curvature: Curvature::new() }
    }
}

/// The last (s, y) pairs: steps and the changes of the gradient along them.
type Curvature = VecDeque<(Vec<f64>, Vec<f64>)>;

/// Minimises `function`, which gives value and gradient, from `start`.
///
/// # Errors
/// Whatever `function` fails with.
pub(crate) fn minimise<E>(
    start: impl Into<Start>,
    limits: Limits,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Minimum, E> {
    let Start { mut at, curvature: mut history } = start.into();
    let (mut value, mut gradient) = function(&at)?;
    let mut evaluations = 1;
    for taken in 0..limits.steps {
        if gradient.iter().all(|part| part.abs() <= limits.gradient) {
            return Ok(Minimum { at, steps: taken, evaluations, curvature: history });
        }
        let direction = descent(&gradient, &history);
        let directional_derivative = dot(&direction, &gradient);
        // Without curvature the gradient's length says nothing of the step's: start short.
        let mut step =
            if history.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let accepted = loop {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(a, d)| a + step * d).collect();
            let (next_value, next_gradient) = function(&next)?;
            evaluations += 1;
            if next_value <= value + 1e-4 * step * directional_derivative {
                break Some((next, next_value, next_gradient));
            }
            step /= 2.0;
            if step * -directional_derivative < LEAST_DESCENT * value.abs() {
                break None;
            }
        };
        // No step goes down any more: the precision of the function is spent.
        let Some((next, next_value, next_gradient)) = accepted else {
            return Ok(Minimum { at, steps: taken, evaluations, curvature: history });
        };
        let s: Vec<f64> = next.iter().zip(&at).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&s, &y) > 1e-10 * dot(&y, &y) {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back((s, y));
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    Ok(Minimum { at, steps: limits.steps, evaluations, curvature: history })
}

/// The quasi-Newton direction, by the two-loop recursion.
fn descent(gradient: &[f64], history: &Curvature) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut alphas = Vec::with_capacity(history.len());
    for (s, y) in history.iter().rev() {
        let alpha = dot(s, &direction) / dot(s, y);
        add(&mut direction, y, -alpha);
        alphas.push(alpha);
    }
    if let Some((s, y)) = history.back() {
        let scale = dot(s, y) / dot(y, y);
        for part in &mut direction {
            *part *= scale;
        }
    }
    for ((s, y), alpha) in history.iter().zip(alphas.iter().rev()) {
        let correction = dot(y, &direction) / dot(s, y);
        add(&mut direction, s, alpha - correction);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += times * what);
}

#[cfg(test)]
mod tests {
    use super::{Limits, minimise};
    use std::convert::Infallible;

    #[test]
    fn finds_the_minimum_of_an_ill_conditioned_quadratic() {
        let scales = [1.0, 100.0, 1e4];
        let target = [3.0, -2.0, 0.5];
        let bowl = |x: &[f64]| {
            let value = (0..3).map(|i| scales[i] * (x[i] - target[i]).powi(2) / 2.0).sum();
            let gradient = (0..3).map(|i| scales[i] * (x[i] - target[i])).collect();
            Ok::<_, Infallible>((value, gradient))
        };
        let limits = Limits { steps: 100, gradient: 1e-8 };
        let found = minimise(vec![0.0; 3], limits, bowl).unwrap();
        assert!(found.steps < 40, "{}", found.steps);
        for (found, wanted) in found.at.iter().zip(target) {
            assert!((found - wanted).abs() < 1e-8, "{found} {wanted}");
        }
        // A bowl that is nearly the same: the curvature is known, so few steps are left.
        let other = |x: &[f64]| {
            let (value, mut gradient) = bowl(x)?;
            for part in &mut gradient {
                *part += 0.01;
            }
            Ok::<_, Infallible>((value + 0.01 * x.iter().sum::<f64>(), gradient))
        };
        let (cold, warm) = (
            minimise(found.at.clone(), limits, other).unwrap(),
            minimise(found.start(), limits, other).unwrap(),
        );
        assert!(warm.steps <= 4 && warm.steps < cold.steps, "{} {}", warm.steps, cold.steps);
    }
}
