//! Subjects of several sets made distinct, and joined where one person stands in two.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use facefold_core::links::Links;
use facefold_core::{ImageKey, SubjectId};
use ndarray::ArrayView2;

use super::SetName;
use super::likeness::{Alike, alike_rows};
use crate::error::EvaluateError;

/// A row of a set: its subject and its picture.
#[derive(Debug, Clone, Copy)]
pub struct SetRow<'a> {
    /// The picture, relative to the set's root.
    pub path: &'a str,
    /// Who is in it, where that is known.
    pub subject: Option<&'a SubjectId>,
    /// Its age in years, where known.
    pub age: Option<f32>,
    /// Its bytes' key and its row among the set's embeddings, where it has one.
    pub embedded: Option<(ImageKey, usize)>,
}

/// The rows of a set, and what is compared with other sets.
#[derive(Debug, Clone)]
pub struct SetRows<'a> {
    /// The set.
    pub name: SetName,
    /// Its rows.
    pub rows: Vec<SetRow<'a>>,
    /// Its embeddings (n x d; d is the same in all sets).
    pub embeddings: ArrayView2<'a, f32>,
}

/// The subjects of several sets.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinedSubjects {
    /// One subject a row, set after set.
    pub subjects: Vec<SubjectId>,
    /// What the sets have in common.
    pub shared: SharedSubjects,
    /// Sets whose named subjects are so often alike that likeness says nothing of them: only their
    /// pictures' bytes are compared with other sets. With the share of pairs that are alike.
    pub indistinct: Vec<(SetName, f64)>,
}

/// Who stands in more than one set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedSubjects {
    /// Distinct pictures that stand in more than one set, byte for byte.
    pub pictures: usize,
    /// Rows of all sets that show one of them.
    pub rows: usize,
    /// Pairs of rows of two sets whose embeddings are alike, and whose pictures differ.
    pub alike: usize,
    /// Subjects that stand in more than one set.
    pub subjects: usize,
}

/// Makes the subjects of several sets distinct: `utkface: 123`. A row without a subject is one of
/// its own: `utkface/a.jpg`. Subjects that have a picture in common, byte for byte, in one set or in
/// several, are one subject with all their pictures, and so are those of two sets whose embeddings
/// are alike as [`group_subjects`](crate::subjects::group_subjects) has it at `threshold`: no split
/// by subject separates them. Likeness is not used of a set in which it does not distinguish the named
/// subjects, and not at all without a threshold.
///
/// # Errors
/// [`EvaluateError::Inconsistent`] where embeddings of two sets have different lengths, or a row
/// names an embedding that its set lacks.
pub fn join_subjects(
    sets: &[SetRows<'_>],
    threshold: Option<f32>,
) -> Result<JoinedSubjects, EvaluateError> {
    check(sets)?;
    let mut people = SubjectNumbers::default();
    let of_row: Vec<Vec<usize>> = sets
        .iter()
        .enumerate()
        .map(|(set, rows)| rows.rows.iter().map(|row| people.number(set, row)).collect())
        .collect();
    let mut links = Links::new(people.all.len());
    let mut shared = link_copies(&mut links, sets, &of_row);
    let mut indistinct = Vec::new();
    if let Some(threshold) = threshold {
        let Alike { pairs, indistinct: confused } = alike_rows(sets, threshold);
        for ((first, row), (second, other)) in pairs {
            links.join(of_row[first][row], of_row[second][other]);
            shared.alike += 1;
        }
        indistinct = confused;
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
            SubjectId::new(format!("{}{joint}{name}", sets[set].name))
        })
        .collect();
    let people = of_row.iter().flatten();
    let subjects = people.map(|&person| names[links.root(person)].clone()).collect();
    Ok(JoinedSubjects { subjects, shared, indistinct })
}

fn check(sets: &[SetRows<'_>]) -> Result<(), EvaluateError> {
    let length = sets.first().map_or(0, |set| set.embeddings.ncols());
    for SetRows { name, rows, embeddings } in sets {
        let last = rows.iter().filter_map(|row| row.embedded).map(|(_, row)| row).max();
        if embeddings.ncols() != length || last.is_some_and(|last| last >= embeddings.nrows()) {
            return Err(EvaluateError::Inconsistent(format!(
                "the set `{name}` has {} x {} embeddings, where rows up to {} of length {length} \
                 are named",
                embeddings.nrows(),
                embeddings.ncols(),
                last.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// Makes people with a picture in common one, and counts the pictures of several sets.
fn link_copies(links: &mut Links, sets: &[SetRows<'_>], of_row: &[Vec<usize>]) -> SharedSubjects {
    let mut owners: BTreeMap<ImageKey, Vec<(usize, usize)>> = BTreeMap::new();
    for (set, people) in of_row.iter().enumerate() {
        for (row, &person) in sets[set].rows.iter().zip(people) {
            if let Some((key, _)) = row.embedded {
                owners.entry(key).or_default().push((set, person));
            }
        }
    }
    let mut shared = SharedSubjects::default();
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
    shared
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
    use super::{JoinedSubjects, SetRow, SetRows, SharedSubjects, join_subjects};
    use crate::sets::SetName;
    use crate::subjects::THRESHOLD;
    use facefold_core::{ImageKey, SubjectId};
    use ndarray::{Array2, ArrayView2, array};

    /// A set of rows with an embedding each: path, subject, picture, age, direction.
    fn set<'a>(
        name: &str,
        rows: &[(&'a str, Option<&'a SubjectId>, u8, f32)],
        embeddings: ArrayView2<'a, f32>,
    ) -> SetRows<'a> {
        let rows = rows.iter().enumerate().map(|(row, &(path, subject, picture, age))| SetRow {
            path,
            subject,
            age: Some(age),
            embedded: Some((ImageKey::of(&[picture]), row)),
        });
        SetRows { name: SetName::new(name), rows: rows.collect(), embeddings }
    }

    fn names(joined: &JoinedSubjects) -> Vec<&str> {
        joined.subjects.iter().map(SubjectId::as_str).collect()
    }

    #[test]
    fn subjects_that_share_a_picture_across_sets_are_merged() {
        let [ann, ben, cid] = ["1", "2", "3"].map(SubjectId::new);
        // Embeddings of length 0 are like no other.
        let none = Array2::zeros((6, 2));
        // Pictures 9 and 8 stand in both sets: 9 is labelled as two people in the first. Picture 7
        // stands twice in the first set, as two people who are one.
        let mut first = vec![
            ("a.jpg", Some(&ann), 0, 30.0),
            ("b.jpg", Some(&ann), 9, 30.0),
            ("c.jpg", Some(&ben), 9, 30.0),
            ("d.jpg", Some(&cid), 7, 30.0),
            ("e.jpg", None, 7, 30.0),
        ];
        first.push(("f.jpg", Some(&cid), 0, 30.0));
        let second = [
            ("a.jpg", Some(&ann), 1, 30.0),
            ("b.jpg", Some(&ben), 9, 30.0),
            ("c.jpg", Some(&ben), 2, 30.0),
            ("e.jpg", None, 8, 30.0),
        ];
        let third = [("g.jpg", None, 8, 30.0), ("1", None, 3, 30.0)];
        let mut sets = [("x", &first[..]), ("y", &second), ("z", &third)]
            .map(|(name, rows)| set(name, rows, none.view()));
        // A row without an embedding is joined by its name alone.
        sets[0].rows[5].embedded = None;
        let joined = join_subjects(&sets, Some(THRESHOLD)).unwrap();
        assert_eq!(
            names(&joined),
            [
                "x: 1", "x: 1", "x: 1", "x: 3", "x: 3", "x: 3", // The first set.
                "y: 1", "x: 1", "x: 1", "y/e.jpg", // The second.
                "y/e.jpg", "z/1",
            ]
        );
        let shared = SharedSubjects { pictures: 2, rows: 5, alike: 0, subjects: 2 };
        assert_eq!(joined.shared, shared);
    }

    #[test]
    fn subjects_alike_across_sets_are_merged() {
        let [ann, ben] = ["ann", "ben"].map(SubjectId::new);
        // Named or not, another set's name is of another list: Ann is `p7` in the second.
        let first = [
            ("a.jpg", Some(&ann), 0, 30.0),
            ("b.jpg", Some(&ben), 1, 30.0),
            ("child.jpg", None, 2, 3.0),
            ("infant.jpg", None, 3, 1.0),
        ];
        let directions =
            array![[1.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]];
        let p7 = SubjectId::new("p7");
        let second = [
            ("c.jpg", Some(&p7), 10, 8.0),       // Like Ann by 0.6.
            ("d.jpg", Some(&p7), 11, 30.0),      // Like no other.
            ("other child.jpg", None, 12, 30.0), // Like the child by 0.8, who is 3.
            ("infant anew.jpg", None, 13, 1.0),  // The infant's picture saved anew: 0.99.
            ("b copy.jpg", None, 1, 30.0),       // Ben's picture.
        ];
        let others = array![
            [0.6, 0.0, -0.8],
            [0.0, -1.0, 0.0],
            [0.0, -0.6, 0.8],
            [-0.99, -0.1, 0.0],
            [0.0, 1.0, 0.0]
        ];
        let sets = [set("x", &first, directions.view()), set("y", &second, others.view())];
        let joined = join_subjects(&sets, Some(THRESHOLD)).unwrap();
        assert_eq!(
            names(&joined),
            [
                "x: ann",
                "x: ben",
                "x/child.jpg",
                "x/infant.jpg", // The first set.
                "x: ann",
                "x: ann",
                "y/other child.jpg",
                "x/infant.jpg",
                "x: ben",
            ]
        );
        let shared = SharedSubjects { pictures: 1, rows: 2, alike: 2, subjects: 3 };
        assert_eq!(joined.shared, shared);
        assert_eq!(joined.indistinct, []);

        let sets = [set("x", &first, directions.view()), set("y", &second, directions.view())];
        let error = join_subjects(&sets, Some(THRESHOLD)).unwrap_err();
        assert!(error.to_string().contains("the set `y` has 4 x 3 embeddings"), "{error}");
    }

    /// `n` subjects of a set, by number; the first `names` of them are one person, and all where
    /// `names` is `n`.
    fn directions(n: usize, names: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, n), |(row, column)| {
            f32::from(u8::from(column == row.saturating_sub(names - 1)))
        })
    }

    #[test]
    fn likeness_counts_unless_it_confuses_the_subjects_of_a_set() {
        let people: Vec<SubjectId> = (0..40).map(|row| SubjectId::new(row.to_string())).collect();
        let rows = |first: u8| -> Vec<_> {
            (0..40_u8)
                .map(|row| ("a.jpg", Some(&people[usize::from(row)]), first + row, 30.0))
                .collect()
        };
        let (first, second) = (rows(0), rows(100));
        let others = directions(40, 1);
        let joined = |names: usize| {
            let these = directions(40, names);
            let sets = [set("x", &first, these.view()), set("y", &second, others.view())];
            join_subjects(&sets, Some(THRESHOLD)).unwrap()
        };
        // One person under two, and under five names: 1 and 10 of 780 pairs of subjects are alike.
        assert_eq!((joined(2).shared.subjects, joined(2).indistinct), (39, vec![]));
        assert_eq!((joined(5).shared.subjects, joined(5).indistinct), (36, vec![]));
        // All alike, as drawn faces are.
        let confused = joined(40);
        assert_eq!(confused.indistinct, [(SetName::new("x"), 1.0)]);
        assert_eq!(confused.shared, SharedSubjects::default());
        // All of three.
        let three = Array2::ones((3, 40));
        let sets = [set("x", &first[..3], three.view()), set("y", &second, others.view())];
        let joined = join_subjects(&sets, Some(THRESHOLD)).unwrap();
        assert_eq!(joined.indistinct, [(SetName::new("x"), 1.0)]);
    }
}
