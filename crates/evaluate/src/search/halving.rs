//! Successive halving: the budget of each iteration, and the configurations that go on to the next.

use super::{Search, Trial};
use crate::metrics::Metric;

/// Most iterations: scores at less than a ninth of the budget correlate little with those at all of
/// it.
const MAX_ITERATIONS: u32 = 3;

/// Fractions of the budget by iteration, the last 1. There are so many iterations that at the last
/// one still `factor` configurations or more compete, but no more than [`MAX_ITERATIONS`].
pub(super) fn budget_fractions(configurations: usize, factor: usize) -> Vec<f64> {
    let mut iterations = 1;
    while factor > 1 && iterations < MAX_ITERATIONS && configurations >= factor.pow(iterations + 1)
    {
        iterations += 1;
    }
    (0..iterations).rev().map(|left| 1.0 / factor.pow(left) as f64).collect()
}

/// The configurations that go on from a split's trials at an iteration, best first: one in
/// `search.halving`, or at the end of the search the best one. Of equal ones the first tried is
/// the better. Empty where all failed.
pub(super) fn best(
    trials: &[&Trial],
    metric: Metric,
    last: bool,
    search: &Search<'_>,
) -> Vec<usize> {
    let sign = if metric.higher_is_better() { -1.0 } else { 1.0 };
    let mut scored: Vec<(f64, usize)> = trials
        .iter()
        .filter_map(|trial| Some((sign * trial.score?, trial.configuration)))
        .filter(|(score, _)| !score.is_nan())
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let kept = if last { 1 } else { trials.len().div_ceil(search.halving.max(1)) };
    scored.into_iter().take(kept).map(|(_, configuration)| configuration).collect()
}

#[cfg(test)]
mod tests {
    use super::budget_fractions;

    #[test]
    fn halving_leaves_several_configurations_for_the_last_iteration() {
        assert_eq!(budget_fractions(1, 3), [1.0]);
        assert_eq!(budget_fractions(8, 3), [1.0]);
        assert_eq!(budget_fractions(9, 3), [1.0 / 3.0, 1.0]);
        assert_eq!(budget_fractions(27, 3), [1.0 / 9.0, 1.0 / 3.0, 1.0]);
        assert_eq!(budget_fractions(1000, 3), [1.0 / 9.0, 1.0 / 3.0, 1.0]);
        assert_eq!(budget_fractions(1000, 1), [1.0]);
        assert_eq!(budget_fractions(4, 2), [0.5, 1.0]);
    }
}
