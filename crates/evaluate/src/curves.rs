//! Curves of a head's predictions: ROC curves with the area under them, and predicted against true ages.

use facefold_core::Targets;
use serde::{Deserialize, Serialize};

use crate::metrics::PredictedValues;

/// A point of a ROC curve is left out where neither rate is this far from the point before it.
const STEP: f64 = 0.005;

/// Years in a bin of [`AgeHistogram`].
const BIN_YEARS: f32 = 2.0;

/// The ROC curve of one class against all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RocCurve {
    /// The class's index.
    pub class: usize,
    /// The area under it.
    pub auc: f64,
    /// False and true positive rate, from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
}

/// How many rows have which true and which predicted age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeHistogram {
    /// Years in a bin, in both directions; the first bin begins at 0.
    pub bin_years: f32,
    /// Bin of the true age, bin of the predicted age, and the rows there.
    pub bins: Vec<(u32, u32, u64)>,
}

/// The area under the ROC curve by ranks (Mann and Whitney 1947); equal scores count one half. `None`
/// without a negative or a positive.
pub(crate) fn auc(mut negatives: Vec<f32>, positives: &[f32]) -> Option<f64> {
    if negatives.is_empty() || positives.is_empty() {
        return None;
    }
    negatives.sort_unstable_by(f32::total_cmp);
    let below = |&score: &f32| {
        let less = negatives.partition_point(|&other| other < score);
        let no_more = negatives.partition_point(|&other| other <= score);
        (less + no_more) as f64 / 2.0
    };
    let sum: f64 = positives.iter().map(below).sum();
    Some(sum / (negatives.len() * positives.len()) as f64)
}

/// The classes whose curves are drawn: of two the second, as the first one's is the same.
fn drawn(classes: usize) -> std::ops::Range<usize> {
    if classes == 2 { 1..2 } else { 0..classes }
}

/// The scores of a class in rows of other classes, and in its own.
fn scores_of(class: usize, probabilities: &[f32], truth: &[usize], count: usize) -> [Vec<f32>; 2] {
    let mut scores = [Vec::new(), Vec::new()];
    for (row, &of_row) in probabilities.chunks_exact(count).zip(truth) {
        scores[usize::from(of_row == class)].push(row[class]);
    }
    scores
}

/// The area under the ROC curve; of more than two classes the mean over classes against all others,
/// as far as they have rows. `probabilities` has `count` values a row.
pub(crate) fn mean_auc(probabilities: &[f32], truth: &[usize], count: usize) -> Option<f64> {
    let areas: Vec<f64> = drawn(count)
        .filter_map(|class| {
            let [negatives, positives] = scores_of(class, probabilities, truth, count);
            auc(negatives, &positives)
        })
        .collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// The ROC curves of all classes that have rows and are not all; none for ages.
#[must_use]
pub fn roc_curves(predicted_values: &PredictedValues, targets: &Targets) -> Vec<RocCurve> {
    let (PredictedValues::Classes { probabilities, .. }, Targets::Classes { indices, count }) =
        (predicted_values, targets)
    else {
        return Vec::new();
    };
    let curve = |class| {
        let [negatives, positives] = scores_of(class, probabilities, indices, *count);
        let points = points(&negatives, &positives);
        Some(RocCurve { class, auc: auc(negatives, &positives)?, points })
    };
    drawn(*count).filter_map(curve).collect()
}

fn points(negatives: &[f32], positives: &[f32]) -> Vec<(f64, f64)> {
    let scored = |scores: &[f32], positive| -> Vec<(f32, bool)> {
        scores.iter().map(|&score| (score, positive)).collect()
    };
    let mut all = [scored(negatives, false), scored(positives, true)].concat();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = vec![(0.0, 0.0)];
    let mut counts = [0_usize; 2];
    for (number, &(score, positive)) in all.iter().enumerate() {
        counts[usize::from(positive)] += 1;
        // Rows of one score pass together.
        if all.get(number + 1).is_some_and(|next| next.0 == score) {
            continue;
        }
        let rate = |hits: usize, of: &[f32]| hits as f64 / of.len().max(1) as f64;
        let point = (rate(counts[0], negatives), rate(counts[1], positives));
        let last = points.last().copied().unwrap_or_default();
        let far = point.0 - last.0 >= STEP || point.1 - last.1 >= STEP;
        if far || number + 1 == all.len() {
            points.push(point);
        }
    }
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    points.into_iter().map(|(x, y)| (rounded(x), rounded(y))).collect()
}

impl AgeHistogram {
    /// Of the rows with an exact age; `None` where there is none, or for classes.
    #[must_use]
    pub fn of(predicted_values: &PredictedValues, targets: &Targets) -> Option<Self> {
        let (PredictedValues::Regression(predicted), Targets::Regression(truth)) =
            (predicted_values, targets)
        else {
            return None;
        };
        let bin = |years: f32| (years.max(0.0) / BIN_YEARS) as u32;
        let mut counts = std::collections::BTreeMap::<(u32, u32), u64>::new();
        for (&predicted, age) in predicted.iter().zip(truth) {
            if let Some(age) = age.exact_years() {
                *counts.entry((bin(age), bin(predicted))).or_default() += 1;
            }
        }
        let bins = counts.into_iter().map(|((truth, predicted), rows)| (truth, predicted, rows));
        let bins: Vec<_> = bins.collect();
        (!bins.is_empty()).then_some(Self { bin_years: BIN_YEARS, bins })
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::Targets;

    use super::{AgeHistogram, roc_curves};
    use crate::metrics::PredictedValues;

    // from sklearn.metrics import roc_curve, roc_auc_score
    // y, p = [0, 0, 1, 1, 0, 1], [.1, .4, .35, .8, .4, .9]
    // np.transpose(roc_curve(y, p, drop_intermediate=False)[:2]), roc_auc_score(y, p)
    #[test]
    fn roc_curves_match_scikit_learn() {
        let second = [0.1_f32, 0.4, 0.35, 0.8, 0.4, 0.9];
        let predicted_values = PredictedValues::Classes {
            predicted: second.iter().map(|&p| usize::from(p > 0.5)).collect(),
            probabilities: second.iter().flat_map(|&p| [1.0 - p, p]).collect(),
        };
        let targets = Targets::Classes { indices: vec![0, 0, 1, 1, 0, 1], count: 2 };
        let curves = roc_curves(&predicted_values, &targets);
        assert_eq!(curves.len(), 1);
        assert!((curves[0].auc - 0.777_777_777_777_777_8).abs() < 1e-12);
        let expected =
            [(0.0, 0.0), (0.0, 0.3333), (0.0, 0.6667), (0.6667, 0.6667), (0.6667, 1.0), (1.0, 1.0)];
        assert_eq!(curves[0].points, expected);
    }

    #[test]
    fn ages_fall_into_bins_of_two_years() {
        let predicted_values = PredictedValues::Regression(vec![-3.0, 21.9, 20.0, 50.0]);
        let ages = ["1", "22", "23.5", "20-29"].map(|age| age.parse().unwrap());
        let histogram = AgeHistogram::of(&predicted_values, &Targets::Regression(ages.to_vec()));
        assert_eq!(histogram.unwrap().bins, [(0, 0, 1), (11, 10, 2)]);
    }
}
