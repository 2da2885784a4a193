//! Bootstrap intervals by subject (clustered bootstrap).

use std::ops::Range;

use facefold_core::rng::{Rng, seeded};
use rand::RngCore;
use rand_distr::{Binomial, Distribution as _};
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
/// Of many subjects (100,000 or more) it draws how often each kind of equal ones, or each block of
/// them, comes into a set: numbers of the same multinomial distribution.
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
    let resampling = Resampling::of(sums);
    let groups: Vec<Vec<Vec<f64>>> = (0..GROUPS)
        .into_par_iter()
        .map(|group| {
            let mut generator = seeded(seed, &format!("bootstrap {group}"));
            let totals = resampling.group(&mut generator);
            totals.chunks(sums.width()).map(statistic).collect()
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

/// How sets of as many subjects are drawn with replacement. All ways draw from the same distribution.
enum Resampling<'a> {
    /// Subject by subject.
    One(&'a SubjectSums),
    /// Many subjects, of which many have equal sums: how often those of each kind are drawn.
    Kinds { sums: SubjectSums, subjects: Vec<u64> },
    /// Many subjects, in blocks that processor caches hold: how often each block is drawn from, and which of
    /// its subjects. The sums are read once for all draws of a group.
    Blocks(&'a SubjectSums),
}

impl<'a> Resampling<'a> {
    /// From so many subjects on, they are no longer drawn one by one.
    const MANY: usize = 100_000;
    /// Subjects that have equal sums, on average, where kinds are drawn.
    const OF_A_KIND: usize = 16;
    /// Subjects of a block.
    const BLOCK: usize = 4096;

    fn of(sums: &'a SubjectSums) -> Self {
        if sums.subjects() < Self::MANY {
            return Self::One(sums);
        }
        match sums.kinds(sums.subjects() / Self::OF_A_KIND) {
            Some((sums, subjects)) => Self::Kinds { sums, subjects },
            None => Self::Blocks(sums),
        }
    }

    /// The sums over each set of a group, one set after the other.
    fn group(&self, generator: &mut Rng) -> Vec<f64> {
        match self {
            Self::One(sums) => one_by_one(sums, generator),
            Self::Kinds { sums, subjects } => by_kind(sums, subjects, generator),
            Self::Blocks(sums) => by_block(sums, Self::BLOCK, generator),
        }
    }
}

fn one_by_one(sums: &SubjectSums, generator: &mut Rng) -> Vec<f64> {
    let mut totals = vec![0.0; DRAWS_IN_GROUP * sums.width()];
    for totals in totals.chunks_mut(sums.width()) {
        add_draws(sums, 0..sums.subjects(), sums.subjects() as u64, totals, generator);
    }
    totals
}

/// Adds the sums of so many subjects of a range, drawn with replacement.
fn add_draws(
    sums: &SubjectSums,
    range: Range<usize>,
    draws: u64,
    totals: &mut [f64],
    generator: &mut Rng,
) {
    for _ in 0..draws {
        let subject = range.start + below(range.len(), generator.next_u32());
        for (total, value) in totals.iter_mut().zip(sums.subject(subject)) {
            *total += value;
        }
    }
}

fn by_kind(sums: &SubjectSums, subjects: &[u64], generator: &mut Rng) -> Vec<f64> {
    let mut totals = vec![0.0; DRAWS_IN_GROUP * sums.width()];
    for totals in totals.chunks_mut(sums.width()) {
        let mut rest = Rest::of(subjects.iter().sum());
        for (kind, &subjects) in subjects.iter().enumerate() {
            let drawn = rest.draw(subjects, generator) as f64;
            for (total, value) in totals.iter_mut().zip(sums.subject(kind)) {
                *total += drawn * value;
            }
        }
    }
    totals
}

fn by_block(sums: &SubjectSums, size: usize, generator: &mut Rng) -> Vec<f64> {
    let all = sums.subjects();
    let mut totals = vec![0.0; DRAWS_IN_GROUP * sums.width()];
    let mut rests = vec![Rest::of(all as u64); DRAWS_IN_GROUP];
    for start in (0..all).step_by(size) {
        let block = start..all.min(start + size);
        for (totals, rest) in totals.chunks_mut(sums.width()).zip(&mut rests) {
            let drawn = rest.draw(block.len() as u64, generator);
            add_draws(sums, block.clone(), drawn, totals, generator);
        }
    }
    totals
}

/// A multinomial draw, part by part: how many draws are left, from how many subjects.
#[derive(Clone)]
struct Rest {
    draws: u64,
    subjects: u64,
}

impl Rest {
    fn of(subjects: u64) -> Self {
        Self { draws: subjects, subjects }
    }

    /// How many of the draws are of the next so many subjects: a binomial number.
    fn draw(&mut self, subjects: u64, generator: &mut Rng) -> u64 {
        let share = subjects as f64 / self.subjects.max(1) as f64;
        let drawn = match Binomial::new(self.draws, share.min(1.0)) {
            Ok(binomial) => binomial.sample(generator),
            // Not with a share of 0 to 1.
            Err(_) => 0,
        };
        self.draws -= drawn;
        self.subjects -= subjects;
        drawn
    }
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

#[cfg(test)]
mod tests {
    use facefold_core::rng::seeded;

    use super::{DRAWS_IN_GROUP, SubjectSums, by_block, by_kind, one_by_one};

    /// Mean and variance of the totals' quotients over many groups.
    fn moments(group: impl Fn(&mut facefold_core::rng::Rng) -> Vec<f64>) -> (f64, f64) {
        let mut generator = seeded(5, "test");
        let mut quotients = Vec::new();
        for _ in 0..60 {
            let totals = group(&mut generator);
            assert_eq!(totals.len(), 2 * DRAWS_IN_GROUP);
            quotients.extend(totals.chunks(2).map(|total| total[1] / total[0]));
        }
        let n = quotients.len() as f64;
        let mean = quotients.iter().sum::<f64>() / n;
        let variance = quotients.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        (mean, variance)
    }

    /// All ways of drawing have the bootstrap's distribution: equal means and variances, as far as 6,000
    /// draws show.
    #[test]
    fn all_ways_of_drawing_agree() {
        let subjects: Vec<usize> = (0..900).map(|row| row / 3).collect();
        let values: Vec<f64> = (0..900).map(|row| f64::from(u8::from(row % 7 < 2))).collect();
        let sums = SubjectSums::of_values(&subjects, &values);
        let (kinds, counts) = sums.kinds(10).unwrap();
        assert_eq!(counts.iter().sum::<u64>(), 300);
        assert!(kinds.subjects() < 5 && sums.kinds(1).is_none());
        let expected = moments(|generator| one_by_one(&sums, generator));
        for found in [
            moments(|generator| by_kind(&kinds, &counts, generator)),
            moments(|generator| by_block(&sums, 64, generator)),
        ] {
            // Four standard errors: of the mean, and of the variance's logarithm.
            assert!((found.0 - expected.0).abs() < 4.0 * (2.0 * expected.1 / 6e3).sqrt());
            assert!((found.1 / expected.1).ln().abs() < 4.0 * (4.0_f64 / 6e3).sqrt(), "{found:?}");
        }
    }
}
