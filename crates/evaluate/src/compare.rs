//! Compares heads on identical rows, and decides which is significantly better, if any.
//!
//! The rule: one head is better when the sign-flip permutation test by subject, corrected by Holm
//! for all pairs compared, gives p < 0.05, and the 95 % bootstrap interval by subject of the
//! difference does not contain 0. Both rest on correctness (0 or 1) or absolute error in years,
//! averaged over seeds first. `McNemar`'s test, the corrected t-test and Wilson's interval are
//! reported as well and decide nothing.
//!
//! Where results name different subjects, rows are one subject if any of the results says so,
//! whichever comes first.

mod subjects;

use std::collections::HashMap;

use facefold_core::{AgeTarget, Targets, Task};
use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;
use crate::metrics::Metric;
use crate::predictions::RowPredictions;
use crate::result::SplitSummary;
use crate::statistics::bootstrap::{Interval, bootstrap};
use crate::statistics::classical::{
    CorrectedT, McNemar, cohens_d, corrected_t, detectable_difference, holm, mcnemar, wilson,
};
use crate::statistics::mean;
use crate::statistics::permutation::{PermutationTest, sign_flip};
use crate::statistics::proportion;
use crate::statistics::sums::{RowScores, SubjectSums};
use crate::summary_text;
use subjects::JoinedSubjects;

/// The p below which a difference counts.
pub const SIGNIFICANCE: f64 = 0.05;

/// A head of a result, to be compared with others.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The name in the comparison; unique, also where heads have the same name.
    pub label: String,
    /// The head's name in the predictions.
    pub head: String,
    /// The predictions of its result.
    pub predictions: &'a RowPredictions,
    /// The splits of its result.
    pub splits: &'a [SplitSummary],
}

/// The comparison of two or more heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The task.
    pub task: Task,
    /// Warnings: how the results differ in more than their heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The primary metric: accuracy, or the mean absolute error; where most ages are ranges, the
    /// mean distance to the age range.
    pub metric: Metric,
    /// Rows that all candidates predicted, with the same truth; of ages those that the metric is
    /// measured on, exact ones or ranges.
    pub rows: usize,
    /// Rows that only some have, or that differ in their truth.
    pub rows_left_out: usize,
    /// Those of them that all have, with other truths.
    #[serde(default)]
    pub rows_with_other_labels: usize,
    /// Subjects of the common rows, as all results together name them.
    pub subjects: usize,
    /// Each candidate on the common rows.
    pub candidates: Vec<CandidateScore>,
    /// Every pair of candidates.
    pub pairs: Vec<PairComparison>,
}

/// One candidate on the common rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateScore {
    /// Its name.
    pub label: String,
    /// Number of seeds averaged over.
    pub seeds: usize,
    /// Its value of the primary metric.
    pub value: f64,
    /// 95 % interval by subject; exact where an accuracy is equal for all subjects.
    pub interval: Interval,
    /// Wilson's 95 % interval, which takes rows as independent; for accuracy, each picture tested
    /// once.
    pub wilson: Option<Interval>,
}

/// The decision of a paired comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The first head is significantly better.
    FirstBetter,
    /// The second head is significantly better.
    SecondBetter,
    /// No significant difference.
    Undecided,
}

/// Two candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairComparison {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// First less second, in the metric's own unit (a fraction, or years).
    pub difference: f64,
    /// 95 % bootstrap interval by subject of the difference.
    pub interval: Interval,
    /// Bootstrap standard error by subject of the difference.
    pub standard_error: f64,
    /// The sign-flip test by subject.
    pub permutation: PermutationTest,
    /// Its p after Holm's correction for all pairs of this comparison.
    pub adjusted_p: f64,
    /// `McNemar`'s test; for classes under one seed each, each picture tested once.
    pub mcnemar: Option<McNemar>,
    /// The corrected resampled t-test over folds; where there are several, the same in both.
    pub corrected_t: Option<CorrectedT>,
    /// Cohen's d of the subjects' mean differences.
    pub cohens_d: Option<f64>,
    /// The minimum detectable difference at 80 % power.
    pub minimum_detectable_difference: f64,
    /// The decision.
    pub decision: Decision,
    /// The decision in a sentence.
    pub summary: String,
}

/// Compares every pair of candidates on the rows that all of them predicted.
///
/// # Errors
/// [`EvaluateError::Incomparable`] with fewer than two candidates, two of one label, other tasks
/// or classes, or no common row.
pub fn compare(candidates: &[Candidate<'_>], seed: u64) -> Result<Comparison, EvaluateError> {
    let common = Common::new(candidates)?;
    let metric = common.metric;
    let mut scored = Vec::new();
    for (candidate, rows) in candidates.iter().zip(&common.rows_of) {
        let scores = RowScores::of_head(candidate.predictions, &candidate.head)?;
        let values: Vec<f64> = rows.iter().map(|&row| scores.of_row(row, metric)).collect();
        let sums = SubjectSums::of_values(&common.subjects.numbers, &values);
        let columns =
            candidate.predictions.columns.iter().filter(|column| column.head == candidate.head);
        let (value, drawn, _) = mean_by_subject(&sums, seed);
        let score = CandidateScore {
            label: candidate.label.clone(),
            seeds: columns.count(),
            value,
            interval: if metric.is_fraction() {
                proportion::interval(value, drawn, || sums.subjects())
            } else {
                drawn
            },
            wilson: (metric == Metric::Accuracy && !common.repeats)
                .then(|| wilson(value, values.len())),
        };
        scored.push((score, values));
    }
    let mut pairs = Vec::new();
    for first in 0..candidates.len() {
        for second in first + 1..candidates.len() {
            let ratio = common.test_to_train(&candidates[first], &candidates[second]);
            pairs.push(common.pair(metric, &scored[first], &scored[second], ratio, seed));
        }
    }
    let p_values: Vec<f64> = pairs.iter().map(|pair| pair.permutation.p_value).collect();
    for (pair, adjusted) in pairs.iter_mut().zip(holm(&p_values)) {
        pair.adjusted_p = adjusted;
        pair.decide(common.task, metric);
    }
    Ok(Comparison {
        task: common.task,
        warnings: common.warnings(candidates),
        metric,
        rows: common.splits.len(),
        rows_left_out: common.left_out,
        rows_with_other_labels: common.other_truth,
        subjects: common.subjects.count,
        candidates: scored.into_iter().map(|(score, _)| score).collect(),
        pairs,
    })
}

fn mean_by_subject(sums: &SubjectSums, seed: u64) -> (f64, Interval, f64) {
    let estimate = bootstrap(sums, &|totals| vec![totals[1] / totals[0]], seed)[0];
    (estimate.estimate, estimate.interval, estimate.standard_error)
}

/// The rows that all candidates predicted.
struct Common<'a> {
    task: Task,
    metric: Metric,
    /// For each candidate the numbers of the common rows in its predictions, all in one order.
    rows_of: Vec<Vec<usize>>,
    /// Who is in the common rows.
    subjects: JoinedSubjects,
    /// The split of each common row in the first candidate's result.
    splits: Vec<&'a str>,
    left_out: usize,
    /// Rows of all candidates whose truths differ.
    other_truth: usize,
    /// Whether pictures occur in several common rows.
    repeats: bool,
}

impl<'a> Common<'a> {
    fn new(candidates: &[Candidate<'a>]) -> Result<Self, EvaluateError> {
        let incomparable = |message: String| Err(EvaluateError::Incomparable(message));
        let [first, others @ ..] = candidates else {
            return incomparable("expected at least two heads, found none".to_owned());
        };
        if others.is_empty() {
            return incomparable(format!(
                "expected at least two heads, found only `{}`",
                first.label
            ));
        }
        for (index, other) in candidates.iter().enumerate() {
            if candidates[..index].iter().any(|before| before.label == other.label) {
                return incomparable(format!("two heads are called `{}`", other.label));
            }
            let (a, b) = (first.predictions, other.predictions);
            if (a.task, &a.classes) != (b.task, &b.classes) {
                return incomparable(format!(
                    "`{}` predicts {} ({}), `{}` predicts {} ({})",
                    first.label,
                    a.task,
                    a.classes.join(", "),
                    other.label,
                    b.task,
                    b.classes.join(", ")
                ));
            }
        }
        let indices: Vec<HashMap<(&str, usize), usize>> =
            candidates.iter().map(|candidate| by_path(candidate.predictions)).collect();
        let mut rows_of = vec![Vec::new(); candidates.len()];
        let mut splits = Vec::new();
        let turns = turns(first.predictions);
        let (mut other_truth, mut repeats) = (0, false);
        for (row, (info, &turn)) in first.predictions.rows.iter().zip(&turns).enumerate() {
            let key = (&*info.path, turn);
            let found: Option<Vec<usize>> =
                indices.iter().map(|index| index.get(&key).copied()).collect();
            let Some(found) = found else { continue };
            let (truth, mut others) = (&first.predictions.truth, candidates.iter().zip(&found));
            if !others.all(|(other, &at)| same_truth(truth, row, &other.predictions.truth, at)) {
                other_truth += 1;
                continue;
            }
            for (rows, row) in rows_of.iter_mut().zip(found) {
                rows.push(row);
            }
            splits.push(&*info.split);
            repeats |= turn > 0;
        }
        if splits.is_empty() {
            return incomparable(
                "no row was predicted by all heads with the same label".to_owned(),
            );
        }
        let mut all: Vec<(&str, usize)> =
            indices.iter().flat_map(|index| index.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        let left_out = all.len() - splits.len();
        let truth = first.predictions.truth.select(&rows_of[0]);
        let metric = Metric::primary(first.predictions.task, &truth);
        if let Targets::Regression(ages) = &truth {
            keep_deciding(metric, ages, &mut splits);
            for rows in &mut rows_of {
                keep_deciding(metric, ages, rows);
            }
        }
        Ok(Self {
            task: first.predictions.task,
            metric,
            left_out,
            other_truth,
            subjects: JoinedSubjects::new(candidates, &rows_of),
            rows_of,
            splits,
            repeats,
        })
    }

    /// The warnings where rows are left out, and where results have different subjects.
    fn warnings(&self, candidates: &[Candidate<'_>]) -> Vec<String> {
        let (left_out, other_truth) = (self.left_out, self.other_truth);
        let rows = (left_out > 0).then(|| {
            format!(
                "{left_out} rows are left out: {} that only some results have, and {other_truth} whose \
                 label differs between them.",
                left_out - other_truth
            )
        });
        rows.into_iter().chain(self.subjects.warning(candidates)).collect()
    }

    /// The quotient of test to training rows where both candidates have the same splits.
    fn test_to_train(&self, first: &Candidate<'_>, second: &Candidate<'_>) -> Option<f64> {
        let same = first.splits == second.splits && self.left_out == 0;
        let total = |get: fn(&SplitSummary) -> usize| -> f64 {
            first.splits.iter().map(get).sum::<usize>() as f64
        };
        let train = total(|split| split.train);
        (same && train > 0.0).then(|| total(|split| split.test) / train)
    }

    fn pair(
        &self,
        metric: Metric,
        (first, a): &(CandidateScore, Vec<f64>),
        (second, b): &(CandidateScore, Vec<f64>),
        test_to_train: Option<f64>,
        seed: u64,
    ) -> PairComparison {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let sums = SubjectSums::of_values(&self.subjects.numbers, &differences);
        let (difference, interval, standard_error) = mean_by_subject(&sums, seed);
        let by_subject: Vec<f64> = (0..sums.subjects())
            .map(|subject| sums.subject(subject)[1] / sums.subject(subject)[0])
            .collect();
        let single =
            first.seeds == 1 && second.seeds == 1 && !self.repeats && metric == Metric::Accuracy;
        let only = |sign: f64| differences.iter().filter(|&&d| d * sign > 0.5).count() as u64;
        PairComparison {
            first: first.label.clone(),
            second: second.label.clone(),
            difference,
            interval,
            standard_error,
            permutation: sign_flip(&sums, seed),
            adjusted_p: 1.0,
            mcnemar: single.then(|| mcnemar(only(1.0), only(-1.0))),
            corrected_t: test_to_train
                .and_then(|ratio| corrected_t(&self.fold_means(&differences), ratio)),
            cohens_d: cohens_d(&by_subject),
            minimum_detectable_difference: detectable_difference(standard_error),
            decision: Decision::Undecided,
            summary: String::new(),
        }
    }

    fn fold_means(&self, differences: &[f64]) -> Vec<f64> {
        let mut folds: Vec<(&str, Vec<f64>)> = Vec::new();
        for (&split, &difference) in self.splits.iter().zip(differences) {
            match folds.iter_mut().find(|(name, _)| *name == split) {
                Some((_, values)) => values.push(difference),
                None => folds.push((split, vec![difference])),
            }
        }
        folds.iter().map(|(_, values)| mean(values)).collect()
    }
}

/// Keeps what belongs to an age that the metric is measured on: an exact one, or a range.
fn keep_deciding<T>(metric: Metric, ages: &[AgeTarget], values: &mut Vec<T>) {
    let mut ages = ages.iter();
    values.retain(|_| ages.next().is_some_and(|age| age.is_range() == metric.of_ranges()));
}

/// Where each picture's predictions are; a picture that several splits test has several.
fn by_path(predictions: &RowPredictions) -> HashMap<(&str, usize), usize> {
    let turns = turns(predictions).into_iter();
    let keys = predictions.rows.iter().zip(turns).map(|(info, turn)| (&*info.path, turn));
    keys.enumerate().map(|(row, key)| (key, row)).collect()
}

/// For each row how many rows before it show the same picture.
fn turns(predictions: &RowPredictions) -> Vec<usize> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let rows = predictions.rows.iter();
    rows.map(|info| {
        let count = seen.entry(&info.path).or_insert(0);
        *count += 1;
        *count - 1
    })
    .collect()
}

fn same_truth(a: &Targets, row: usize, b: &Targets, other: usize) -> bool {
    match (a, b) {
        (Targets::Classes { indices: a, .. }, Targets::Classes { indices: b, .. }) => {
            a[row] == b[other]
        }
        (Targets::Regression(a), Targets::Regression(b)) => a[row] == b[other],
        _ => false,
    }
}

impl PairComparison {
    fn decide(&mut self, task: Task, metric: Metric) {
        let decided = self.adjusted_p < SIGNIFICANCE && !self.interval.contains(0.0);
        self.decision = match (decided, (self.difference > 0.0) == metric.higher_is_better()) {
            (false, _) => Decision::Undecided,
            (true, true) => Decision::FirstBetter,
            (true, false) => Decision::SecondBetter,
        };
        self.summary = summary_text::of_pair(task, metric, self);
    }
}

impl Comparison {
    /// The candidates from best to worst; of equal ones in the given order.
    #[must_use]
    pub fn ranked(&self) -> Vec<&CandidateScore> {
        let sign = if self.metric.higher_is_better() { -1.0 } else { 1.0 };
        let mut ranked: Vec<&CandidateScore> = self.candidates.iter().collect();
        ranked.sort_by(|a, b| (sign * a.value).total_cmp(&(sign * b.value)));
        ranked
    }

    /// The comparison of the best candidate with the next best one.
    #[must_use]
    pub fn leading_pair(&self) -> Option<&PairComparison> {
        let ranked = self.ranked();
        let [best, next, ..] = ranked.as_slice() else { return None };
        let wanted = [&best.label, &next.label];
        let both = |pair: &&PairComparison| {
            wanted.contains(&&pair.first) && wanted.contains(&&pair.second)
        };
        self.pairs.iter().find(both)
    }

    /// The decision on one of its pairs in a sentence.
    #[must_use]
    pub fn sentence(&self, pair: &PairComparison) -> String {
        summary_text::of_pair(self.task, self.metric, pair)
    }

    /// The decision on the best candidate and the next best one, in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        self.leading_pair().map_or_else(String::new, |pair| self.sentence(pair))
    }
}
