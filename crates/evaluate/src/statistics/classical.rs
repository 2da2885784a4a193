//! Classical tests and intervals: `McNemar`, corrected resampled t,
//! Wilson, Holm.

use serde::{Deserialize, Serialize};
use statrs::distribution::{
    Beta, Binomial, ChiSquared, ContinuousCDF, DiscreteCDF, Normal, StudentsT,
};

use super::bootstrap::Interval;
use super::{mean, standard_deviation};

/// Result of `McNemar`'s test. It takes rows as independent, which pictures of one person are not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only the first head got right.
    pub only_first: u64,
    /// Rows that only the second head got right.
    pub only_second: u64,
    /// Two-sided exact binomial p.
    pub exact_p: f64,
    /// (|b - c| - 1)^2 / (b + c), the continuity correction of Edwards (1948).
    pub chi_squared: f64,
    /// Its p with one degree of freedom.
    pub chi_squared_p: f64,
}

/// `McNemar`'s test of two heads' correctness on the same rows, from the rows where they differ.
#[must_use]
pub fn mcnemar(only_first: u64, only_second: u64) -> McNemar {
    let differing = only_first + only_second;
    let exact_p = Binomial::new(0.5, differing)
        .map_or(1.0, |binomial| (2.0 * binomial.cdf(only_first.min(only_second))).min(1.0));
    let chi_squared = if differing == 0 {
        0.0
    } else {
        let apart = only_first.abs_diff(only_second) as f64 - 1.0;
        apart.max(0.0).powi(2) / differing as f64
    };
    let chi_squared_p = ChiSquared::new(1.0).map_or(1.0, |chi| chi.sf(chi_squared));
    McNemar { only_first, only_second, exact_p, chi_squared, chi_squared_p }
}

/// Result of the corrected resampled t-test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CorrectedT {
    /// Mean difference over folds by its corrected standard error.
    pub t: f64,
    /// Folds less one.
    pub degrees: usize,
    /// Two-sided p.
    pub p_value: f64,
}

/// The corrected resampled t-test (Nadeau and Bengio 2003) of differences, one a fold.
///
/// The variance over k folds is multiplied by 1/k + `test_to_train` instead of 1/k, because
/// the folds' training rows overlap; that is the quotient of test rows to training rows. None with
/// fewer than two folds, or where all differences are equal.
#[must_use]
pub fn corrected_t(differences: &[f64], test_to_train: f64) -> Option<CorrectedT> {
    let deviation = standard_deviation(differences).filter(|&deviation| deviation > 0.0)?;
    let k = differences.len() as f64;
    let t = mean(differences) / ((1.0 / k + test_to_train).sqrt() * deviation);
    let distribution = StudentsT::new(0.0, 1.0, k - 1.0).ok()?;
    Some(CorrectedT {
        t,
        degrees: differences.len() - 1,
        p_value: (2.0 * distribution.sf(t.abs())).min(1.0),
    })
}

/// Wilson's 95 % interval (1927) of a proportion of `rows` independent rows.
#[must_use]
pub fn wilson(proportion: f64, rows: usize) -> Interval {
    let n = rows as f64;
    let z = normal_quantile(0.975);
    let scale = 1.0 + z * z / n;
    let centre = (proportion + z * z / (2.0 * n)) / scale;
    let half = z / scale * (proportion * (1.0 - proportion) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// The exact 95 % interval of Clopper and Pearson (1934) of a proportion: `hits` of `rows`
/// independent rows. Hits that are a mean over seeds are rounded away from the middle.
#[must_use]
pub fn clopper_pearson(hits: f64, rows: usize) -> Interval {
    let n = rows as f64;
    let (fewest, most) = (hits.floor(), hits.ceil());
    let quantile = |a: f64, b: f64, proportion: f64, otherwise: f64| {
        Beta::new(a, b).map_or(otherwise, |beta| beta.inverse_cdf(proportion))
    };
    Interval {
        low: if fewest <= 0.0 { 0.0 } else { quantile(fewest, n - fewest + 1.0, 0.025, 0.0) },
        high: if most >= n { 1.0 } else { quantile(most + 1.0, n - most, 0.975, 1.0) },
    }
}

/// Holm's step-down correction (1979): p values for several comparisons at once, in their order.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        least = least.max(left * p_values[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// The smallest true difference that a two-sided test at 5 % finds four times of five, given the
/// standard error of the difference: 2.80 standard errors, the normal
/// quantiles of 0.975 and 0.8 added (Bloom 1995).
#[must_use]
pub fn detectable_difference(standard_error: f64) -> f64 {
    (normal_quantile(0.975) + normal_quantile(0.8)) * standard_error
}

/// Cohen's d of paired values: their mean by their standard deviation; none of fewer than two
/// values or of equal ones.
#[must_use]
pub fn cohens_d(values: &[f64]) -> Option<f64> {
    standard_deviation(values)
        .filter(|&deviation| deviation > 0.0)
        .map(|deviation| mean(values) / deviation)
}

fn normal_quantile(proportion: f64) -> f64 {
    Normal::standard().inverse_cdf(proportion)
}
