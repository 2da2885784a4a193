//! Decisions at an age threshold: is this person 18 or older?
//!
//! A *minor* is younger than the threshold, an *adult* is not. A person is called *over* where the
//! predicted age is at least a *challenge age*, which lies above the threshold by a margin, and
//! *under* where it is below a limit at or under the threshold; between the two nothing is decided.
//! Minors called over are *false adults*; NIST IR 8525 (2024), "Face Analysis Technology
//! Evaluation: Age Estimation and Verification", counts them as false positives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Probability, over draws of the rows it is chosen on, that a limit keeps its bound.
pub const CONFIDENCE: f64 = 0.95;

/// Oldest challenge age that is tried.
const OLDEST_CHALLENGE: u32 = 116;

/// The largest share of errors that is accepted: above 0 and at most one half.
///
/// ```
/// use facefold_core::ErrorBound;
/// let bound: ErrorBound = "1%".parse()?;
/// assert_eq!(bound.share(), 0.01);
/// // No error in 298 rows is not enough to say with a confidence of 95 % that there are at most
/// // 1 %; in 299 it is: 0.99^299 < 0.05.
/// assert!(!bound.is_kept(0, 298));
/// assert!(bound.is_kept(0, 299));
/// # Ok::<(), facefold_core::threshold::InvalidBound>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct ErrorBound(f64);

/// 1 %.
impl Default for ErrorBound {
    fn default() -> Self {
        Self(0.01)
    }
}

impl ErrorBound {
    /// The share, in (0, 0.5].
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }

    /// Whether so many errors in so many independent rows say with [`CONFIDENCE`] that the share of
    /// errors is at most the bound: whether the one-sided upper limit of Clopper and Pearson (1934)
    /// is.
    #[must_use]
    pub fn is_kept(self, errors: usize, rows: usize) -> bool {
        errors < rows && binomial(errors, rows, self.0) <= 1.0 - CONFIDENCE
    }

    /// Fewest rows in which no error at all would say that the bound is kept.
    #[must_use]
    pub fn least_rows(self) -> usize {
        ((1.0 - CONFIDENCE).ln() / (1.0 - self.0).ln()).ceil() as usize
    }
}

/// Probability of at most `hits` hits in `rows` draws with this probability each.
fn binomial(hits: usize, rows: usize, probability: f64) -> f64 {
    let odds = (probability / (1.0 - probability)).ln();
    let mut log_term = rows as f64 * (1.0 - probability).ln();
    let mut sum = log_term.exp();
    for hit in 0..hits {
        log_term += ((rows - hit) as f64 / (hit + 1) as f64).ln() + odds;
        sum += log_term.exp();
    }
    sum
}

/// A bound on a share of errors that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read `{0}` as a bound on a share of errors: expected a share above 0 and up to 50 %; write `1%` or `0.01`"
)]
pub struct InvalidBound(String);

impl TryFrom<f64> for ErrorBound {
    type Error = InvalidBound;

    fn try_from(share: f64) -> Result<Self, InvalidBound> {
        if share > 0.0 && share <= 0.5 {
            Ok(Self(share))
        } else {
            Err(InvalidBound(share.to_string()))
        }
    }
}

impl FromStr for ErrorBound {
    type Err = InvalidBound;

    fn from_str(text: &str) -> Result<Self, InvalidBound> {
        let invalid = || InvalidBound(text.to_owned());
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| invalid());
        let share = match text.trim().strip_suffix('%') {
            Some(percent) => number(percent)? / 100.0,
            None => number(text)?,
        };
        Self::try_from(share).map_err(|_| invalid())
    }
}

impl From<ErrorBound> for f64 {
    fn from(bound: ErrorBound) -> Self {
        bound.0
    }
}

/// `1 %`, `0.5 %`.
impl fmt::Display for ErrorBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not 0.30000000000000004.
        write!(f, "{} %", (self.0 * 1e8).round() / 1e6)
    }
}

/// What is decided about a person at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeDecision {
    /// The threshold's age or older.
    Over,
    /// Younger than the threshold.
    Under,
    /// Neither can be said within the bound on errors.
    CannotSay,
}

impl AgeDecision {
    /// The name in JSON and CSV.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Under => "under",
            Self::CannotSay => "cannot-say",
        }
    }
}

/// In words: `over`, `under`, `cannot say`.
impl fmt::Display for AgeDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CannotSay => "cannot say",
            decided => decided.as_str(),
        })
    }
}

/// The limits of the predicted age at which one head decides for one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AgeThreshold {
    /// The threshold, in years.
    pub age: u32,
    /// Largest share of minors called over, and of adults called under.
    pub max_error: ErrorBound,
    /// The challenge age: predicted ages from here on are called over. None where no challenge age
    /// keeps the bound, as with fewer than [`ErrorBound::least_rows`] minors.
    pub over_from: Option<u32>,
    /// Predicted ages below are called under. None where no limit keeps the bound.
    pub under_below: Option<u32>,
    /// Minors that `over_from` was chosen on.
    pub minors: usize,
    /// Adults that `under_below` was chosen on.
    pub adults: usize,
}

impl AgeThreshold {
    /// Chooses both limits, in whole years, on predicted ages of people that the head was not
    /// fitted on: the smallest challenge age, from the threshold on, and the largest limit below
    /// which people are called under, up to the threshold, of which the people here say with
    /// [`CONFIDENCE`] that they keep the bound ([`ErrorBound::is_kept`]).
    ///
    /// Errors can only fall as a limit moves away from the threshold, so taking the first that
    /// passes the test keeps the confidence of a single test (Bates et al., "Distribution-free,
    /// risk-controlling prediction sets", 2021).
    #[must_use]
    pub fn choose(age: u32, max_error: ErrorBound, minors: &[f32], adults: &[f32]) -> Self {
        let keeps = |errors: usize, rows: &[f32]| max_error.is_kept(errors, rows.len());
        let from = |limit: u32| minors.iter().filter(|&&years| years >= limit as f32).count();
        let below = |limit: u32| adults.iter().filter(|&&years| years < limit as f32).count();
        Self {
            age,
            max_error,
            over_from: (age..=OLDEST_CHALLENGE).find(|&limit| keeps(from(limit), minors)),
            under_below: (1..=age).rev().find(|&limit| keeps(below(limit), adults)),
            minors: minors.len(),
            adults: adults.len(),
        }
    }

    /// What a predicted age, not rounded, decides.
    #[must_use]
    pub fn decide(&self, predicted: f32) -> AgeDecision {
        if self.over_from.is_some_and(|limit| predicted >= limit as f32) {
            AgeDecision::Over
        } else if self.under_below.is_some_and(|limit| predicted < limit as f32) {
            AgeDecision::Under
        } else {
            AgeDecision::CannotSay
        }
    }

    /// Whether the limits lie on their sides of the threshold, as those of [`Self::choose`] do.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.over_from.is_none_or(|limit| limit >= self.age)
            && self.under_below.is_none_or(|limit| limit <= self.age)
    }
}

/// Median of a distribution over the ages 0, 1, 2, …, not rounded: the share of each year is spread
/// evenly from half a year before it to half a year after it.
#[must_use]
pub fn median_age(distribution: &[f32]) -> f32 {
    let half = distribution.iter().sum::<f32>() / 2.0;
    let mut below = 0.0;
    for (year, &share) in distribution.iter().enumerate() {
        if below + share >= half && share > 0.0 {
            return (year as f32 - 0.5 + (half - below) / share).max(0.0);
        }
        below += share;
    }
    distribution.len().saturating_sub(1) as f32
}

/// Probability that an age is at least `age`, by a distribution over the ages 0, 1, 2, ….
#[must_use]
pub fn probability_over(distribution: &[f32], age: u32) -> f32 {
    let all: f64 = distribution.iter().copied().map(f64::from).sum();
    let from: f64 = distribution.iter().skip(age as usize).copied().map(f64::from).sum();
    if all > 0.0 { (from / all) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::{AgeDecision, AgeThreshold, ErrorBound, binomial, median_age, probability_over};
    use crate::rng::seeded;

    fn bound(text: &str) -> ErrorBound {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_are_read_as_shares_or_per_cent() {
        assert_eq!(bound("1%"), bound("0.01"));
        assert_eq!(bound(" 0.5 % ").share(), 0.005);
        assert_eq!([bound("1%"), bound("0.3%")].map(|b| b.to_string()), ["1 %", "0.3 %"]);
        for text in ["0", "51%", "-1%", "nan", "few", ""] {
            let message = text.parse::<ErrorBound>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("1%"), "{message}");
        }
        assert!(serde_json::from_str::<ErrorBound>("2.0").is_err());
    }

    #[test]
    fn the_exact_test_is_that_of_scipy() {
        // scipy.stats.binom.cdf([0, 1, 4], [299, 473, 914], [0.01, 0.01, 0.01])
        for (hits, rows, expected) in
            [(0, 299, 0.049_536_25), (1, 473, 0.049_797_54), (4, 914, 0.049_618_67)]
        {
            assert!((binomial(hits, rows, 0.01) - expected).abs() < 1e-8, "{hits} of {rows}");
        }
        assert!(binomial(5, 40, 0.5) < 1e-6 && (binomial(40, 40, 0.5) - 1.0).abs() < 1e-9);
        assert_eq!(bound("1%").least_rows(), 299);
        assert!(!bound("50%").is_kept(3, 3) && !bound("50%").is_kept(0, 0));
    }

    #[test]
    fn limits_are_the_nearest_to_the_threshold_that_keep_the_bound() {
        // 100 minors of whom 3 look 21.5 and one 25; 5 % of 100 allow one error: the probability
        // of at most 1 in 100 is 0.037, of at most 2 it is 0.118.
        let mut minors = vec![10.0; 96];
        minors.extend([21.5, 21.5, 21.5, 25.0]);
        // 100 adults of whom 2 look 12 and one 9.
        let mut adults = vec![40.0; 97];
        adults.extend([12.0, 12.0, 9.0]);
        let chosen = AgeThreshold::choose(18, bound("5%"), &minors, &adults);
        assert_eq!((chosen.over_from, chosen.under_below), (Some(22), Some(12)));
        assert_eq!((chosen.minors, chosen.adults), (100, 100));
        assert!(chosen.is_sound());
        let decisions = [22.0, 21.9, 12.0, 11.9].map(|age| chosen.decide(age));
        let expected =
            [AgeDecision::Over, AgeDecision::CannotSay, AgeDecision::CannotSay, AgeDecision::Under];
        assert_eq!(decisions, expected);
        // The threshold itself is the nearest limit there is.
        let apart = AgeThreshold::choose(18, bound("5%"), &[10.0; 100], &[40.0; 100]);
        assert_eq!((apart.over_from, apart.under_below), (Some(18), Some(18)));
    }

    #[test]
    fn with_too_few_people_nothing_is_decided() {
        let chosen = AgeThreshold::choose(18, bound("1%"), &[5.0; 298], &[40.0; 298]);
        assert_eq!((chosen.over_from, chosen.under_below), (None, None));
        assert_eq!(chosen.decide(80.0), AgeDecision::CannotSay);
        assert_eq!(chosen.decide(1.0), AgeDecision::CannotSay);
    }

    #[test]
    fn a_bound_holds_on_new_people_in_19_of_20_draws() {
        let mut generator = seeded(7, "threshold");
        // Minors whose predicted age is beyond `limit` with a probability that is known.
        let beyond = |limit: f64| ((30.0 - limit) / 30.0).powi(3);
        let mut broken = 0;
        for _ in 0..400 {
            let minors: Vec<f32> = (0..600)
                .map(|_| (30.0 * (1.0 - generator.random::<f64>().cbrt())) as f32)
                .collect();
            let chosen = AgeThreshold::choose(18, bound("2%"), &minors, &[40.0; 600]);
            broken += u32::from(beyond(f64::from(chosen.over_from.unwrap())) > 0.02);
        }
        // 5 % of 400 are 20, with a standard deviation of 4.4.
        assert!(broken <= 33, "{broken}");
    }

    #[test]
    fn a_distribution_has_a_median_and_a_share_above_an_age() {
        let mut shares = vec![0.0; 117];
        (shares[17], shares[18], shares[30]) = (0.25, 0.5, 0.25);
        assert_eq!(median_age(&shares), 18.0);
        assert_eq!(
            [17, 18, 19, 31].map(|age| probability_over(&shares, age)),
            [1.0, 0.75, 0.25, 0.0]
        );
        assert_eq!(probability_over(&[], 18), 0.0);
    }
}
