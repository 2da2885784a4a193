//! Rows of two sets whose embeddings are alike, and sets in which that says nothing.

use std::collections::{HashMap, HashSet};

use facefold_core::links::Links;
use ndarray::{Array2, Axis};

use super::{SetName, SetRow, SetRows};
use crate::subjects::{self, COPY};

/// Rows of different named subjects that are compared to see whether likeness distinguishes them.
const COMPARED: usize = 2000;

/// The share of pairs of different subjects alike from which likeness says nothing. Of real faces it is
/// about one in a million; drawn ones are alike in every second pair.
const CONFUSED: f64 = 1e-3;

/// Where likeness says nothing, it also links more than a quarter of all subjects to each other, and more
/// than [`MOST_NAMES`], or all of three or more where there are no more. A person who stands in a set under
/// some names gives pairs that are alike too, though in a group of that size.
const CLUSTER: f64 = 0.25;

/// Names that one person may have.
const MOST_NAMES: usize = 5;

/// A row by the number of its set, and its own.
pub(super) type Place = (usize, usize);

/// What a comparison of all sets by likeness gives.
pub(super) struct Alike {
    /// Pairs of rows of two sets whose embeddings are alike.
    pub pairs: Vec<(Place, Place)>,
    /// Sets in which likeness does not distinguish subjects, which are not compared.
    pub indistinct: Vec<(SetName, f64)>,
}

/// Compares all sets by likeness.
pub(super) fn alike_rows(sets: &[SetRows<'_>], threshold: f32) -> Alike {
    let embedded: Vec<Embedded<'_>> = sets.iter().map(|set| Embedded::of(set)).collect();
    let confused: Vec<Option<f64>> = embedded.iter().map(|set| set.confused(threshold)).collect();
    let distinct = |&(set, _): &(usize, &Embedded<'_>)| confused[set].is_none();
    let mut pairs = Vec::new();
    for (second, others) in embedded.iter().enumerate().filter(distinct) {
        for (first, these) in embedded[..second].iter().enumerate().filter(distinct) {
            let alike = these.alike(others, threshold).into_iter();
            pairs.extend(alike.map(|(row, other)| ((first, row), (second, other))));
        }
    }
    let indistinct = sets.iter().zip(confused);
    let indistinct = indistinct.filter_map(|(set, share)| Some((set.name.clone(), share?)));
    Alike { pairs, indistinct: indistinct.collect() }
}

/// The rows of a set that have an embedding.
struct Embedded<'a> {
    of_set: &'a [SetRow<'a>],
    rows: Vec<usize>,
    /// Their embeddings at length 1.
    directions: Array2<f32>,
}

impl<'a> Embedded<'a> {
    fn of(set: &'a SetRows<'_>) -> Self {
        let rows = set.rows.iter().enumerate();
        let (rows, embeddings): (Vec<usize>, Vec<usize>) =
            rows.filter_map(|(number, row)| Some((number, row.embedded?.1))).unzip();
        Self {
            of_set: &set.rows,
            rows,
            directions: subjects::normalised(set.embeddings, &embeddings),
        }
    }

    /// The share of pairs of rows of different named subjects that are alike, where likeness does not
    /// distinguish them.
    fn confused(&self, threshold: f32) -> Option<f64> {
        let mut seen = HashSet::new();
        let rows = self.rows.iter().enumerate();
        let named: Vec<usize> = rows
            .filter(|&(_, &row)| self.of_set[row].subject.is_some_and(|name| seen.insert(name)))
            .map(|(number, _)| number)
            .take(COMPARED)
            .collect();
        let pairs = named.len() * named.len().saturating_sub(1) / 2;
        let directions = self.directions.select(Axis(0), &named);
        let view = directions.view();
        let alike = subjects::alike(view, view, threshold.min(COPY), |i, j| i < j);
        let alike = alike.into_iter().filter(|&(i, j, cosine)| {
            let [one, two] = [i, j].map(|at| &self.of_set[self.rows[named[at]]]);
            subjects::is_one_subject(cosine, threshold, one.age, two.age)
        });
        let mut links = Links::new(named.len());
        let mut found = 0_usize;
        for (one, other, _) in alike {
            links.join(one, other);
            found += 1;
        }
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        for subject in 0..named.len() {
            *sizes.entry(links.root(subject)).or_default() += 1;
        }
        let largest = sizes.into_values().max().unwrap_or_default();
        let share = found as f64 / pairs as f64;
        let confused = if named.len() <= MOST_NAMES {
            largest > 2 && largest == named.len()
        } else {
            largest > MOST_NAMES && largest as f64 > CLUSTER * named.len() as f64
        };
        (confused && share > CONFUSED).then_some(share)
    }

    /// The rows of two sets that show one subject in different pictures, as their embeddings say.
    fn alike(&self, other: &Self, threshold: f32) -> Vec<(usize, usize)> {
        let (these, those) = (self.directions.view(), other.directions.view());
        let pairs = subjects::alike(these, those, threshold.min(COPY), |_, _| true);
        let pairs = pairs.into_iter().filter_map(|(i, j, cosine)| {
            let (row, other_row) = (self.rows[i], other.rows[j]);
            let (one, two) = (&self.of_set[row], &other.of_set[other_row]);
            let key = |row: &SetRow<'_>| row.embedded.map(|(key, _)| key);
            let is_one = key(one) != key(two)
                && subjects::is_one_subject(cosine, threshold, one.age, two.age);
            is_one.then_some((row, other_row))
        });
        pairs.collect()
    }
}
