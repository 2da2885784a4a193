//! Label rows of one picture: one sample, and one person.

use std::borrow::Cow;
use std::collections::HashMap;

use facefold_core::links::Links;
use facefold_core::names::{composed, normalised};
use facefold_core::{Sample, SubjectId};

use crate::dataset::Dataset;

/// Keeps the first row of each key, and marks it where a later one contradicts it.
#[derive(Default)]
pub(crate) struct Deduplication {
    first: HashMap<String, usize>,
    /// Two subjects that rows with the same key name: one person.
    one_person: Vec<[SubjectId; 2]>,
}

impl Deduplication {
    /// Adds a label row to `dataset`. `raw_gender` is the gender as the file writes it.
    ///
    /// Rows with the same key are the same picture; if they are not equal in all that a sample
    /// holds, the correct one is unknown, so the kept sample counts as a label conflict.
    pub fn add(
        &mut self,
        dataset: &mut Dataset,
        key: String,
        mut sample: Sample,
        raw_gender: &str,
    ) {
        normalise_names(&mut sample);
        dataset.rows += 1;
        dataset.ages.add(&sample.raw_age, sample.fold);
        dataset.genders.add(raw_gender, sample.fold);
        if let Some(&index) = self.first.get(&key) {
            dataset.duplicates += 1;
            let kept = &mut dataset.samples[index];
            let conflict = kept.label_conflict;
            kept.label_conflict = sample.label_conflict;
            let same = *kept == sample;
            kept.label_conflict |= conflict || !same;
            match (&kept.subject, sample.subject) {
                (Some(one), Some(other)) if *one != other => {
                    self.one_person.push([one.clone(), other]);
                }
                (None, named) => kept.subject = named,
                _ => {}
            }
        } else {
            self.first.insert(key, dataset.samples.len());
            dataset.samples.push(sample);
        }
    }

    /// Gives subjects that rows of one picture name one name, the first, in all samples of `dataset`: the
    /// row that linked them was kept once, and their other pictures must not stand in training and test. More
    /// names than [`MOST_NAMES`] are no one person's: pictures of several people are listed so, and all keep
    /// their names.
    pub fn finish(self, dataset: &mut Dataset) {
        let first_names = first_names(&self.one_person);
        let (mut renamed, mut of_many) = (0, 0);
        for (name, (first, names)) in &first_names {
            if *names > MOST_NAMES {
                of_many += 1;
            } else if name != first {
                renamed += 1;
            }
        }
        for subject in dataset.samples.iter_mut().filter_map(|sample| sample.subject.as_mut()) {
            if let Some((first, names)) = first_names.get(subject)
                && *names <= MOST_NAMES
            {
                subject.clone_from(first);
            }
        }
        if renamed > 0 {
            dataset.notes.push(format!(
                "{renamed} subjects are named in a second row of a picture that another subject has: each \
                 counts as one person with the first"
            ));
        }
        if of_many > 0 {
            dataset.notes.push(format!(
                "{of_many} subjects are named in rows of pictures that others have too, more than {MOST_NAMES} \
                 of them in a chain, as where several people are in a picture: each keeps its name"
            ));
        }
    }
}

/// Names that one person may have.
const MOST_NAMES: usize = 5;

/// The first name, in order of appearance, of each person whose names are linked in pairs, and how many names the
/// person has; by name.
fn first_names(pairs: &[[SubjectId; 2]]) -> HashMap<SubjectId, (SubjectId, usize)> {
    let (mut names, mut numbers) = (Vec::new(), HashMap::new());
    for name in pairs.iter().flatten() {
        numbers.entry(name.clone()).or_insert_with(|| {
            names.push(name.clone());
            names.len() - 1
        });
    }
    let mut links = Links::new(names.len());
    for [one, other] in pairs {
        links.join(numbers[one], numbers[other]);
    }
    let roots: Vec<usize> = (0..names.len()).map(|number| links.root(number)).collect();
    let mut sizes = vec![0; names.len()];
    for &root in &roots {
        sizes[root] += 1;
    }
    let person =
        |(name, root): (&SubjectId, usize)| (name.clone(), (names[root].clone(), sizes[root]));
    names.iter().zip(roots).map(person).collect()
}

/// Gives the names of people and classes the one form in which they are compared.
fn normalise_names(sample: &mut Sample) {
    if let Some(subject) = &mut sample.subject
        && let Cow::Owned(name) = normalised(subject.as_str())
    {
        *subject = SubjectId::new(name);
    }
    for text in [&mut sample.class, &mut sample.race].into_iter().flatten() {
        if let Cow::Owned(name) = composed(text) {
            *text = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use facefold_core::{Sample, SubjectId};

    use super::Deduplication;
    use crate::dataset::{Dataset, DatasetKind};

    #[test]
    fn a_contradicting_duplicate_is_a_label_conflict() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        let row =
            |path: &str, age: &str| Sample { raw_age: age.to_owned(), ..Sample::unlabelled(path) };
        for (path, age) in [("a", "3"), ("b", "5"), ("a", "3"), ("b", "6"), ("b", "5")] {
            keys.add(&mut dataset, path.to_owned(), row(path, age), "f");
        }
        assert_eq!((dataset.rows, dataset.duplicates, dataset.distinct()), (5, 3, 2));
        assert!(!dataset.samples[0].label_conflict);
        assert!(dataset.samples[1].label_conflict);
        assert_eq!(dataset.ages.total("5"), 2);
    }

    #[test]
    fn subjects_of_one_picture_are_one_person_in_every_row() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        let rows = [
            ("a", "ann"),
            ("b", "ben"),
            ("c", "cid"),
            ("d", "dot"),
            ("e", "eve"),
            ("f", ""),
            // Ben is Cid, Cid is Ann, Eve is Dot.
            ("c", "ben"),
            ("a", "cid"),
            ("d", "eve"),
            ("f", "eve"),
        ];
        for (path, subject) in rows {
            let subject = Some(subject).filter(|name| !name.is_empty()).map(SubjectId::new);
            let sample = Sample { subject, ..Sample::unlabelled(path) };
            keys.add(&mut dataset, path.to_owned(), sample, "f");
        }
        keys.finish(&mut dataset);
        let names: Vec<&str> =
            dataset.samples.iter().map(|s| s.subject.as_ref().unwrap().as_str()).collect();
        assert_eq!(names, ["cid", "cid", "cid", "dot", "dot", "dot"]);
        assert!(dataset.notes[0].starts_with("3 subjects are named in a second row"));
    }

    #[test]
    fn people_of_group_photographs_keep_their_names() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        for row in 0..20 {
            for person in [row, row + 1] {
                let subject = Some(SubjectId::new(format!("p{person}")));
                let path = format!("{row}.jpg");
                let sample = Sample { subject, ..Sample::unlabelled(&path) };
                keys.add(&mut dataset, path, sample, "f");
            }
        }
        keys.finish(&mut dataset);
        let names: HashSet<&str> =
            dataset.samples.iter().map(|s| s.subject.as_ref().unwrap().as_str()).collect();
        assert_eq!(names.len(), 20);
        assert!(dataset.notes[0].starts_with("21 subjects are named"), "{:?}", dataset.notes);
    }

    #[test]
    fn a_name_in_composed_and_decomposed_letters_is_one() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        for (path, name) in [("a", "Zo\u{eb}"), ("b", "Zoe\u{308}")] {
            let sample = Sample {
                subject: Some(SubjectId::new(name)),
                class: Some(name.to_owned()),
                race: Some(name.to_owned()),
                ..Sample::unlabelled(path)
            };
            keys.add(&mut dataset, path.to_owned(), sample, "f");
        }
        for sample in &dataset.samples {
            assert_eq!(sample.subject.as_ref().unwrap().as_str(), "Zo\u{eb}");
            assert_eq!(
                (sample.class.as_deref(), sample.race.as_deref()),
                (Some("Zoë"), Some("Zoë"))
            );
        }
    }
}
