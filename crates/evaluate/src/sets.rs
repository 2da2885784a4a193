//! Several data sets as one: the set of each row, and subjects that occur in more than one set.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use facefold_core::{ImageKey, SubjectId, Targets};
use serde::{Deserialize, Serialize};

use crate::links::Links;
use crate::protocol::RowInfo;

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

/// A row of a set: its subject and its picture.
#[derive(Debug, Clone, Copy)]
pub struct SetRow<'a> {
    /// The picture, relative to the set's root.
    pub path: &'a str,
    /// Who is in it, where that is known.
    pub subject: Option<&'a SubjectId>,
    /// Its bytes' key, where it has an embedding.
    pub key: Option<ImageKey>,
}

/// The subjects of several sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedSubjects {
    /// One subject a row, set after set.
    pub subjects: Vec<SubjectId>,
    /// What the sets have in common.
    pub shared: SharedPictures,
}

/// Pictures that are in more than one set, byte for byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedPictures {
    /// Distinct pictures.
    pub pictures: usize,
    /// Rows of all sets that show one of them.
    pub rows: usize,
    /// Subjects that are in more than one set because of them.
    pub subjects: usize,
}

/// Makes the subjects of several sets distinct: `utkface: 123`. A row without a subject is one of
/// its own: `utkface/a.jpg`. Subjects that have a picture in common, byte for byte, in one set or
/// in several, are one subject with all their pictures, and are never separated.
#[must_use]
pub fn join_subjects(sets: &[(SetName, Vec<SetRow<'_>>)]) -> JoinedSubjects {
    let mut people = SubjectNumbers::default();
    let mut owners: BTreeMap<ImageKey, Vec<(usize, usize)>> = BTreeMap::new();
    let mut of_row = Vec::new();
    for (set, (_, rows)) in sets.iter().enumerate() {
        for row in rows {
            let person = people.number(set, row);
            of_row.push(person);
            if let Some(key) = row.key {
                owners.entry(key).or_default().push((set, person));
            }
        }
    }
    let mut links = Links::new(people.all.len());
    let mut shared = SharedPictures::default();
    for owners in owners.values() {
        let first = owners[0];
        for owner in owners {
            links.join(first.1, owner.1);
        }
        if owners.iter().any(|owner| owner.0 != first.0) {
            shared.pictures += 1;
            shared.rows += owners.len();
        }
    }
    let mut sets_of: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (person, (set, ..)) in people.all.iter().enumerate() {
        sets_of.entry(links.root(person)).or_default().insert(*set);
    }
    shared.subjects = sets_of.values().filter(|sets| sets.len() > 1).count();
    let names: Vec<SubjectId> = people
        .all
        .iter()
        .map(|&(set, named, name)| {
            let joint = if named { ": " } else { "/" };
            SubjectId::new(format!("{}{joint}{name}", sets[set].0))
        })
        .collect();
    let subjects = of_row.into_iter().map(|person| names[links.root(person)].clone()).collect();
    JoinedSubjects { subjects, shared }
}

/// A set, whether the name is a subject's (else a path), and the name.
type Person<'a> = (usize, bool, &'a str);

/// Everybody of every set, numbered in order of appearance.
#[derive(Default)]
struct SubjectNumbers<'a> {
    all: Vec<Person<'a>>,
    known: HashMap<Person<'a>, usize>,
}

impl<'a> SubjectNumbers<'a> {
    fn number(&mut self, set: usize, row: &SetRow<'a>) -> usize {
        let name = row.subject.map_or(row.path, SubjectId::as_str);
        let person = (set, row.subject.is_some(), name);
        *self.known.entry(person).or_insert_with(|| {
            self.all.push(person);
            self.all.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{NarrowAges, SetName, SetRow, SharedPictures, join_subjects, narrow_ages};
    use crate::protocol::RowInfo;
    use facefold_core::{ImageKey, SubjectId, Targets};

    #[test]
    fn subjects_that_share_a_picture_across_sets_are_merged() {
        let [ann, ben, cid] = ["1", "2", "3"].map(SubjectId::new);
        let row = |path, subject, picture: u8| SetRow {
            path,
            subject,
            key: Some(ImageKey::of(&[picture])),
        };
        // Pictures 9 and 8 stand in both sets: 9 is labelled as two people in the first. Picture 7
        // stands twice in the first set, as two people who are one.
        let first = vec![
            row("a.jpg", Some(&ann), 0),
            row("b.jpg", Some(&ann), 9),
            row("c.jpg", Some(&ben), 9),
            row("d.jpg", Some(&cid), 7),
            row("e.jpg", None, 7),
            SetRow { key: None, ..row("f.jpg", Some(&cid), 0) },
        ];
        let second = vec![
            row("a.jpg", Some(&ann), 1),
            row("b.jpg", Some(&ben), 9),
            row("c.jpg", Some(&ben), 2),
            row("e.jpg", None, 8),
        ];
        let third = vec![row("g.jpg", None, 8), row("1", None, 3)];
        let sets = [("x", first), ("y", second), ("z", third)]
            .map(|(name, rows)| (SetName::new(name), rows));
        let joined = join_subjects(&sets);
        let names: Vec<&str> = joined.subjects.iter().map(SubjectId::as_str).collect();
        assert_eq!(
            names,
            [
                "x: 1", "x: 1", "x: 1", "x: 3", "x: 3", "x: 3", // The first set.
                "y: 1", "x: 1", "x: 1", "y/e.jpg", // The second.
                "y/e.jpg", "z/1",
            ]
        );
        assert_eq!(joined.shared, SharedPictures { pictures: 2, rows: 5, subjects: 2 });
    }

    #[test]
    fn a_set_of_narrow_ages_among_others_is_reported() {
        let row = |set: &str| RowInfo {
            path: String::new(),
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
