//! Bootstrap intervals by subject (clustered bootstrap).

use facefold_core::rng::seeded;
use rand::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::standard_deviation;
use super::sums::SubjectSums;

/// Draws are made in so many groups, each with a generator of its own, so that the result does
/// not depend on the number of threads.
const GROUPS: usize = 100;
const DRAWS_IN_GROUP: usize = 100;

/// Number of resampled sets behind every interval.
pub const DRAWS: usize = GROUPS * DRAWS_IN_GROUP;

/// Share of resampled sets inside the interval.
pub const LEVEL: f64 = 0.95;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies in the interval, its bounds included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A value with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// On the rows as they are.
    pub estimate: f64,
    /// Percentile interval at [`LEVEL`].
    pub interval: Interval,
    /// Standard deviation over the resampled sets.
    pub standard_error: f64,
}

/// Estimates statistics that are functions of sums over subjects.
///
/// `statistic` gets the sums over a resampled set, laid out as in `sums`, and gives one or more
/// values, the same number each time. The interval is the percentile interval of Efron and
/// Tibshirani (1993, chapter 13) with [`DRAWS`] draws, quantiles interpolated as `numpy.quantile`
/// does. A draw whose value is not a number (a class without rows) does not count.
pub fn bootstrap(
    sums: &SubjectSums,
    statistic: &(dyn Fn(&[f64]) -> Vec<f64> + Sync),
    seed: u64,
) -> Vec<Estimate> {
    let estimates = statistic(&sums.totals());
    let groups: Vec<Vec<Vec<f64>>> = (0..GROUPS)
        .into_par_iter()
        .map(|group| {
            let mut generator = seeded(seed, &format!("bootstrap {group}"));
            let mut totals = vec![0.0; sums.width()];
            (0..DRAWS_IN_GROUP)
                .map(|_| {
                    totals.fill(0.0);
                    for _ in 0..sums.subjects() {
                        let subject = below(sums.subjects(), generator.next_u32());
                        for (total, value) in totals.iter_mut().zip(sums.subject(subject)) {
                            *total += value;
                        }
                    }
                    statistic(&totals)
                })
                .collect()
        })
        .collect();
    estimates
        .iter()
        .enumerate()
        .map(|(index, &estimate)| {
            let mut drawn: Vec<f64> = groups
                .iter()
                .flatten()
                .map(|values| values[index])
                .filter(|value| value.is_finite())
                .collect();
            drawn.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - LEVEL) / 2.0;
            Estimate {
                estimate,
                interval: Interval {
                    low: quantile(&drawn, tail),
                    high: quantile(&drawn, 1.0 - tail),
                },
                standard_error: standard_deviation(&drawn).unwrap_or(0.0),
            }
        })
        .collect()
}

/// A number below `count` from 32 random bits; the bias is below count / 2^32.
fn below(count: usize, bits: u32) -> usize {
    ((u64::from(bits) * count as u64) >> 32) as usize
}

/// Draws as many subjects as there are, with replacement: how often each was drawn.
pub(crate) fn draw_counts(generator: &mut impl RngCore, drawn: &mut [u32]) {
    drawn.fill(0);
    for _ in 0..drawn.len() {
        drawn[below(drawn.len(), generator.next_u32())] += 1;
    }
}

/// Linear interpolation between order statistics, as `numpy.quantile` does by default.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}
