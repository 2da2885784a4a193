//! Age labels as targets for training and evaluation: a number of years, or a range.

use std::fmt;
use std::str::FromStr;

use crate::age::AgeLabel;

/// The last year of a distribution over years, which starts at 0.
pub const LAST_YEAR: u16 = 116;

/// An upper end from which a range is open: label files write `60-100` for 60 and older.
const OPEN_FROM: f32 = 100.0;

/// The true age of a face: exact, or known only to lie in a range of whole years.
///
/// Both ends belong to the range: 0-2 covers the years 0, 1 and 2. A range whose upper end is 100
/// or more is open and reaches to [`LAST_YEAR`].
///
/// ```
/// use facefold_core::AgeTarget;
/// let twenties: AgeTarget = "20-29".parse()?;
/// assert_eq!((twenties.midpoint(), twenties.exact_years()), (24.5, None));
/// assert_eq!((twenties.distance(29.6), twenties.distance(31.0)), (0.0, 2.0));
/// assert_eq!(AgeTarget::exact(34.0).distance(31.0), 3.0);
/// # Ok::<(), facefold_core::InvalidAgeTarget>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgeTarget {
    low: f32,
    high: f32,
}

/// Why a label is no true age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAgeTarget {
    /// Neither a number of years nor a range.
    #[error("expected years such as `34` or a range such as `20-29`, found neither")]
    Unknown,
    /// The ends are out of order, or behind the last year.
    #[error("expected an age range that ends no earlier than it starts and starts by year 116")]
    Disordered,
    /// Every age lies in it.
    #[error("expected an age range that leaves some year out, found one that covers all")]
    AllYears,
}

impl AgeTarget {
    /// An age that is known to the year (or better).
    #[must_use]
    pub fn exact(years: f32) -> Self {
        Self { low: years, high: years }
    }

    /// An age between two years, both included; exact where they are the same.
    ///
    /// # Errors
    /// [`InvalidAgeTarget`] where the ends are out of order or cover all years.
    pub fn range(low: f32, high: f32) -> Result<Self, InvalidAgeTarget> {
        let last = f32::from(LAST_YEAR);
        let high = if high >= OPEN_FROM { last } else { high };
        if !(low <= high && low >= 0.0) {
            return Err(InvalidAgeTarget::Disordered);
        }
        if low == 0.0 && high == last {
            return Err(InvalidAgeTarget::AllYears);
        }
        Ok(Self { low, high })
    }

    /// The first year.
    #[must_use]
    pub fn low(self) -> f32 {
        self.low
    }

    /// The last year, which is the first where the age is exact.
    #[must_use]
    pub fn high(self) -> f32 {
        self.high
    }

    /// The years, where they are known exactly.
    #[must_use]
    pub fn exact_years(self) -> Option<f32> {
        (self.low == self.high).then_some(self.low)
    }

    /// Whether only a range is known.
    #[must_use]
    pub fn is_range(self) -> bool {
        self.exact_years().is_none()
    }

    /// Whether it is a range without an upper end, such as `70+`.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.is_range() && self.high >= f32::from(LAST_YEAR)
    }

    /// The middle of the range in years, where an open end counts as 100; exact years themselves.
    #[must_use]
    pub fn midpoint(self) -> f32 {
        match self.exact_years() {
            Some(years) => years,
            None => f32::midpoint(self.low, self.high.min(OPEN_FROM.max(self.low))),
        }
    }

    /// Years from a predicted age to the range: 0 inside it; the absolute error where the age is
    /// exact. To a range a prediction counts in completed years, as its label does: 29.6 lies in 20-29, and 19.6
    /// one year before it.
    #[must_use]
    pub fn distance(self, predicted: f32) -> f32 {
        let of_years = self.low.fract() == 0.0 && self.high.fract() == 0.0;
        // Not the floor: a prediction just below 0 is one of 0.
        let predicted = if self.is_range() && of_years { predicted.trunc() } else { predicted };
        // What is no number is at no distance that is one.
        if predicted < self.low {
            self.low - predicted
        } else if predicted <= self.high {
            0.0
        } else {
            predicted - self.high
        }
    }
}

impl fmt::Display for AgeTarget {
    /// `34`, `20-29`, `70+`: what [`AgeTarget::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact_years() {
            Some(years) => write!(f, "{years}"),
            None if self.is_open() => write!(f, "{}+", self.low),
            None => write!(f, "{}-{}", self.low, self.high),
        }
    }
}

impl FromStr for AgeTarget {
    type Err = InvalidAgeTarget;

    fn from_str(text: &str) -> Result<Self, InvalidAgeTarget> {
        AgeLabel::parse(text).try_into()
    }
}

impl TryFrom<AgeLabel> for AgeTarget {
    type Error = InvalidAgeTarget;

    fn try_from(label: AgeLabel) -> Result<Self, InvalidAgeTarget> {
        match label {
            AgeLabel::Years(years) => Ok(Self::exact(years)),
            AgeLabel::Range(low, high) => Self::range(low as f32, high as f32),
            AgeLabel::Unknown => Err(InvalidAgeTarget::Unknown),
        }
    }
}

/// Whether errors are measured on the exact ages only: where these are at least half, so that
/// a few exact ages among ranges do not speak for all.
#[must_use]
pub fn exact_ages_decide(ages: &[AgeTarget]) -> bool {
    2 * ages.iter().filter(|age| !age.is_range()).count() >= ages.len()
}

/// Predicted and true years of the rows whose true age is exact.
#[must_use]
pub fn exact_rows(predicted: &[f32], truth: &[AgeTarget]) -> (Vec<f32>, Vec<f32>) {
    let rows = predicted.iter().zip(truth);
    rows.filter_map(|(&predicted, age)| Some((predicted, age.exact_years()?))).unzip()
}

#[cfg(test)]
mod tests {
    use super::{AgeTarget, InvalidAgeTarget, exact_ages_decide, exact_rows};

    #[test]
    fn labels_become_targets_and_back() {
        for (label, low, high, written) in [
            ("34", 34.0, 34.0, "34"),
            ("35.5", 35.5, 35.5, "35.5"),
            ("(0, 2)", 0.0, 2.0, "0-2"),
            ("25-25", 25.0, 25.0, "25"),
            ("(60, 100)", 60.0, 116.0, "60+"),
            ("more than 70", 70.0, 116.0, "70+"),
        ] {
            let target: AgeTarget = label.parse().unwrap();
            assert_eq!((target.low(), target.high()), (low, high), "{label}");
            assert_eq!(target.to_string(), written);
            assert_eq!(written.parse(), Ok(target));
        }
    }

    #[test]
    fn unusable_labels_are_no_target() {
        for (label, error) in [
            ("None", InvalidAgeTarget::Unknown),
            ("(25, 23)", InvalidAgeTarget::Unknown),
            ("1985", InvalidAgeTarget::Unknown),
            ("120-130", InvalidAgeTarget::Disordered),
            ("0-100", InvalidAgeTarget::AllYears),
            ("0+", InvalidAgeTarget::AllYears),
        ] {
            assert_eq!(label.parse::<AgeTarget>(), Err(error), "{label}");
        }
        assert_eq!(AgeTarget::range(25.0, 23.0), Err(InvalidAgeTarget::Disordered));
        assert!(AgeTarget::range(f32::NAN, 3.0).is_err());
    }

    #[test]
    fn distances_are_measured_from_the_range_ends() {
        let twenties = AgeTarget::range(20.0, 29.0).unwrap();
        for (predicted, distance) in
            [(18.5, 2.0), (19.9, 1.0), (20.0, 0.0), (29.9, 0.0), (30.0, 1.0), (31.5, 2.0)]
        {
            assert_eq!(twenties.distance(predicted), distance);
        }
        assert_eq!(AgeTarget::range(0.0, 2.0).unwrap().distance(-0.4), 0.0);
        assert_eq!(AgeTarget::exact(20.0).distance(20.75), 0.75);
        assert_eq!(AgeTarget::range(20.5, 25.5).unwrap().distance(20.75), 0.0);
        assert!(twenties.distance(f32::NAN).is_nan());
        assert!(AgeTarget::exact(3.0).distance(f32::NAN).is_nan());
        // An open end counts as 100 in the middle, not as the last year.
        assert_eq!("70+".parse::<AgeTarget>().unwrap().midpoint(), 85.0);
    }

    #[test]
    fn exact_rows_exclude_ranges() {
        let truth = [AgeTarget::exact(3.0), AgeTarget::range(4.0, 6.0).unwrap()];
        assert_eq!(exact_rows(&[2.0, 5.0], &truth), (vec![2.0], vec![3.0]));
    }

    #[test]
    fn exact_ages_decide_from_a_minimum_number_on() {
        let (exact, range) = (AgeTarget::exact(3.0), AgeTarget::range(4.0, 6.0).unwrap());
        assert!(exact_ages_decide(&[]) && exact_ages_decide(&[exact]));
        assert!(exact_ages_decide(&[exact, range]));
        assert!(!exact_ages_decide(&[exact, range, range]));
        assert!(!exact_ages_decide(&[range]));
    }
}
