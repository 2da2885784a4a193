//! Who is one subject where several results are compared.

use std::collections::HashMap;
use std::ptr;

use facefold_core::links::Links;

use super::Candidate;

/// The subjects of the common rows: rows are one subject where any result says so.
///
/// A name means something inside its own result only: results are joined by their rows, not by
/// equal names.
pub(super) struct JoinedSubjects {
    /// A number for the subject of each common row, from 0 in order of appearance.
    pub(super) numbers: Vec<usize>,
    /// The number of subjects.
    pub(super) count: usize,
    /// The first candidate of each result, and how many subjects the result has in the common rows.
    of_results: Vec<(usize, usize)>,
}

impl JoinedSubjects {
    /// `rows_of` has for each candidate the numbers of the common rows in its predictions, all in
    /// one order.
    pub(super) fn new(candidates: &[Candidate<'_>], rows_of: &[Vec<usize>]) -> Self {
        let rows = rows_of.first().map_or(0, Vec::len);
        let mut links = Links::new(rows);
        let mut of_results = Vec::new();
        for (number, (candidate, own)) in candidates.iter().zip(rows_of).enumerate() {
            let same_result =
                |other: &Candidate<'_>| ptr::eq(other.predictions, candidate.predictions);
            if candidates[..number].iter().any(same_result) {
                continue;
            }
            let mut known: HashMap<&str, usize> = HashMap::new();
            for (place, &row) in own.iter().enumerate() {
                let subject = &*candidate.predictions.rows[row].subject;
                links.join(*known.entry(subject).or_insert(place), place);
            }
            of_results.push((number, known.len()));
        }
        let (mut numbers, mut count) = (Vec::with_capacity(rows), 0);
        for row in 0..rows {
            // The smallest row of its set.
            let root = links.root(row);
            if root == row {
                numbers.push(count);
                count += 1;
            } else {
                numbers.push(numbers[root]);
            }
        }
        Self { numbers, count, of_results }
    }

    /// The warning where results have different subjects.
    pub(super) fn warning(&self, candidates: &[Candidate<'_>]) -> Option<String> {
        // They are as many as those of each result only where all results have the same.
        let differ = self.of_results.iter().any(|&(_, count)| count != self.count);
        differ.then(|| {
            let each = self.of_results.iter();
            let each = each.map(|&(first, count)| format!("`{}`: {count}", candidates[first].label));
            format!(
                "The results name different subjects in the common rows: {}. Rows are one subject where any of \
                 the results says so, which gives {}.",
                each.collect::<Vec<_>>().join("; "),
                self.count
            )
        })
    }
}
