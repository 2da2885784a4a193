//! Minimising a mean over more rows than memory holds in few passes over them.
//!
//! A subsample in memory has nearly the curvature of all rows. Each round takes the gradient over all rows (one
//! pass), and minimises the subsample's function, corrected by a linear term so that it has that gradient. With m
//! rows of d values in the subsample the distance to the minimum shrinks by about sqrt(d / m) a round (Shamir, Srebro
//! and Zhang, "Communication-efficient distributed optimization using an approximate Newton-type method", ICML 2014;
//! Jordan, Lee and Yang, "Communication-efficient distributed statistical inference", JASA 114, 2019). Where a round
//! gains little, L-BFGS over all rows does the rest, from the curvature met on the subsample.

use std::convert::Infallible;

use crate::lbfgs::{self, Limits, Minimum, Start};

/// A round is worth another one where it leaves at most this part of the gradient.
const WORTHWHILE: f64 = 0.9;
/// The corrected function is minimised until this part of the gradient over all rows is left.
const INNER_GRADIENT: f64 = 0.02;
/// Steps of L-BFGS a round, in memory.
const INNER_STEPS: usize = 500;

/// What the rounding of the function may add to it, relative to it.
const ROUNDING: f64 = 1e-9;

/// Value and gradient.
type Evaluated = (f64, Vec<f64>);

/// Minimises `whole` from `start`, with the help of a `subsample` of its rows; `evaluations` of the result are those
/// of `whole`, and `limits` are its own.
pub(crate) fn minimise_with_subsample(
    start: impl Into<Start>,
    limits: Limits,
    mut whole: impl FnMut(&[f64]) -> Evaluated,
    mut subsample: impl FnMut(&[f64]) -> Evaluated,
) -> Minimum {
    let inner = Limits { steps: INNER_STEPS, gradient: limits.gradient };
    let mut best = minimise(start, inner, &mut subsample);
    let mut reached = whole(&best.at);
    let mut evaluations = 1;
    while largest(&reached.1) > limits.gradient && evaluations < limits.steps {
        let (value, gradient) = &reached;
        let own = subsample(&best.at).1;
        let correction: Vec<f64> = gradient.iter().zip(&own).map(|(all, own)| all - own).collect();
        let enough = (INNER_GRADIENT * largest(gradient)).max(limits.gradient / 4.0);
        let inner = Limits { gradient: enough, ..inner };
        let next = minimise(best.start(), inner, |at| {
            let (mut value, mut gradient) = subsample(at);
            for ((sum, correction), weight) in gradient.iter_mut().zip(&correction).zip(at) {
                *sum += correction;
                value += correction * weight;
            }
            (value, gradient)
        });
        let found = whole(&next.at);
        evaluations += 1;
        let gained = found.0 <= value + ROUNDING * value.abs();
        let worthwhile = largest(&found.1) <= WORTHWHILE * largest(gradient);
        if gained {
            (best, reached) = (next, found);
        }
        if !(gained && worthwhile) {
            break;
        }
    }
    if largest(&reached.1) <= limits.gradient {
        best.steps = evaluations;
        best.evaluations = evaluations;
        return best;
    }
    let left = Limits { steps: limits.steps.saturating_sub(evaluations), ..limits };
    let mut found = minimise(best.start(), left, whole);
    found.steps += evaluations;
    found.evaluations += evaluations;
    found
}

/// Minimises a function that cannot fail.
pub(crate) fn minimise(
    start: impl Into<Start>,
    limits: Limits,
    mut function: impl FnMut(&[f64]) -> Evaluated,
) -> Minimum {
    match lbfgs::minimise(start, limits, |at| Ok::<_, Infallible>(function(at))) {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |largest, part| part.abs().max(largest))
}

#[cfg(test)]
mod tests {
    use facefold_core::rng::seeded;
    use rand::Rng as _;

    use super::{largest, minimise_with_subsample};
    use crate::lbfgs::Limits;

    const WIDTH: usize = 20;
    const LIMITS: Limits = Limits { steps: 150, gradient: 1e-6 };

    /// Rows of unlike scales, and labels of -1 and 1 that depend on them.
    fn rows(n: usize) -> Vec<([f64; WIDTH], f64)> {
        let mut generator = seeded(5, "test");
        let mut row = || {
            let mut values = [0.0; WIDTH];
            for (place, value) in values.iter_mut().enumerate() {
                *value = generator.random_range(-1.0..1.0) * 3.0_f64.powi(-(place as i32) / 3);
            }
            let sum: f64 = values.iter().sum::<f64>() + generator.random_range(-1.0..1.0);
            (values, sum.signum())
        };
        (0..n).map(|_| row()).collect()
    }

    /// The mean squared hinge loss and a small penalty.
    fn loss(rows: &[([f64; WIDTH], f64)], at: &[f64]) -> (f64, Vec<f64>) {
        let (n, penalty) = (rows.len() as f64, 1e-4);
        let mut value = at.iter().map(|w| penalty * w * w / 2.0).sum();
        let mut gradient: Vec<f64> = at.iter().map(|w| penalty * w).collect();
        for (row, label) in rows {
            let decision: f64 = row.iter().zip(at).map(|(x, w)| x * w).sum();
            let inside = (1.0 - label * decision).max(0.0);
            value += inside * inside / n;
            for (part, x) in gradient.iter_mut().zip(row) {
                *part -= 2.0 * inside * label * x / n;
            }
        }
        (value, gradient)
    }

    /// A fifth of the rows: a third of the gradient, or less, is left each time.
    #[test]
    fn few_passes_reach_the_minimum_of_all_rows() {
        let rows = rows(20_000);
        let part = &rows[..4_000];
        let found = minimise_with_subsample(
            vec![0.0; WIDTH],
            LIMITS,
            |at| loss(&rows, at),
            |at| loss(part, at),
        );
        let left = largest(&loss(&rows, &found.at).1);
        assert!(left <= LIMITS.gradient, "{left:e}");
        assert!(found.evaluations <= 10, "{}", found.evaluations);
        let cold = super::minimise(vec![0.0; WIDTH], LIMITS, |at| loss(&rows, at));
        assert!(cold.evaluations > 2 * found.evaluations, "{}", cold.evaluations);
        for (found, wanted) in found.at.iter().zip(&cold.at) {
            assert!((found - wanted).abs() < 1e-2, "{found} {wanted}");
        }
    }

    /// Rows that are not a subsample: their curvature is that of other features.
    #[test]
    fn a_subsample_unlike_the_rows_costs_passes_and_no_precision() {
        let rows = rows(20_000);
        let mut other = rows[..4_000].to_vec();
        for (row, _) in &mut other {
            row.reverse();
        }
        let found = minimise_with_subsample(
            vec![0.0; WIDTH],
            LIMITS,
            |at| loss(&rows, at),
            |at| loss(&other, at),
        );
        let cold = super::minimise(vec![0.0; WIDTH], LIMITS, |at| loss(&rows, at));
        let (value, least) = (loss(&rows, &found.at).0, loss(&rows, &cold.at).0);
        assert!(value <= least + 1e-7, "{value} {least}");
        let (found, cold) = (found.evaluations, cold.evaluations);
        assert!(found <= 2 * cold, "{found} {cold}");
    }
}
