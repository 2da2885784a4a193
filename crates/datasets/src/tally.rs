//! Counts of labels by fold, in natural order.

use std::collections::BTreeMap;

use facefold_core::{AgeLabel, Fold};
use serde::{Deserialize, Serialize};

/// How often each label occurs in each fold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<String, BTreeMap<Option<Fold>, usize>>,
}

/// One label's row of a table of labels by folds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// All its rows, those without a fold too.
    pub total: usize,
    /// Its rows in each fold, in the order of the given folds.
    pub per_fold: Vec<usize>,
}

impl Tally {
    /// Counts one row more.
    pub fn add(&mut self, label: &str, fold: Option<Fold>) {
        if let Some(folds) = self.counts.get_mut(label) {
            *folds.entry(fold).or_default() += 1;
        } else {
            self.counts.insert(label.to_owned(), BTreeMap::from([(fold, 1)]));
        }
    }

    /// Rows with this label in all folds and in none.
    #[must_use]
    pub fn total(&self, label: &str) -> usize {
        self.counts.get(label).map_or(0, |folds| folds.values().sum())
    }

    /// Rows with this label in one fold.
    #[must_use]
    pub fn in_fold(&self, label: &str, fold: Fold) -> usize {
        self.counts.get(label).and_then(|folds| folds.get(&Some(fold))).copied().unwrap_or(0)
    }

    /// The labels, in the order of their text.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// A table with a row a label, in the order of their text.
    #[must_use]
    pub fn table(&self, folds: &[Fold]) -> Vec<LabelCount> {
        let labels: Vec<&str> = self.labels().collect();
        self.table_of(&labels, folds)
    }

    /// A table with exactly these labels, in this order.
    #[must_use]
    pub fn table_of<S: AsRef<str>>(&self, labels: &[S], folds: &[Fold]) -> Vec<LabelCount> {
        let row = |label: &str| LabelCount {
            label: label.to_owned(),
            total: self.total(label),
            per_fold: folds.iter().map(|&fold| self.in_fold(label, fold)).collect(),
        };
        labels.iter().map(|label| row(label.as_ref())).collect()
    }

    /// A table of raw age strings, youngest first by the mean of their numbers; what is no age
    /// comes last.
    #[must_use]
    pub fn table_by_age(&self, folds: &[Fold]) -> Vec<LabelCount> {
        let mut labels: Vec<&str> = self.labels().collect();
        let age = |label: &&str| mean_years(AgeLabel::parse(label)).unwrap_or(f32::INFINITY);
        labels.sort_by(|a, b| age(a).total_cmp(&age(b)).then_with(|| a.cmp(b)));
        self.table_of(&labels, folds)
    }
}

/// The number of years, or the mean of the two numbers of a range.
pub(crate) fn mean_years(label: AgeLabel) -> Option<f32> {
    match label {
        AgeLabel::Years(years) => Some(years),
        AgeLabel::Range(low, high) => Some(f32::midpoint(low as f32, high as f32)),
        AgeLabel::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::Fold;

    use super::Tally;

    #[test]
    fn orders_ages_by_age_and_counts_rows_without_a_fold() {
        let mut tally = Tally::default();
        for (label, fold) in
            [("None", Some(0)), ("(8, 12)", Some(1)), ("35", None), ("(0, 2)", None)]
        {
            tally.add(label, fold.map(Fold));
        }
        tally.add("35", Some(Fold(1)));
        let table = tally.table_by_age(&[Fold(0), Fold(1)]);
        let labels: Vec<&str> = table.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["(0, 2)", "(8, 12)", "35", "None"]);
        assert_eq!((table[2].total, table[2].per_fold.as_slice()), (2, [0, 1].as_slice()));
    }
}
