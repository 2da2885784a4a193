//! The rows that a protocol divides: who is in them, and where a published list puts them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use facefold_core::{Fold, Split, SubjectId};

use crate::sets::SetName;

/// What a protocol needs to know of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowInfo {
    /// The picture, relative to the data set's root; identifies the row across results.
    pub path: Arc<str>,
    /// Who is in it. A row without a subject counts as a subject of its own, so estimate subjects
    /// first (see [`crate::subjects`]) where the data set names none.
    pub subject: Option<SubjectId>,
    /// Published fold.
    pub fold: Option<Fold>,
    /// Published split.
    pub split: Option<Split>,
    /// The data set, where there are several.
    pub set: Option<SetName>,
}

impl RowInfo {
    /// A row of a subject, in no published fold or split.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, subject: SubjectId) -> Self {
        Self { path: path.into(), subject: Some(subject), fold: None, split: None, set: None }
    }

    /// [`Self::subject_name`], shared.
    pub(crate) fn shared_subject_name(&self) -> Arc<str> {
        match &self.subject {
            Some(subject) => subject.clone().into(),
            None => Arc::clone(&self.path),
        }
    }

    /// The subject's name, or the row's path where it has none.
    #[must_use]
    pub fn subject_name(&self) -> &str {
        self.subject.as_ref().map_or(&*self.path, SubjectId::as_str)
    }
}

/// A subject with rows in more than one fold or split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Who.
    pub subject: SubjectId,
    /// The folds or splits, ascending.
    pub places: Vec<String>,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.subject, self.places.join(", "))
    }
}

/// Subjects with rows in more than one published fold.
#[must_use]
pub fn subjects_across_folds(rows: &[RowInfo]) -> Vec<Leak> {
    across(rows, |row| row.fold.map(|fold| (fold.0, format!("fold {fold}"))))
}

/// Subjects with rows in more than one published split.
#[must_use]
pub fn subjects_across_splits(rows: &[RowInfo]) -> Vec<Leak> {
    across(rows, |row| row.split.map(|split| (split as u16, split.to_string())))
}

fn across(rows: &[RowInfo], place: impl Fn(&RowInfo) -> Option<(u16, String)>) -> Vec<Leak> {
    let mut places: BTreeMap<&SubjectId, BTreeSet<(u16, String)>> = BTreeMap::new();
    for row in rows {
        if let (Some(subject), Some(place)) = (&row.subject, place(row)) {
            places.entry(subject).or_default().insert(place);
        }
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(subject, places)| Leak {
            subject: subject.clone(),
            places: places.into_iter().map(|(_, name)| name).collect(),
        })
        .collect()
}

/// Rows of the subject that has most.
pub(crate) fn largest_subject(rows: &[RowInfo]) -> usize {
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for number in subject_numbers(rows) {
        *sizes.entry(number).or_default() += 1;
    }
    sizes.into_values().max().unwrap_or_default()
}

/// A number for every subject, from 0 in order of appearance; rows without subject have their own.
pub(crate) fn subject_numbers(rows: &[RowInfo]) -> Vec<usize> {
    let mut known: HashMap<&SubjectId, usize> = HashMap::new();
    let mut next = 0;
    rows.iter()
        .map(|row| {
            let fresh = next;
            let number = match &row.subject {
                Some(subject) => *known.entry(subject).or_insert(fresh),
                None => fresh,
            };
            next += usize::from(number == fresh);
            number
        })
        .collect()
}

/// The data sets of some rows, in order of appearance.
pub(crate) fn set_names(rows: &[RowInfo]) -> Vec<&SetName> {
    let mut names: Vec<&SetName> = Vec::new();
    for set in rows.iter().filter_map(|row| row.set.as_ref()) {
        if !names.contains(&set) {
            names.push(set);
        }
    }
    names
}
