//! Decisions at an age threshold: is this person 18 or older?
//!
//! A *minor* is younger than the threshold, an *adult* is not. A person is called *over* where the
//! lower decile of the predicted distribution over ages, the age that the person has reached with a
//! probability of 90 %, is at least a *challenge age* at or above the threshold, and *under* where
//! the median is below a limit at or under the threshold; between the two nothing is decided.
//! Minors called over are *false adults*; NIST IR 8525 (2024), "Face Analysis Technology
//! Evaluation: Age Estimation and Verification", counts them as false positives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Level of the quantile of the predicted distribution that must reach the challenge age. Lower
/// than the median, it is low for faces with an uncertain age, and so passes more adults at the
/// same false-positive rate; much lower, it depends on the distribution's tail more than on the
/// age.
const LOWER: f32 = 0.1;

/// Oldest challenge age that is tried.
const OLDEST_CHALLENGE: u32 = 116;

/// The largest accepted error rate: above 0 and at most one half.
///
/// ```
/// use facefold_core::ErrorBound;
/// let bound: ErrorBound = "1%".parse()?;
/// assert_eq!(bound.rate(), 0.01);
/// // Were the next subject an error, it would be one of 99, or one of 100.
/// assert!(!bound.holds(0.0, 98));
/// assert!(bound.holds(0.0, 99));
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
    /// The rate, in (0, 0.5].
    #[must_use]
    pub fn rate(self) -> f64 {
        self.0
    }

    /// Whether a limit with so many errors among so many subjects keeps the bound, in expectation, on a
    /// new subject: whether the error rate would be at most the bound if the new one were an error too
    /// (Angelopoulos et al., "Conformal risk control", 2022). A subject with several rows adds the
    /// fraction of them that are errors.
    #[must_use]
    pub fn holds(self, errors: f64, subjects: usize) -> bool {
        errors + 1.0 <= self.0 * (subjects + 1) as f64
    }

    /// The smallest number of subjects without an error that shows that the bound holds.
    #[must_use]
    pub fn min_subjects(self) -> usize {
        (1.0 / self.0).ceil() as usize - 1
    }
}

/// A text that is no bound on an error rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read `{0}` as a bound on an error rate: expected a rate above 0 and up to 50 %; write `1%` or `0.01`"
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
    /// Neither, within the bound on errors.
    Undecided,
}

impl AgeDecision {
    /// The name in JSON and CSV.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Under => "under",
            Self::Undecided => "undecided",
        }
    }
}

/// In words: `over`, `under`, `undecided`.
impl fmt::Display for AgeDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecided => "undecided",
            decided => decided.as_str(),
        })
    }
}

/// The ages that decisions rest on, not rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecisionAges {
    /// Reached with a probability of 90 %, by the predicted distribution.
    pub lower_decile: f32,
    /// Its median.
    pub median: f32,
}

impl DecisionAges {
    /// Of a predicted distribution over the ages 0, 1, 2, ….
    #[must_use]
    pub fn of(distribution: &[f32]) -> Self {
        let lower_decile = quantile_age(distribution, LOWER);
        Self { lower_decile, median: median_age(distribution) }
    }
}

/// Of a predicted age, where a head predicts no distribution.
impl From<f32> for DecisionAges {
    fn from(years: f32) -> Self {
        Self { lower_decile: years, median: years }
    }
}

/// The limits of the predicted age at which one head decides for one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AgeThreshold {
    /// The threshold, in years.
    pub age: u32,
    /// Largest fraction of minors called over, and of adults called under.
    pub max_error: ErrorBound,
    /// The challenge age: whose lower decile is at least this is called over. None where no
    /// challenge age keeps the bound, as with fewer than [`ErrorBound::min_subjects`] minors.
    pub over_from: Option<u32>,
    /// Whose median is below this is called under. None where no limit keeps the bound.
    pub under_below: Option<u32>,
    /// Minors that `over_from` was chosen on: subjects, not rows.
    pub minors: usize,
    /// Adults that `under_below` was chosen on, subjects too.
    pub adults: usize,
}

impl AgeThreshold {
    /// [`Self::choose_by_subject`] where each subject has one row.
    #[must_use]
    pub fn choose(age: u32, max_error: ErrorBound, minors: &[f32], adults: &[f32]) -> Self {
        let alone = |years: &[f32]| years.iter().map(|&years| vec![years]).collect::<Vec<_>>();
        Self::choose_by_subject(age, max_error, &alone(minors), &alone(adults))
    }

    /// Chooses both limits, in whole years, on the lower deciles of minors and the medians of
    /// adults that the head was not fitted on, those of a subject's rows together: the smallest
    /// challenge age, from the threshold on, and the largest limit below which people are called
    /// under, up to the threshold, that keep the bound ([`ErrorBound::holds`]).
    ///
    /// As errors can only fall while a limit moves away from the threshold, this is conformal risk
    /// control: over draws of these people and of a new one like them, a picture of the new one is an
    /// error with at most the bound's probability. Rows of one person are errors together, and so say
    /// no more than one.
    #[must_use]
    pub fn choose_by_subject(
        age: u32,
        max_error: ErrorBound,
        minors: &[Vec<f32>],
        adults: &[Vec<f32>],
    ) -> Self {
        let keeps = |subjects: &[Vec<f32>], is_error: &dyn Fn(f32) -> bool| {
            let errors = subjects.iter().map(|rows| {
                let errors = rows.iter().filter(|&&years| is_error(years)).count();
                errors as f64 / rows.len().max(1) as f64
            });
            max_error.holds(errors.sum(), subjects.len())
        };
        let over = |limit: &u32| keeps(minors, &|years| years >= *limit as f32);
        let under = |limit: &u32| keeps(adults, &|years| years < *limit as f32);
        Self {
            age,
            max_error,
            over_from: (age..=OLDEST_CHALLENGE).find(over),
            under_below: (1..=age).rev().find(under),
            minors: minors.len(),
            adults: adults.len(),
        }
    }

    /// What a prediction decides.
    #[must_use]
    pub fn decide(&self, ages: DecisionAges) -> AgeDecision {
        if self.over_from.is_some_and(|limit| ages.lower_decile >= limit as f32) {
            AgeDecision::Over
        } else if self.under_below.is_some_and(|limit| ages.median < limit as f32) {
            AgeDecision::Under
        } else {
            AgeDecision::Undecided
        }
    }

    /// Whether the challenge age is not below and the other limit not above the threshold.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.over_from.is_none_or(|limit| limit >= self.age)
            && self.under_below.is_none_or(|limit| limit <= self.age)
    }
}

/// Median of a distribution over the ages 0, 1, 2, …, as [`quantile_age`] has it.
#[must_use]
pub fn median_age(distribution: &[f32]) -> f32 {
    quantile_age(distribution, 0.5)
}

/// Quantile of a distribution over the ages 0, 1, 2, …, not rounded: the probability of each age is
/// spread evenly from half a year before it to half a year after it. None is below 0.
#[must_use]
pub fn quantile_age(distribution: &[f32], level: f32) -> f32 {
    let wanted = distribution.iter().sum::<f32>() * level;
    let mut below = 0.0;
    for (year, &share) in distribution.iter().enumerate() {
        if below + share >= wanted && share > 0.0 {
            return (year as f32 - 0.5 + (wanted - below) / share).max(0.0);
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

    use super::{
        AgeDecision, AgeThreshold, DecisionAges, ErrorBound, median_age, probability_over,
    };
    use crate::rng::seeded;

    fn bound(text: &str) -> ErrorBound {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_are_parsed_as_fractions_or_per_cent() {
        assert_eq!(bound("1%"), bound("0.01"));
        assert_eq!(bound(" 0.5 % ").rate(), 0.005);
        assert_eq!([bound("1%"), bound("0.3%")].map(|b| b.to_string()), ["1 %", "0.3 %"]);
        for text in ["0", "51%", "-1%", "nan", "few", ""] {
            let message = text.parse::<ErrorBound>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("1%"), "{message}");
        }
        assert!(serde_json::from_str::<ErrorBound>("2.0").is_err());
    }

    #[test]
    fn a_bound_holds_if_one_more_error_would_keep_it() {
        // 330 subjects: 4 of 331 are more than 1 %, 3 are not.
        assert!(bound("1%").holds(2.0, 330) && !bound("1%").holds(3.0, 330));
        for text in ["1%", "3%", "7%", "50%"] {
            let least = bound(text).min_subjects();
            assert!(bound(text).holds(0.0, least) && !bound(text).holds(0.0, least - 1), "{text}");
        }
        assert!(!bound("50%").holds(0.0, 0));
    }

    #[test]
    fn limits_are_the_nearest_to_the_threshold_that_satisfy_the_bound() {
        // 100 minors of whom 3 look 21.5 and one 25; 3 % of 101 are 3, one of them the next.
        let mut minors = vec![10.0; 96];
        minors.extend([21.5, 21.5, 21.5, 25.0]);
        // 100 adults of whom 2 look 12 and one 9.
        let mut adults = vec![40.0; 97];
        adults.extend([12.0, 12.0, 9.0]);
        let chosen = AgeThreshold::choose(18, bound("3%"), &minors, &adults);
        assert_eq!((chosen.over_from, chosen.under_below), (Some(22), Some(12)));
        assert_eq!((chosen.minors, chosen.adults), (100, 100));
        assert!(chosen.is_valid());
        let decisions = [22.0, 21.9, 12.0, 11.9].map(|age: f32| chosen.decide(age.into()));
        let expected =
            [AgeDecision::Over, AgeDecision::Undecided, AgeDecision::Undecided, AgeDecision::Under];
        assert_eq!(decisions, expected);
        // The threshold itself is the nearest limit there is.
        let apart = AgeThreshold::choose(18, bound("5%"), &[10.0; 100], &[40.0; 100]);
        assert_eq!((apart.over_from, apart.under_below), (Some(18), Some(18)));
    }

    #[test]
    fn rows_of_one_subject_count_as_one() {
        // 100 minors of whom one looks 30 in all of twenty pictures, and one in half of them.
        let mut minors = vec![vec![10.0]; 98];
        minors.push(vec![30.0; 20]);
        minors.push([vec![30.0; 10], vec![10.0; 10]].concat());
        let adults = vec![vec![40.0]; 100];
        let choose = |error| AgeThreshold::choose_by_subject(18, bound(error), &minors, &adults);
        // 1.5 and a new one of 101 are 2.48 %.
        assert_eq!((choose("2%").over_from, choose("2%").minors), (Some(31), 100));
        assert_eq!(choose("2.5%").over_from, Some(18));
        // A thousand pictures of three minors are three minors.
        let few = vec![vec![10.0; 400]; 3];
        let chosen = AgeThreshold::choose_by_subject(18, bound("1%"), &few, &adults);
        assert_eq!((chosen.over_from, chosen.minors), (None, 3));
    }

    #[test]
    fn too_few_subjects_give_no_decision() {
        let chosen = AgeThreshold::choose(18, bound("1%"), &[5.0; 98], &[40.0; 98]);
        assert_eq!((chosen.over_from, chosen.under_below), (None, None));
        assert_eq!(chosen.decide(80.0.into()), AgeDecision::Undecided);
        assert_eq!(chosen.decide(1.0.into()), AgeDecision::Undecided);
    }

    #[test]
    fn a_bound_holds_on_new_people_on_average() {
        let mut generator = seeded(7, "threshold");
        // Minors whose predicted age is beyond `limit` with a probability that is known.
        let beyond = |limit: f64| ((30.0 - limit) / 30.0).powi(3);
        let mut sum = 0.0;
        for _ in 0..400 {
            let minors: Vec<f32> = (0..150)
                .map(|_| (30.0 * (1.0 - generator.random::<f64>().cbrt())) as f32)
                .collect();
            let chosen = AgeThreshold::choose(18, bound("2%"), &minors, &[40.0; 150]);
            sum += beyond(f64::from(chosen.over_from.unwrap()));
        }
        // An error rate of exactly 2 % on these people would not hold on new ones.
        let mean = sum / 400.0;
        assert!((0.01..=0.02).contains(&mean), "{mean}");
    }

    #[test]
    fn a_distribution_has_a_median_and_a_probability_above_an_age() {
        let mut probabilities = vec![0.0; 117];
        (probabilities[17], probabilities[18], probabilities[30]) = (0.25, 0.5, 0.25);
        assert_eq!(median_age(&probabilities), 18.0);
        // Two fifths of the first quarter lie in the first two fifths of the year around 17.
        let ages = DecisionAges::of(&probabilities);
        assert!((ages.lower_decile - 16.9).abs() < 1e-5 && ages.median == 18.0, "{ages:?}");
        assert_eq!(
            [17, 18, 19, 31].map(|age| probability_over(&probabilities, age)),
            [1.0, 0.75, 0.25, 0.0]
        );
        assert_eq!(probability_over(&[], 18), 0.0);
    }
}
