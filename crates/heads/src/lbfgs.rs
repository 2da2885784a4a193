//! Minimising a smooth convex function: L-BFGS with backtracking (Nocedal and Wright, "Numerical
//! Optimization", algorithms 7.4 and 3.1).

use std::collections::VecDeque;

/// How many steps back the curvature is remembered.
const MEMORY: usize = 10;

/// Where to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At most so many steps.
    pub(crate) steps: usize,
    /// Done when the largest part of the gradient is no larger.
    pub(crate) gradient: f64,
}

/// The minimum found, and the number of steps taken.
#[derive(Debug)]
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    pub(crate) steps: usize,
}

/// Minimises `function`, which gives value and gradient, from `start`.
///
/// # Errors
/// Whatever `function` fails with.
pub(crate) fn minimise<E>(
    start: Vec<f64>,
    limits: Limits,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<Minimum, E> {
    let mut at = start;
    let (mut value, mut gradient) = function(&at)?;
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::with_capacity(MEMORY);
    for taken in 0..limits.steps {
        if gradient.iter().all(|part| part.abs() <= limits.gradient) {
            return Ok(Minimum { at, steps: taken });
        }
        let direction = descent(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        // Without curvature the gradient's length says nothing of the step's: start short.
        let mut step =
            if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let accepted = loop {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(a, d)| a + step * d).collect();
            let (next_value, next_gradient) = function(&next)?;
            if next_value <= value + 1e-4 * step * slope {
                break Some((next, next_value, next_gradient));
            }
            step /= 2.0;
            if step < 1e-10 {
                break None;
            }
        };
        // No step goes down any more: the precision of the function is spent.
        let Some((next, next_value, next_gradient)) = accepted else {
            return Ok(Minimum { at, steps: taken });
        };
        let moved: Vec<f64> = next.iter().zip(&at).map(|(a, b)| a - b).collect();
        let bent: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&moved, &bent) > 1e-10 * dot(&bent, &bent) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back((moved, bent));
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    Ok(Minimum { at, steps: limits.steps })
}

/// The quasi-Newton direction, by the two-loop recursion.
fn descent(gradient: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, bent) in memory.iter().rev() {
        let share = dot(moved, &direction) / dot(moved, bent);
        add(&mut direction, bent, -share);
        shares.push(share);
    }
    if let Some((moved, bent)) = memory.back() {
        let scale = dot(moved, bent) / dot(bent, bent);
        for part in &mut direction {
            *part *= scale;
        }
    }
    for ((moved, bent), share) in memory.iter().zip(shares.iter().rev()) {
        let correction = dot(bent, &direction) / dot(moved, bent);
        add(&mut direction, moved, share - correction);
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
    fn finds_the_minimum_of_a_stretched_bowl() {
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
    }
}
