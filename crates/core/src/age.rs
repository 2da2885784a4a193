//! Ages as label files write them, and the groups they are sorted into.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::age_target::AgeTarget;

/// More years than these no one has lived.
const MOST_YEARS: u32 = 130;

/// An upper end from which label files and lists of groups mean no end.
const OPEN_FROM: u32 = 100;

/// A raw age label, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum AgeLabel {
    /// A single number of years, such as `35`.
    Years(f32),
    /// Two numbers, such as `(25, 32)`, the second no less than the first.
    Range(u32, u32),
    /// `None`, empty, or anything that is not an age.
    Unknown,
}

impl AgeLabel {
    /// Reads a raw age string: `(25, 32)`, `25-32`, `60+`, `35`, `35.5`; anything else is unknown,
    /// and so are ranges out of order and numbers that no age has: `32-25`, `2024-12`, `25-320`,
    /// `1985`. A comma parts two ages within brackets only, as `1,5` may be one and a half.
    ///
    /// `60+` and FairFace's `more than 70` become the range from that number to 100.
    ///
    /// ```
    /// use facefold_core::AgeLabel;
    /// assert_eq!(AgeLabel::parse("(25, 32)"), AgeLabel::Range(25, 32));
    /// assert_eq!(AgeLabel::parse("35"), AgeLabel::Years(35.0));
    /// assert_eq!(AgeLabel::parse("None"), AgeLabel::Unknown);
    /// assert_eq!(AgeLabel::parse("2024-12"), AgeLabel::Unknown);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let open_ended = text.strip_suffix('+').or_else(|| text.strip_prefix("more than "));
        if let Some(low) = open_ended {
            let low = whole_years(low);
            return low.map_or(Self::Unknown, |low| Self::between(low, OPEN_FROM.max(low)));
        }
        let bracketed = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let pair = bracketed.and_then(|inner| inner.split_once(','));
        let bare = bracketed.unwrap_or(text);
        if let Some((low, high)) = pair.or_else(|| bare.split_once('-')) {
            return match (whole_years(low), whole_years(high)) {
                (Some(low), Some(high)) => Self::between(low, high),
                _ => Self::Unknown,
            };
        }
        let bare = bare.trim();
        let number = bare.starts_with(|first: char| first.is_ascii_digit())
            && bare.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        match bare.parse::<f32>() {
            Ok(years) if number && years <= MOST_YEARS as f32 => Self::Years(years),
            _ => Self::Unknown,
        }
    }

    /// Two ages in order; unknown where they cannot be ages.
    fn between(low: u32, high: u32) -> Self {
        if low <= high && high <= MOST_YEARS { Self::Range(low, high) } else { Self::Unknown }
    }

    /// The number of years, where the label is a single number.
    #[must_use]
    pub fn years(self) -> Option<f32> {
        match self {
            Self::Years(years) => Some(years),
            Self::Range(..) | Self::Unknown => None,
        }
    }
}

/// Ages from `low` to `high` years, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgeRange {
    /// Youngest age in years.
    pub low: u32,
    /// Oldest age in years; none for an open end.
    pub high: Option<u32>,
}

impl AgeRange {
    /// Whether whole years `years` (35.7 counts as 35) lie in the range.
    #[must_use]
    pub fn contains(self, years: f32) -> bool {
        let whole = years.floor();
        whole >= self.low as f32 && self.high.is_none_or(|high| whole <= high as f32)
    }

    /// Whether the range has no upper end: none is written, or one of 100 or more.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.high.is_none_or(|high| high >= OPEN_FROM)
    }

    /// Whether two ranges hold the same ages, however an open end is written: `60+`, `60-100`.
    #[must_use]
    pub fn same_ages(self, other: Self) -> bool {
        let end = |range: Self| range.high.filter(|_| !range.is_open());
        self.low == other.low && end(self) == end(other)
    }

    /// Whether a true age lies in the range: all of it, where it is itself known as a range.
    #[must_use]
    pub fn covers(self, age: AgeTarget) -> bool {
        let both_open = age.is_open() && self.is_open();
        self.contains(age.low()) && (both_open || self.contains(age.high()))
    }

    /// The middle of the range in years; an open end counts as 100.
    #[must_use]
    pub fn centre(self) -> f32 {
        f32::midpoint(self.low as f32, self.high.unwrap_or(100) as f32)
    }
}

impl fmt::Display for AgeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.high {
            Some(high) => write!(f, "{}-{}", self.low, high),
            None => write!(f, "{}+", self.low),
        }
    }
}

/// A list of age groups, youngest first, that do not overlap. Gaps are allowed: Adience has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgeGroups {
    name: String,
    ranges: Vec<AgeRange>,
}

impl AgeGroups {
    /// The eight groups of the Adience benchmark (Levi and Hassner 2015).
    #[must_use]
    pub fn adience() -> Self {
        let closed = [(0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)];
        let ranges = closed.map(|(low, high)| AgeRange { low, high: Some(high) }).to_vec();
        Self { name: "adience".to_owned(), ranges }
    }

    /// Nine groups without gaps: 0-4, 5-9, 10-15, 16-25, 26-35, 36-45, 46-60, 61-75, 76+.
    #[must_use]
    pub fn nine() -> Self {
        let bounds = [0, 5, 10, 16, 26, 36, 46, 61, 76];
        let ranges = (0..bounds.len())
            .map(|i| AgeRange { low: bounds[i], high: bounds.get(i + 1).map(|next| next - 1) })
            .collect();
        Self { name: "nine".to_owned(), ranges }
    }

    /// The name or the list that the groups were made from; parses back to the same groups.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups, youngest first.
    #[must_use]
    pub fn ranges(&self) -> &[AgeRange] {
        &self.ranges
    }

    /// Whether two lists hold the same groups, however their names and open ends are written.
    #[must_use]
    pub fn same_ages(&self, other: &Self) -> bool {
        let same = |(a, b): (&AgeRange, &AgeRange)| a.same_ages(*b);
        self.ranges.len() == other.ranges.len() && self.ranges.iter().zip(&other.ranges).all(same)
    }

    /// One label a group: `0-2`, `60-100`, `76+`.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.ranges.iter().map(ToString::to_string).collect()
    }

    /// The group that contains this age in years, if any does.
    #[must_use]
    pub fn group_of(&self, years: f32) -> Option<usize> {
        self.ranges.iter().position(|range| range.contains(years))
    }

    /// The group that a true age lies in, if any holds all of it.
    #[must_use]
    pub fn group_covering(&self, age: AgeTarget) -> Option<usize> {
        self.ranges.iter().position(|range| range.covers(age))
    }

    /// The group whose centre is nearest to this age in years; ties go to the older group.
    #[must_use]
    pub fn nearest(&self, years: f32) -> usize {
        let mut best = 0;
        for (index, range) in self.ranges.iter().enumerate() {
            if (range.centre() - years).abs() <= (self.ranges[best].centre() - years).abs() {
                best = index;
            }
        }
        best
    }
}

impl fmt::Display for AgeGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl From<AgeGroups> for String {
    fn from(groups: AgeGroups) -> Self {
        groups.name
    }
}

impl TryFrom<String> for AgeGroups {
    type Error = InvalidAgeGroups;

    fn try_from(text: String) -> Result<Self, InvalidAgeGroups> {
        text.parse()
    }
}

/// Why a list of age groups cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAgeGroups {
    /// A part is not `low-high` or `low+`.
    #[error("expected `adience`, `nine`, or ranges such as `0-12,13-19,20+`; found `{0}`")]
    Malformed(String),
    /// A range ends before it starts, or starts before the one before it ends.
    #[error("age groups must rise without overlap, but `{0}` does not follow `{1}`")]
    Overlap(String, String),
    /// One group is no classification.
    #[error("expected at least two age groups, found {0}")]
    TooFew(usize),
}

impl FromStr for AgeGroups {
    type Err = InvalidAgeGroups;

    fn from_str(text: &str) -> Result<Self, InvalidAgeGroups> {
        match text.trim() {
            "adience" => return Ok(Self::adience()),
            "nine" => return Ok(Self::nine()),
            _ => {}
        }
        let mut ranges: Vec<AgeRange> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let range =
                parse_range(part).ok_or_else(|| InvalidAgeGroups::Malformed(part.to_owned()))?;
            let rises = range.high.is_none_or(|high| high >= range.low);
            let follows =
                ranges.last().is_none_or(|before| before.high.is_some_and(|high| range.low > high));
            if !rises || !follows {
                let before = ranges.last().map_or_else(|| part.to_owned(), ToString::to_string);
                return Err(InvalidAgeGroups::Overlap(part.to_owned(), before));
            }
            ranges.push(range);
        }
        if ranges.len() < 2 {
            return Err(InvalidAgeGroups::TooFew(ranges.len()));
        }
        let name = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Ok(Self { name, ranges })
    }
}

/// `0-2`; `60+` and `60-` have no upper end.
fn parse_range(part: &str) -> Option<AgeRange> {
    if let Some(low) = part.strip_suffix(['+', '-']) {
        return Some(AgeRange { low: whole_years(low)?, high: None });
    }
    let (low, high) = part.split_once('-')?;
    Some(AgeRange { low: whole_years(low)?, high: Some(whole_years(high)?) })
}

/// A whole number written in digits alone.
fn whole_years(text: &str) -> Option<u32> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{AgeGroups, AgeLabel};

    #[test]
    fn parses_ages_as_label_files_write_them() {
        assert_eq!(AgeLabel::parse("(8, 23)"), AgeLabel::Range(8, 23));
        assert_eq!(AgeLabel::parse("20-29"), AgeLabel::Range(20, 29));
        assert_eq!(AgeLabel::parse("more than 70"), AgeLabel::Range(70, 100));
        assert_eq!(AgeLabel::parse("105+"), AgeLabel::Range(105, 105));
        assert_eq!(AgeLabel::parse(" 57 "), AgeLabel::Years(57.0));
        for unknown in ["None", "", "nan", "-1", "1e9", "x-y"] {
            assert_eq!(AgeLabel::parse(unknown), AgeLabel::Unknown, "{unknown}");
        }
    }

    #[test]
    fn impossible_ages_are_unknown() {
        let out_of_order = ["(25, 23)", "32-25", "2024-12"];
        let no_ages = ["25-320", "12-2024", "1985", "1985-1990", "200+", "131"];
        let other =
            ["1,5", "25,32", "6 months", "18m", "1990-05-12", "03-Sep", "1e1", "inf", "+35"];
        let broken = ["(25", "25)", "(25, 32", "25-", "-25", "25-32-40", "(1,5)-7", ".", "1.2.3"];
        for text in out_of_order.iter().chain(&no_ages).chain(&other).chain(&broken) {
            assert_eq!(AgeLabel::parse(text), AgeLabel::Unknown, "{text}");
        }
    }

    #[test]
    fn groups_with_open_ends_compare_equal() {
        let eight = |last: &str| -> AgeGroups {
            format!("0-2, 4-6,8-12,15-20,25 - 32,38-43,48-53,{last}").parse().unwrap()
        };
        for last in ["60+", "60-", "60-100", "60-116"] {
            assert!(eight(last).same_ages(&AgeGroups::adience()), "{last}");
        }
        assert_eq!(eight("60-").labels()[7], "60+");
        assert!(!eight("60-99").same_ages(&AgeGroups::adience()));
        assert!(!AgeGroups::nine().same_ages(&AgeGroups::adience()));
    }

    #[test]
    fn groups_have_gaps_or_not() {
        let adience = AgeGroups::adience();
        assert_eq!(adience.group_of(2.9), Some(0));
        assert_eq!(adience.group_of(3.0), None);
        assert_eq!(adience.nearest(3.0), 1, "a tie goes to the older group");
        assert_eq!(AgeGroups::nine().group_of(116.0), Some(8));
        assert_eq!(AgeGroups::nine().labels()[8], "76+");
    }

    #[test]
    fn a_range_belongs_to_the_group_that_contains_it() {
        let group = |groups: AgeGroups, age: &str| groups.group_covering(age.parse().unwrap());
        assert_eq!(group(AgeGroups::nine(), "0-2"), Some(0));
        assert_eq!(group(AgeGroups::nine(), "20-29"), None);
        assert_eq!(group(AgeGroups::nine(), "80+"), Some(8));
        assert_eq!(group(AgeGroups::nine(), "70+"), None);
        assert_eq!(group(AgeGroups::adience(), "(60, 100)"), Some(7));
        assert_eq!(group(AgeGroups::adience(), "31"), Some(4));
    }

    #[test]
    fn parses_its_own_name() {
        for text in ["adience", "nine", "0-12,13-19,20+"] {
            let groups: AgeGroups = text.parse().unwrap();
            assert_eq!(groups.name().parse::<AgeGroups>().unwrap(), groups);
        }
    }

    #[test]
    fn invalid_lists_of_groups_are_refused() {
        for (text, expected) in [
            ("abc", "found `abc`"),
            ("0-12", "at least two"),
            ("0-12,10-20", "`10-20` does not follow `0-12`"),
            ("0+,10-20", "does not follow `0+`"),
            ("5-2,10-20", "must rise"),
            ("-5,10-20", "found `-5`"),
        ] {
            let message = text.parse::<AgeGroups>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
