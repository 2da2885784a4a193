//! Confidence intervals and tests with the subject, not the picture, as the sampling unit.
//!
//! Pictures of one person are correlated, so tests that take rows as independent find differences
//! where there are none. The permutation test and the bootstrap here draw whole subjects; the
//! interval of a proportion that is equal for all subjects has the subjects as trials. `McNemar`'s test
//! and Wilson's interval, which take rows as independent, are reported for comparison with published
//! results.

pub mod bootstrap;
pub mod classical;
pub mod permutation;
pub(crate) mod proportion;
pub mod sums;

/// Mean; 0 of an empty list.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Standard deviation with n - 1; none of fewer than two values.
#[must_use]
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}
