//! Label policies: which age group an age label is taken for.
//!
//! Adience labels most faces with one of eight age ranges, and some with odd ranges or single
//! numbers. Published results differ in what they do with the odd ones, and numbers under
//! different policies are not comparable, so every report prints its policy.

use std::fmt;
use std::str::FromStr;

use facefold_core::{AgeGroups, AgeLabel, AgeRange, AgeTarget, Sample};
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::tally::mean_years;

/// What becomes of age labels that are not one of the groups as they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelPolicy {
    /// Only labels that need no guess (Levi and Hassner 2015). In a set labelled with ranges:
    /// ranges that equal a group. In a set labelled with years: years that lie in a group.
    #[default]
    Exact,
    /// As [`LabelPolicy::Nearest`], but 35 goes to 25-32, 57 and 58 to 60-100, 3 to 0-2, and
    /// `(8, 23)` to 8-12 (Kuprashevich and Tolstykh 2023, `MiVOLO`). A rule for the eight Adience
    /// groups only.
    Remap,
    /// Every age finds a group: the one that contains the mean of the label's numbers, else the
    /// one with the nearest centre, ties to the older (tae898/age-gender).
    ///
    /// For every label in the Adience lists this is the nearest centre. A group that contains
    /// the age comes first because a wide group's centre may lie farther off than its
    /// neighbour's: 62 years lie in 60-100, yet nearer to the centre of 48-53.
    Nearest,
}

impl LabelPolicy {
    /// All policies, strictest first.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Remap, Self::Nearest];

    /// The name on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Remap => "remap",
            Self::Nearest => "nearest",
        }
    }

    /// Refuses groups that the policy has no rule for: [`LabelPolicy::Remap`] is published for the
    /// eight Adience groups alone.
    ///
    /// # Errors
    /// [`DatasetError::NoRule`].
    pub fn check(self, groups: &AgeGroups) -> Result<(), DatasetError> {
        let ruled = self != Self::Remap || groups.same_ages(&AgeGroups::adience());
        if ruled { Ok(()) } else { Err(DatasetError::NoRule(groups.name().to_owned())) }
    }

    /// The index of the group that a label is taken for.
    ///
    /// # Errors
    /// [`DropReason::NoAge`] for what is no age, [`DropReason::NotAGroup`] for an age that
    /// [`LabelPolicy::Exact`] gives no group, and [`DropReason::NoRule`] for groups that the policy
    /// has no rule for ([`LabelPolicy::check`]).
    pub fn group(
        self,
        label: AgeLabel,
        labelling: AgeLabelling,
        groups: &AgeGroups,
    ) -> Result<usize, DropReason> {
        self.check(groups).map_err(|_| DropReason::NoRule)?;
        let mean = mean_years(label).ok_or(DropReason::NoAge)?;
        // The mean of a range of all ages has no meaning.
        AgeTarget::try_from(label).map_err(|_| DropReason::NoRange)?;
        let nearest = || groups.group_of(mean).unwrap_or_else(|| groups.nearest(mean));
        match self {
            Self::Exact => exact(label, labelling, groups).ok_or(DropReason::NotAGroup),
            Self::Remap => Ok(remapped(label).unwrap_or_else(nearest)),
            Self::Nearest => Ok(nearest()),
        }
    }
}

impl fmt::Display for LabelPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LabelPolicy {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| DatasetError::UnknownPolicy(text.to_owned()))
    }
}

/// What a set's age labels are as a rule: it decides what a bare number means under
/// [`LabelPolicy::Exact`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgeLabelling {
    /// Ages in years (UTKFace, IMDB-WIKI): `35` is exact.
    Years,
    /// Ranges (Adience, FairFace): a bare `35` among them is an odd label.
    Ranges,
}

impl AgeLabelling {
    /// What most of a set's age labels are; ranges where there are as many of both.
    ///
    /// To be taken over all samples of a set: a part of it may hold the odd labels only.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let (mut years, mut ranges) = (0_usize, 0_usize);
        for sample in samples {
            match AgeLabel::parse(&sample.raw_age) {
                AgeLabel::Years(_) => years += 1,
                AgeLabel::Range(..) => ranges += 1,
                AgeLabel::Unknown => {}
            }
        }
        if years > ranges { Self::Years } else { Self::Ranges }
    }
}

/// Why a sample does not serve a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// Identical pictures, or rows of one picture, carry labels that disagree.
    LabelConflict,
    /// No gender, or one that is not known.
    NoGender,
    /// No age, or one that is not known.
    NoAge,
    /// An age that cannot be one: out of order, a date, a year of birth.
    NotAnAge,
    /// An age that the label policy gives no group.
    NotAGroup,
    /// The label policy has no rule for the age groups.
    NoRule,
    /// An age range that no age lies in, or that covers all ages.
    NoRange,
    /// No class, or one that is not known.
    NoClass,
}

impl DropReason {
    /// Whether the label is there and only its form keeps it from serving.
    #[must_use]
    pub fn is_of_form(self) -> bool {
        matches!(self, Self::NotAnAge | Self::NotAGroup | Self::NoRule | Self::NoRange)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LabelConflict => "labels of one picture disagree",
            Self::NoGender => "no known gender",
            Self::NoAge => "no known age",
            Self::NotAnAge => "age is no number of years and no range of them",
            Self::NotAGroup => "age is no group under this policy",
            Self::NoRule => "label policy has no rule for these age groups",
            Self::NoRange => "age range of all ages",
            Self::NoClass => "no known class",
        })
    }
}

fn exact(label: AgeLabel, labelling: AgeLabelling, groups: &AgeGroups) -> Option<usize> {
    match (label, labelling) {
        (AgeLabel::Range(low, high), _) => {
            let label = AgeRange { low, high: Some(high) };
            groups.ranges().iter().position(|range| range.same_ages(label))
        }
        (AgeLabel::Years(years), AgeLabelling::Years) => groups.group_of(years),
        (AgeLabel::Years(_), AgeLabelling::Ranges) | (AgeLabel::Unknown, _) => None,
    }
}

/// The published exceptions, as indices of the eight Adience groups.
fn remapped(label: AgeLabel) -> Option<usize> {
    match label {
        AgeLabel::Years(years) => match years.floor() as u32 {
            3 => Some(0),
            35 => Some(4),
            57 | 58 => Some(7),
            _ => None,
        },
        AgeLabel::Range(8, 23) => Some(2),
        AgeLabel::Range(..) | AgeLabel::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeGroups, AgeLabel, Sample};
    use proptest::prelude::*;

    use super::{AgeLabelling, DropReason, LabelPolicy};

    fn group(policy: LabelPolicy, label: &str) -> Option<usize> {
        policy.group(AgeLabel::parse(label), AgeLabelling::Ranges, &AgeGroups::adience()).ok()
    }

    /// Every odd string of the Adience lists but `(25, 23)`, which is no range, with its group
    /// under remap and under nearest, by the rules of the two published codes; the numbers are
    /// indices of the eight groups.
    #[test]
    fn odd_strings_of_adience() {
        for (label, remap, nearest) in [
            ("35", 4, 5),
            ("13", 2, 2),
            ("22", 3, 3),
            ("34", 4, 4),
            ("23", 4, 4),
            ("45", 5, 5),
            ("55", 6, 6),
            ("(27, 32)", 4, 4),
            ("36", 5, 5),
            ("(38, 42)", 5, 5),
            ("57", 7, 6),
            ("3", 0, 1),
            ("29", 4, 4),
            ("(38, 48)", 5, 5),
            ("58", 7, 6),
            ("2", 0, 0),
            ("32", 4, 4),
            ("56", 6, 6),
            ("42", 5, 5),
            ("46", 6, 6),
            ("(8, 23)", 2, 3),
        ] {
            assert_eq!(group(LabelPolicy::Remap, label), Some(remap), "remap {label}");
            assert_eq!(group(LabelPolicy::Nearest, label), Some(nearest), "nearest {label}");
            assert_eq!(group(LabelPolicy::Exact, label), None, "exact {label}");
        }
    }

    #[test]
    fn the_eight_strings_are_themselves_under_every_policy() {
        for (index, range) in AgeGroups::adience().ranges().iter().enumerate() {
            let label = format!("({}, {})", range.low, range.high.unwrap());
            for policy in LabelPolicy::ALL {
                assert_eq!(group(policy, &label), Some(index), "{policy} {label}");
            }
        }
        for policy in LabelPolicy::ALL {
            for label in ["None", "(25, 23)", "2024-12", "25-320", "1,5", "1985"] {
                assert_eq!(group(policy, label), None, "{policy} {label}");
            }
        }
    }

    #[test]
    fn remap_holds_for_the_eight_groups_however_they_are_written_and_for_no_others() {
        for last in ["60+", "60-", "60-100", "60-120"] {
            let groups: AgeGroups =
                format!("0-2,4-6,8-12,15-20,25-32,38-43,48-53,{last}").parse().unwrap();
            let of = |label: &str| {
                let ranges = AgeLabelling::Ranges;
                LabelPolicy::Remap.group(AgeLabel::parse(label), ranges, &groups)
            };
            assert_eq!(
                ["35", "57", "58", "3", "(8, 23)"].map(of),
                [4, 7, 7, 0, 2].map(Ok),
                "{last}"
            );
            let exact =
                LabelPolicy::Exact.group(AgeLabel::Range(60, 100), AgeLabelling::Ranges, &groups);
            assert_eq!(exact, Ok(7), "{last}");
        }
        let others: AgeGroups = "0-2,3-9,10-69,70+".parse().unwrap();
        let message = LabelPolicy::Remap.check(&others).unwrap_err().to_string();
        assert!(message.contains("found `0-2,3-9,10-69,70+`"), "{message}");
        let refused = LabelPolicy::Remap.group(AgeLabel::Years(3.0), AgeLabelling::Years, &others);
        assert_eq!(refused, Err(DropReason::NoRule));
        assert!(LabelPolicy::Nearest.check(&others).is_ok());
    }

    #[test]
    fn ages_of_a_set_labelled_in_years_are_exact() {
        let groups = AgeGroups::adience();
        let exact =
            |years| LabelPolicy::Exact.group(AgeLabel::Years(years), AgeLabelling::Years, &groups);
        assert_eq!(exact(30.0), Ok(4));
        assert_eq!(exact(62.0), Ok(7));
        assert_eq!(exact(35.0), Err(DropReason::NotAGroup));
        let nearest =
            LabelPolicy::Nearest.group(AgeLabel::Years(62.0), AgeLabelling::Years, &groups);
        assert_eq!(nearest, Ok(7), "the group that contains an age comes before a nearer centre");
    }

    #[test]
    fn ranges_match_open_ends() {
        let groups: AgeGroups = "0-2,3-9,10-69,70+".parse().unwrap();
        let of = |policy: LabelPolicy, label: &str| {
            policy.group(AgeLabel::parse(label), AgeLabelling::Ranges, &groups)
        };
        assert_eq!(of(LabelPolicy::Exact, "more than 70"), Ok(3));
        assert_eq!(of(LabelPolicy::Exact, "3-9"), Ok(1));
        assert_eq!(of(LabelPolicy::Exact, "4-9"), Err(DropReason::NotAGroup));
    }

    #[test]
    fn labelling_is_that_of_most_labels() {
        let samples = |labels: &[&str]| -> Vec<Sample> {
            let sample =
                |age: &&str| Sample { raw_age: (*age).to_owned(), ..Sample::unlabelled("x.jpg") };
            labels.iter().map(sample).collect()
        };
        assert_eq!(AgeLabelling::of(&samples(&["3", "(0, 2)", "None"])), AgeLabelling::Ranges);
        assert_eq!(AgeLabelling::of(&samples(&["3", "4", "(0, 2)"])), AgeLabelling::Years);
        assert_eq!(AgeLabelling::of(&[]), AgeLabelling::Ranges);
    }

    proptest! {
        #[test]
        fn an_age_that_lies_in_a_group_is_never_given_another(years in 0_u32..120) {
            for groups in [AgeGroups::adience(), AgeGroups::nine()] {
                let label = AgeLabel::Years(years as f32);
                let nearest = LabelPolicy::Nearest.group(label, AgeLabelling::Years, &groups);
                if let Ok(group) = LabelPolicy::Exact.group(label, AgeLabelling::Years, &groups) {
                    prop_assert_eq!(nearest, Ok(group));
                }
                prop_assert!(nearest.is_ok());
            }
        }
    }
}
