//! Distributions of age, gender and subject sizes, as bars with names.

use std::collections::BTreeMap;

use facefold_core::{AgeLabel, Sample};
use serde::Serialize;

use super::gender_label;
use crate::policy::AgeLabelling;
use crate::tally::Tally;

/// Age strings that get a bar of their own; the rarer ones share one.
const MOST_AGE_BARS: usize = 12;

/// Width of a bar of ages in years.
const BIN_YEARS: usize = 5;

/// The last bar of ages in years has no upper end: older faces are few in every set.
const LAST_BIN: usize = 90 / BIN_YEARS;

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// What it counts.
    pub label: String,
    /// How many.
    pub count: usize,
}

/// Counts in an order that means something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// What is counted, by what: `samples by gender`.
    pub title: String,
    /// The bars, from left to right; empty where the set has no such labels.
    pub bars: Vec<Bar>,
}

/// The three main distributions of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histograms {
    /// Samples by age: bins of five years where the set is labelled in years, else age strings.
    pub age: Histogram,
    /// Samples by gender.
    pub gender: Histogram,
    /// Subjects by their number of samples, in bins that double.
    pub subject_sizes: Histogram,
}

impl Histograms {
    pub(super) fn of(samples: &[Sample]) -> Self {
        Self {
            age: match AgeLabelling::of(samples) {
                AgeLabelling::Years => by_years(samples),
                AgeLabelling::Ranges => by_age_string(samples),
            },
            gender: by_gender(samples),
            subject_sizes: by_subject_size(samples),
        }
    }
}

impl Histogram {
    /// All that is counted.
    #[must_use]
    pub fn total(&self) -> usize {
        self.bars.iter().map(|bar| bar.count).sum()
    }

    fn push(&mut self, label: impl Into<String>, count: usize) {
        self.bars.push(Bar { label: label.into(), count });
    }

    fn push_unless_zero(&mut self, label: &str, count: usize) {
        if count > 0 {
            self.push(label, count);
        }
    }
}

fn by_years(samples: &[Sample]) -> Histogram {
    let mut bins: Vec<usize> = Vec::new();
    let (mut ranges, mut unknown) = (0, 0);
    for sample in samples {
        match AgeLabel::parse(&sample.raw_age) {
            AgeLabel::Years(years) => {
                let bin = (years as usize / BIN_YEARS).min(LAST_BIN);
                bins.resize(bins.len().max(bin + 1), 0);
                bins[bin] += 1;
            }
            AgeLabel::Range(..) => ranges += 1,
            AgeLabel::Unknown => unknown += 1,
        }
    }
    let mut histogram = Histogram { title: "samples by age in years".to_owned(), bars: Vec::new() };
    for (bin, count) in bins.into_iter().enumerate() {
        let low = bin * BIN_YEARS;
        let label = if bin == LAST_BIN {
            format!("{low}+")
        } else {
            format!("{low}-{}", low + BIN_YEARS - 1)
        };
        histogram.push(label, count);
    }
    histogram.push_unless_zero("ranges", ranges);
    histogram.push_unless_zero("unknown", unknown);
    histogram
}

fn by_age_string(samples: &[Sample]) -> Histogram {
    let mut known = Tally::default();
    let mut unknown = 0;
    for sample in samples {
        match AgeLabel::parse(&sample.raw_age) {
            AgeLabel::Unknown => unknown += 1,
            _ => known.add(&sample.raw_age, None),
        }
    }
    let table = known.table_by_age(&[]);
    let mut counts: Vec<usize> = table.iter().map(|row| row.total).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let least = counts.get(MOST_AGE_BARS - 1).copied().unwrap_or(0);
    let mut histogram = Histogram { title: "samples by age label".to_owned(), bars: Vec::new() };
    let mut other = 0;
    for row in table {
        // Labels as rare as the last one shown may not all fit.
        if row.total >= least && histogram.bars.len() < MOST_AGE_BARS {
            histogram.push(row.label, row.total);
        } else {
            other += row.total;
        }
    }
    histogram.push_unless_zero("other", other);
    histogram.push_unless_zero("unknown", unknown);
    histogram
}

fn by_gender(samples: &[Sample]) -> Histogram {
    let mut histogram = Histogram { title: "samples by gender".to_owned(), bars: Vec::new() };
    for label in ["female", "male", "unknown"] {
        let count = samples.iter().filter(|sample| gender_label(sample) == label).count();
        histogram.push(label, count);
    }
    histogram
}

fn by_subject_size(samples: &[Sample]) -> Histogram {
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for subject in samples.iter().filter_map(|sample| sample.subject.as_ref()) {
        *sizes.entry(subject).or_default() += 1;
    }
    let mut bins: Vec<usize> = Vec::new();
    for size in sizes.into_values() {
        let bin = size.ilog2() as usize;
        bins.resize(bins.len().max(bin + 1), 0);
        bins[bin] += 1;
    }
    let mut histogram =
        Histogram { title: "subjects by number of samples".to_owned(), bars: Vec::new() };
    for (bin, count) in bins.into_iter().enumerate() {
        let low = 1_usize << bin;
        let high = 2 * low - 1;
        let label = if low == high { low.to_string() } else { format!("{low}-{high}") };
        histogram.push(label, count);
    }
    histogram
}

#[cfg(test)]
mod tests {
    use facefold_core::{Sample, SubjectId};

    use super::{Histogram, Histograms};

    fn of(ages: &[&str]) -> Histograms {
        let sample = |(index, age): (usize, &&str)| Sample {
            raw_age: (*age).to_owned(),
            subject: Some(SubjectId::new(if index < 3 { "many" } else { "few" })),
            ..Sample::unlabelled("x.jpg")
        };
        Histograms::of(&ages.iter().enumerate().map(sample).collect::<Vec<_>>())
    }

    fn bars(histogram: &Histogram) -> Vec<(&str, usize)> {
        histogram.bars.iter().map(|bar| (bar.label.as_str(), bar.count)).collect()
    }

    #[test]
    fn ages_are_binned_completely() {
        let found = of(&["4", "5", "9", "12", "(0, 2)", "None", "90", "116"]);
        let ages = bars(&found.age);
        assert_eq!(ages[..3], [("0-4", 1), ("5-9", 2), ("10-14", 1)]);
        assert_eq!(ages[18..], [("90+", 2), ("ranges", 1), ("unknown", 1)]);
        assert_eq!(bars(&found.gender), [("female", 0), ("male", 0), ("unknown", 8)]);
        assert_eq!(bars(&found.subject_sizes), [("1", 0), ("2-3", 1), ("4-7", 1)]);
    }

    #[test]
    fn rare_age_strings_share_a_bar() {
        let mut ages = vec!["(0, 2)", "(0, 2)", "", "(60, 100)", "(60, 100)"];
        let odd: Vec<String> = (20..33).map(|age| age.to_string()).collect();
        ages.extend(odd.iter().map(String::as_str));
        ages.extend(["(1, 3)"; 14]);
        let found = of(&ages);
        assert_eq!(found.age.total(), ages.len());
        let bars = bars(&found.age);
        assert_eq!(bars[0], ("(0, 2)", 2));
        assert_eq!(bars[1], ("(1, 3)", 14));
        assert_eq!(bars[bars.len() - 1], ("unknown", 1));
        assert_eq!(bars[bars.len() - 2].0, "other");
    }
}
