//! Several data sets as one: whose rows they are, and who stands in more than one of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use facefold_core::{ImageKey, SubjectId};
use serde::{Deserialize, Serialize};

use crate::links::Links;

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

/// A row of a set: who is in the picture, and which picture it is.
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

/// Pictures that stand in more than one set, byte for byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedPictures {
    /// Distinct pictures.
    pub pictures: usize,
    /// Rows of all sets that show one of them.
    pub rows: usize,
    /// Subjects that stand in more than one set because of them.
    pub subjects: usize,
}

/// Makes the subjects of several sets distinct: `utkface: 123`. A row without a subject is one of
/// its own: `utkface/a.jpg`. Subjects of different sets that have a picture in common, byte for byte,
/// are one subject, with all their pictures: no division by subject parts them.
#[must_use]
pub fn join_subjects(sets: &[(SetName, Vec<SetRow<'_>>)]) -> JoinedSubjects {
    let mut people = People::default();
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
        if owners.iter().all(|owner| owner.0 == first.0) {
            continue;
        }
        shared.pictures += 1;
        shared.rows += owners.len();
        for owner in owners {
            links.join(first.1, owner.1);
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
struct People<'a> {
    all: Vec<Person<'a>>,
    known: HashMap<Person<'a>, usize>,
}

impl<'a> People<'a> {
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
    use super::{SetName, SetRow, SharedPictures, join_subjects};
    use facefold_core::{ImageKey, SubjectId};

    #[test]
    fn who_shares_a_picture_with_another_set_is_one_subject_with_all_pictures() {
        let [ann, ben, cid] = ["1", "2", "3"].map(SubjectId::new);
        let row = |path, subject, picture: u8| SetRow {
            path,
            subject,
            key: Some(ImageKey::of(&[picture])),
        };
        // Pictures 9 and 8 stand in both sets: 9 is labelled as two people in the first. Picture 7
        // stands twice in the first set, as two people, and is nobody's business.
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
                "x: 1", "x: 1", "x: 1", "x: 3", "x/e.jpg", "x: 3", // The first set.
                "y: 1", "x: 1", "x: 1", "y/e.jpg", // The second.
                "y/e.jpg", "z/1",
            ]
        );
        assert_eq!(joined.shared, SharedPictures { pictures: 2, rows: 5, subjects: 2 });
    }
}
