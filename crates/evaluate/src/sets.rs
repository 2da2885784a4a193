//! Several data sets as one: the set of each row, subjects that occur in more than one set, and sets whose
//! ages hardly vary.

mod joining;
mod likeness;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use facefold_core::Targets;
use serde::{Deserialize, Serialize};

use crate::row_info::RowInfo;

pub use joining::{JoinedSubjects, SetRow, SetRows, SharedSubjects, join_subjects};

/// The name of a data set among several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SetName(Arc<str>);

impl SetName {
    /// A data set by its name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for SetName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// Years that nine of ten ages of a set must span, so that the kind of picture does not
/// predict the age.
const LEAST_AGE_SPAN: f32 = 20.0;

/// Several sets are trained on together, and the ages of one hardly vary.
#[derive(Debug, Clone, PartialEq)]
pub struct NarrowAges {
    /// The set.
    pub set: SetName,
    /// The age in years below which one row of twenty lies, ranges by their middles.
    pub low: f32,
    /// The age above which one of twenty lies.
    pub high: f32,
}

/// Sets whose ages hardly vary (nine of ten within 20 years) among sets whose ages do. A head that
/// learns from both may take every picture that looks like the narrow set's for that age: 1,108
/// photographs of people of 20 to 29 with 26,582 of all ages cost 2.3 years on a set left out
/// (`results/features.md`).
#[must_use]
pub fn narrow_ages(rows: &[RowInfo], targets: &Targets) -> Vec<NarrowAges> {
    let Targets::Regression(ages) = targets else { return Vec::new() };
    let mut of_sets: BTreeMap<&SetName, Vec<f32>> = BTreeMap::new();
    for (row, age) in rows.iter().zip(ages) {
        if let Some(set) = &row.set {
            of_sets.entry(set).or_default().push(age.midpoint());
        }
    }
    let spans: Vec<NarrowAges> = of_sets
        .into_iter()
        .map(|(set, mut ages)| {
            ages.sort_by(f32::total_cmp);
            let tail = ages.len() / 20;
            NarrowAges { set: set.clone(), low: ages[tail], high: ages[ages.len() - 1 - tail] }
        })
        .collect();
    let (narrow, wide): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.high - span.low < LEAST_AGE_SPAN);
    if wide.is_empty() { Vec::new() } else { narrow }
}

#[cfg(test)]
mod tests {
    use super::{NarrowAges, SetName, narrow_ages};
    use crate::row_info::RowInfo;
    use facefold_core::Targets;

    #[test]
    fn a_set_of_narrow_ages_among_others_is_reported() {
        let row = |set: &str| RowInfo {
            path: "".into(),
            subject: None,
            fold: None,
            split: None,
            set: Some(SetName::new(set)),
        };
        let ages =
            |from: u8, to: u8| (0..100).map(move |at: u8| f32::from(from + at % (to - from)));
        let of = |sets: &[(&str, u8, u8)]| {
            let rows: Vec<RowInfo> =
                sets.iter().flat_map(|&(name, ..)| (0..100).map(move |_| row(name))).collect();
            let years = sets.iter().flat_map(|&(_, from, to)| ages(from, to)).collect();
            narrow_ages(&rows, &Targets::exact_years(years))
        };
        let found = of(&[("all", 0, 90), ("young", 20, 30)]);
        let young = NarrowAges { set: SetName::new("young"), low: 20.0, high: 29.0 };
        assert_eq!(found, [young]);
        // Where no set has other ages, the kind of picture does not predict the age.
        assert_eq!(of(&[("young", 20, 30), ("old", 60, 70)]), []);
        assert_eq!(of(&[("all", 0, 90), ("adults", 20, 50)]), []);
    }
}
