//! Metrics on slices of the test rows: by age group, gender, race, quality of the picture,
//! and combinations of two.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use facefold_core::intervals::coverage_probabilities;
use facefold_core::rng::seeded;
use facefold_core::{Familiarity, Task};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::attributes::{Attributes, Grouping};
use crate::calibration::true_ages;
use crate::error::EvaluateError;
use crate::metrics::{Metric, Metrics, PredictedValues};
use crate::predictions::RowPredictions;
use crate::statistics::bootstrap::{Interval, LEVEL, draw_counts, quantile};
use crate::statistics::mean;
use crate::statistics::proportion;
use crate::statistics::sums::{RowScores, numbers};

/// A slice of fewer rows is listed and not measured.
pub const LEAST_ROWS: usize = 30;

/// A slice of fewer subjects is listed and not measured: an interval by subject needs several.
pub const LEAST_SUBJECTS: usize = 10;

const GROUPS: usize = 100;
const DRAWS_IN_GROUP: usize = 20;

/// Number of resampled sets of subjects behind the intervals of slices.
pub const SLICE_DRAWS: usize = GROUPS * DRAWS_IN_GROUP;

/// One head on all slices, by the metric that decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceReport {
    /// The head.
    pub head: String,
    /// Accuracy, or the mean absolute error (where no age is exact, the mean distance to the age
    /// range); averaged over seeds first.
    pub metric: Metric,
    /// Test rows; where some ages are exact, those.
    pub rows: usize,
    /// The metric over all of them.
    pub value: f64,
    /// Resampled sets of subjects behind each interval; the same sets for all slices.
    pub draws: usize,
    /// Attributes and pairs of them that part the rows.
    pub attributes: Vec<AttributeSlices>,
}

/// The rows by one attribute, or by two together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttributeSlices {
    /// `gender`, `gender × race`.
    pub name: String,
    /// Rows of which it is not known.
    pub unknown_rows: usize,
    /// Worst first.
    pub slices: Vec<Slice>,
    /// Slices with too few rows or subjects.
    pub small: Vec<SmallSlice>,
}

/// One part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// What its rows have in common.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Their subjects.
    pub subjects: usize,
    /// The metric on them.
    pub value: f64,
    /// Its 95 % interval by subject.
    pub interval: Interval,
    /// The metric here less the metric on all other test rows.
    pub gap: f64,
    /// Its 95 % interval by subject.
    pub gap_interval: Interval,
    /// The other metrics of the task ([`Metric::secondary`]), averaged over seeds; none in reports
    /// from before they were kept.
    #[serde(default)]
    pub secondary: Vec<(Metric, f64)>,
    /// How the intervals around ages do here, averaged over seeds; none where there are none.
    #[serde(default)]
    pub intervals: Option<SliceIntervals>,
}

/// Intervals around predicted ages on one part of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceIntervals {
    /// Share of true ages inside; for a range its probability inside.
    pub coverage: f64,
    /// Its 95 % interval by subject.
    pub coverage_interval: Interval,
    /// Mean width in years.
    pub width: f64,
    /// Its 95 % interval by subject.
    pub width_interval: Interval,
}

/// A part of the rows that is too small to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallSlice {
    /// What its rows have in common.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Their subjects.
    pub subjects: usize,
}

impl SliceReport {
    /// All slices with the names of their attributes, worst first.
    #[must_use]
    pub fn worst_first(&self) -> Vec<(&str, &Slice)> {
        let mut all: Vec<(&str, &Slice)> = self
            .attributes
            .iter()
            .flat_map(|attribute| attribute.slices.iter().map(|s| (attribute.name.as_str(), s)))
            .collect();
        all.sort_by(|a, b| worse(self.metric, a.1, b.1));
        all
    }
}

/// Orders slices from the worst value to the best; of equal ones the larger comes first.
fn worse(metric: Metric, a: &Slice, b: &Slice) -> Ordering {
    let by_value = a.value.total_cmp(&b.value);
    let by_value = if metric.higher_is_better() { by_value } else { by_value.reverse() };
    by_value.then(b.rows.cmp(&a.rows))
}

/// Measures a head on every slice that the attributes give, and on every pair of attributes that
/// are names. An attribute that does not part the rows is left out.
///
/// Intervals are percentile intervals from [`SLICE_DRAWS`] sets of subjects drawn with
/// replacement, the same for all slices, so a slice and the rest are drawn together. Where a
/// proportion is equal for all subjects of a slice, as where all its rows are right, its interval is
/// the exact one of Clopper and Pearson (1934) with subjects as trials.
///
/// # Errors
/// [`EvaluateError::Incomparable`] where the head has no predictions.
pub fn slices(
    predictions: &RowPredictions,
    head: &str,
    attributes: &Attributes,
    seed: u64,
) -> Result<SliceReport, EvaluateError> {
    let (metric, measured) = predictions.primary();
    let predictions = &if measured.len() == predictions.rows.len() {
        Cow::Borrowed(predictions)
    } else {
        Cow::Owned(predictions.of_rows(&measured))
    };
    let scores = RowScores::of_head(predictions, head)?;
    let values: Vec<f64> = (0..scores.len()).map(|row| scores.of_row(row, metric)).collect();
    let subjects = numbers(&predictions.rows);
    let subject_count = subjects.iter().max().map_or(0, |&last| last + 1);
    let mut groupings = attributes.groupings(&predictions.rows);
    groupings.extend(familiarity(predictions));
    let named: Vec<usize> =
        (0..groupings.len()).filter(|&grouping| groupings[grouping].crossed).collect();
    for (position, &first) in named.iter().enumerate() {
        for &second in &named[position + 1..] {
            let both = groupings[first].with(&groupings[second]);
            groupings.push(both);
        }
    }
    let mut found: Vec<AttributeSlices> = Vec::new();
    let mut rows_of: Vec<Vec<usize>> = Vec::new();
    let head_predictions = HeadPredictions::of_head(predictions, head);
    for grouping in &groupings {
        let (attribute, rows) = parted(grouping, &subjects, &values, &head_predictions)?;
        if attribute.slices.len() + attribute.small.len() > 1 {
            found.push(attribute);
            rows_of.extend(rows);
        }
    }
    let drawn = |values: &[f64], is_proportion: bool| {
        // What is not known of a row does not count.
        let known = |row: &usize| !values[*row].is_nan();
        let part =
            |rows: &Vec<usize>| Part::of(rows.iter().copied().filter(known), &subjects, values);
        let parts: Vec<Part> = rows_of.iter().map(part).collect();
        let whole = Part::of((0..values.len()).filter(known), &subjects, values);
        let mut found = intervals(&parts, &whole, subject_count, seed);
        if is_proportion {
            for (part, (interval, _)) in parts.iter().zip(&mut found) {
                *interval = proportion::interval(part.mean(), *interval, || part.0.len());
            }
        }
        found
    };
    for (slice, (interval, gap)) in every(&mut found).zip(drawn(&values, metric.is_fraction())) {
        slice.interval = interval;
        slice.gap_interval = gap;
    }
    if let Some(checked) = head_predictions.intervals() {
        let both = drawn(&checked.inside, true).into_iter().zip(drawn(&checked.width, false));
        for ((slice, rows), (coverage, width)) in every(&mut found).zip(&rows_of).zip(both) {
            slice.intervals = checked.on(rows, coverage.0, width.0);
        }
    }
    for attribute in &mut found {
        attribute.slices.sort_by(|a, b| worse(metric, a, b));
    }
    Ok(SliceReport {
        head: head.to_owned(),
        metric,
        rows: values.len(),
        value: mean(&values),
        draws: SLICE_DRAWS,
        attributes: found,
    })
}

/// The slices of all attributes.
fn every(attributes: &mut [AttributeSlices]) -> impl Iterator<Item = &mut Slice> {
    attributes.iter_mut().flat_map(|attribute| &mut attribute.slices)
}

/// For each subject of a part of the rows: its number, its rows there and the sum of their values.
struct Part(Vec<(usize, f64, f64)>);

impl Part {
    fn of(rows: impl Iterator<Item = usize>, subjects: &[usize], values: &[f64]) -> Self {
        let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for row in rows {
            let sum = sums.entry(subjects[row]).or_default();
            sum.0 += 1.0;
            sum.1 += values[row];
        }
        Self(sums.into_iter().map(|(subject, (rows, sum))| (subject, rows, sum)).collect())
    }

    fn mean(&self) -> f64 {
        let (rows, total) = self
            .0
            .iter()
            .fold((0.0, 0.0), |(rows, total), subject| (rows + subject.1, total + subject.2));
        total / rows
    }

    /// Rows and sum of values where each subject counts as often as it was drawn.
    fn sums(&self, drawn: &[u32]) -> (f64, f64) {
        self.0.iter().fold((0.0, 0.0), |(all, total), &(subject, rows, sum)| {
            let times = f64::from(drawn[subject]);
            (all + times * rows, total + times * sum)
        })
    }
}

/// A head's predictions under each seed, with the true labels.
struct HeadPredictions<'a> {
    predictions: &'a RowPredictions,
    columns: Vec<&'a PredictedValues>,
    intervals: Vec<Option<&'a [(f32, f32)]>>,
}

/// How intervals do, row by row.
struct CheckedIntervals {
    /// 1 where the true age lies inside, or the probability that one within a range does; not a
    /// number where no age is known.
    inside: Vec<f64>,
    /// In years.
    width: Vec<f64>,
}

impl CheckedIntervals {
    /// The figures of some rows, with their intervals; none where no age is known.
    fn on(
        &self,
        rows: &[usize],
        coverage_interval: Interval,
        width_interval: Interval,
    ) -> Option<SliceIntervals> {
        let of = |values: &[f64]| -> Vec<f64> {
            rows.iter().map(|&row| values[row]).filter(|value| !value.is_nan()).collect()
        };
        let inside = of(&self.inside);
        (!inside.is_empty()).then(|| SliceIntervals {
            coverage: mean(&inside),
            coverage_interval,
            width: mean(&of(&self.width)),
            width_interval,
        })
    }
}

impl<'a> HeadPredictions<'a> {
    fn of_head(predictions: &'a RowPredictions, head: &str) -> Self {
        let columns = || predictions.columns.iter().filter(|column| column.head == head);
        Self {
            predictions,
            columns: columns().map(|column| &column.predicted_values).collect(),
            intervals: columns().map(|column| column.intervals.as_deref()).collect(),
        }
    }

    /// How the intervals around ages do on each row, averaged over seeds.
    fn intervals(&self) -> Option<CheckedIntervals> {
        let all = self.intervals.iter().copied().collect::<Option<Vec<_>>>()?;
        let truth = true_ages(&self.predictions.truth);
        let fractions: Vec<_> =
            all.iter().map(|ends| coverage_probabilities(&truth, ends)).collect();
        let of_seeds =
            |get: &dyn Fn(usize) -> f64| (0..all.len()).map(get).sum::<f64>() / all.len() as f64;
        let inside = |row: usize| of_seeds(&|seed| fractions[seed][row].unwrap_or(f64::NAN));
        let width = |row: usize| of_seeds(&|seed| f64::from(all[seed][row].1 - all[seed][row].0));
        Some(CheckedIntervals {
            inside: (0..truth.len()).map(inside).collect(),
            width: (0..truth.len()).map(width).collect(),
        })
    }

    /// The secondary metrics on some rows, averaged over seeds.
    fn secondary(&self, rows: &[usize]) -> Result<Vec<(Metric, f64)>, EvaluateError> {
        let task = self.predictions.task;
        let truth = self.predictions.truth.select(rows);
        let measured: Vec<Metrics> = self
            .columns
            .iter()
            .filter_map(|predicted_values| {
                Metrics::measure(&predicted_values.of_rows(rows), &truth, task == Task::AgeGroup)
                    .transpose()
            })
            .collect::<Result<_, _>>()?;
        let of_metric = |&metric: &Metric| {
            let values: Vec<f64> =
                measured.iter().map(|metrics| metrics.get(metric)).collect::<Option<_>>()?;
            Some((metric, mean(&values)))
        };
        Ok(Metric::secondary(task).iter().filter_map(of_metric).collect())
    }
}

/// Whether the face of each row is like the training faces, where that is known.
fn familiarity(predictions: &RowPredictions) -> Option<Grouping> {
    let scores = predictions.familiarity.as_ref()?;
    let names: [Arc<str>; 2] = ["familiar".into(), "unfamiliar".into()];
    let name = |&score: &f32| {
        let unfamiliar = score < Familiarity::UNFAMILIAR_BELOW;
        Some(Arc::clone(&names[usize::from(unfamiliar)]))
    };
    let of_row = scores.iter().map(name).collect();
    Some(Grouping { name: "familiarity".to_owned(), of_row, crossed: true })
}

/// The slices of one attribute, without intervals yet, and the rows of each.
fn parted(
    grouping: &Grouping,
    subjects: &[usize],
    values: &[f64],
    head_predictions: &HeadPredictions<'_>,
) -> Result<(AttributeSlices, Vec<Vec<usize>>), EvaluateError> {
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, name) in grouping.of_row.iter().enumerate() {
        if let Some(name) = name {
            rows_of.entry(name).or_default().push(row);
        }
    }
    let total: f64 = values.iter().sum();
    let mut attribute = AttributeSlices {
        name: grouping.name.clone(),
        unknown_rows: grouping.of_row.iter().filter(|name| name.is_none()).count(),
        slices: Vec::new(),
        small: Vec::new(),
    };
    let mut measured = Vec::new();
    for (name, rows) in rows_of {
        let part = Part::of(rows.iter().copied(), subjects, values);
        let (name, own) = (name.to_owned(), part.0.len());
        if rows.len() < LEAST_ROWS || own < LEAST_SUBJECTS {
            attribute.small.push(SmallSlice { name, rows: rows.len(), subjects: own });
            continue;
        }
        let sum: f64 = part.0.iter().map(|&(.., sum)| sum).sum();
        let value = sum / rows.len() as f64;
        let rest = values.len() - rows.len();
        let nothing = Interval { low: value, high: value };
        attribute.slices.push(Slice {
            name,
            rows: rows.len(),
            subjects: own,
            value,
            interval: nothing,
            gap: if rest == 0 { 0.0 } else { value - (total - sum) / rest as f64 },
            gap_interval: nothing,
            secondary: head_predictions.secondary(&rows)?,
            intervals: None,
        });
        measured.push(rows);
    }
    Ok((attribute, measured))
}

/// The interval of each part's mean, and of its gap to the mean of all other rows.
fn intervals(
    parts: &[Part],
    whole: &Part,
    subjects: usize,
    seed: u64,
) -> Vec<(Interval, Interval)> {
    let draws: Vec<Vec<(f64, f64)>> = (0..GROUPS)
        .into_par_iter()
        .flat_map_iter(|group| {
            let mut generator = seeded(seed, &format!("bootstrap {group}"));
            let mut drawn = vec![0; subjects];
            let set = move |_| {
                draw_counts(&mut generator, &mut drawn);
                let (rows, total) = whole.sums(&drawn);
                let of_part = |part: &Part| {
                    let (own, sum) = part.sums(&drawn);
                    let value = sum / own;
                    (value, value - (total - sum) / (rows - own))
                };
                parts.iter().map(of_part).collect()
            };
            (0..DRAWS_IN_GROUP).map(set).collect::<Vec<_>>()
        })
        .collect();
    (0..parts.len())
        .into_par_iter()
        .map(|part| {
            let interval = |get: fn(&(f64, f64)) -> f64| {
                let mut values: Vec<f64> = draws
                    .iter()
                    .map(|draw| get(&draw[part]))
                    .filter(|value| value.is_finite())
                    .collect();
                values.sort_unstable_by(f64::total_cmp);
                let tail = (1.0 - LEVEL) / 2.0;
                Interval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) }
            };
            (interval(|draw| draw.0), interval(|draw| draw.1))
        })
        .collect()
}
