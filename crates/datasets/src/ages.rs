//! Restricting rows to exact ages, as published splits do.

use std::fmt;
use std::str::FromStr;

use facefold_core::{AgeLabel, AgeRange, Sample};

use crate::error::DatasetError;

/// Rows with an exact age in a range of years, both ends included: most papers on UTKFace use
/// those from 21 to 60.
///
/// ```
/// use facefold_core::Sample;
/// use facefold_datasets::ExactAges;
/// let ages: ExactAges = "21-60".parse()?;
/// let aged = |age: &str| Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") };
/// assert_eq!(ages.refuses(&aged("60")), None);
/// assert_eq!(ages.refuses(&aged("61")).as_deref(), Some("age outside 21-60"));
/// assert_eq!(ages.refuses(&aged("(25, 32)")).as_deref(), Some("no exact age"));
/// # Ok::<(), facefold_datasets::DatasetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactAges(AgeRange);

impl ExactAges {
    /// Why a row is left out, if it is.
    #[must_use]
    pub fn refuses(self, sample: &Sample) -> Option<String> {
        match AgeLabel::parse(&sample.raw_age).years() {
            Some(years) if self.0.contains(years) => None,
            Some(_) => Some(format!("age outside {self}")),
            None => Some("no exact age".to_owned()),
        }
    }
}

impl fmt::Display for ExactAges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ExactAges {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        match AgeLabel::parse(text) {
            AgeLabel::Range(low, high) if low <= high => {
                Ok(Self(AgeRange { low, high: Some(high) }))
            }
            _ => Err(DatasetError::InvalidAges(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExactAges;

    #[test]
    fn only_rising_ranges_are_ages() {
        assert_eq!("21-60".parse::<ExactAges>().unwrap().to_string(), "21-60");
        for wrong in ["", "21", "60-21", "21..60", "a-b"] {
            let message = wrong.parse::<ExactAges>().unwrap_err().to_string();
            assert!(message.contains(&format!("found `{wrong}`")), "{message}");
        }
    }
}
