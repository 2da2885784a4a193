//! The sign-flip permutation test of a paired difference, by subject.

use facefold_core::rng::seeded;
use rand::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::sums::SubjectSums;

/// Up to this many subjects with a difference, all sign patterns are tried.
const EXACT_SUBJECTS: usize = 16;

const GROUPS: usize = 100;
const DRAWS_IN_GROUP: usize = 200;

/// Number of random sign patterns where there are too many to try all.
pub const DRAWS: usize = GROUPS * DRAWS_IN_GROUP;

/// Result of a paired sign-flip permutation test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PermutationTest {
    /// Mean over rows of the difference.
    pub statistic: f64,
    /// Two-sided: the fraction of sign patterns with a mean at least as far from 0. Of `b` such
    /// patterns among `m` random ones it is (b + 1) / (m + 1) (Phipson and Smyth 2010).
    pub p_value: f64,
    /// Number of sign patterns tried.
    pub patterns: usize,
    /// Whether these were all.
    pub exact: bool,
}

/// Tests whether the mean over rows of a difference is 0.
///
/// `sums` holds for each subject the number of rows and the sum of the difference over them
/// ([`SubjectSums::of_values`]). If two heads were equally good, either could have given either
/// predictions for a person, so each subject's sum could as well have the other sign; rows of one
/// subject keep together, because they are correlated.
#[must_use]
pub fn sign_flip(sums: &SubjectSums, seed: u64) -> PermutationTest {
    let rows: f64 = (0..sums.subjects()).map(|subject| sums.subject(subject)[0]).sum();
    // Subjects without a difference count for nothing in any pattern.
    let differences: Vec<f64> = (0..sums.subjects())
        .map(|subject| sums.subject(subject)[1])
        .filter(|&difference| difference != 0.0)
        .collect();
    let observed: f64 = differences.iter().sum();
    // Sums in another order differ in their last digits, and a tie must stay a tie.
    let slack = 1e-9 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let as_far = |sum: f64| sum.abs() >= observed.abs() - slack;
    let flipped = |bits: &mut dyn FnMut() -> u64| -> f64 {
        differences
            .chunks(64)
            .map(|chunk| {
                let word = bits();
                chunk
                    .iter()
                    .enumerate()
                    .map(|(bit, &difference)| {
                        // Sets the sign bit from the random bit, without a branch.
                        f64::from_bits(difference.to_bits() ^ ((word >> bit & 1) << 63))
                    })
                    .sum::<f64>()
            })
            .sum()
    };
    let exact = differences.len() <= EXACT_SUBJECTS;
    let (p_value, patterns) = if exact {
        let patterns = 1_u64 << differences.len();
        let far = (0..patterns).filter(|&pattern| as_far(flipped(&mut || pattern))).count();
        (far as f64 / patterns as f64, patterns as usize)
    } else {
        let far: usize = (0..GROUPS)
            .into_par_iter()
            .map(|group| {
                let mut generator = seeded(seed, &format!("sign flips {group}"));
                (0..DRAWS_IN_GROUP)
                    .filter(|_| as_far(flipped(&mut || generator.next_u64())))
                    .count()
            })
            .sum();
        ((far + 1) as f64 / (DRAWS + 1) as f64, DRAWS)
    };
    let statistic = if rows > 0.0 { observed / rows } else { 0.0 };
    PermutationTest { statistic, p_value, patterns, exact }
}
