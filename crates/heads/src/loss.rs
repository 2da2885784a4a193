//! Losses with their gradients, computed in closed form so that no logit is too large for them.

use std::ops::Range;

use facefold_core::LAST_YEAR;

/// Years of the label distribution: 0 to 116.
pub(crate) const YEARS: usize = LAST_YEAR as usize + 1;

/// A batch's loss and its gradient by the outputs, in the outputs' layout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loss {
    /// Mean over the batch.
    pub(crate) value: f64,
    /// Derivative of the mean by each output.
    pub(crate) gradient: Vec<f32>,
}

/// Writes the softmax of `logits` into `out` and returns the log of the normaliser.
pub(crate) fn softmax(logits: &[f32], out: &mut [f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for (out, &logit) in out.iter_mut().zip(logits) {
        *out = (logit - largest).exp();
        sum += f64::from(*out);
    }
    for out in out.iter_mut() {
        *out = (f64::from(*out) / sum) as f32;
    }
    f64::from(largest) + sum.ln()
}

/// Cross-entropy against soft targets: -sum q log softmax(z) / sum q.
///
/// `soft` has one non-negative weight per row and class; a row's weights may sum to anything,
/// which is how class weights enter.
pub(crate) fn cross_entropy(logits: &[f32], soft: &[f32], classes: usize) -> Loss {
    let total = soft.iter().map(|&q| f64::from(q)).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut gradient = vec![0.0; logits.len()];
    let mut value = 0.0;
    for ((z, q), gradient) in
        logits.chunks(classes).zip(soft.chunks(classes)).zip(gradient.chunks_mut(classes))
    {
        let normaliser = softmax(z, gradient);
        let weight: f32 = q.iter().sum();
        for ((gradient, &q), &z) in gradient.iter_mut().zip(q).zip(z) {
            value += f64::from(q) * (normaliser - f64::from(z));
            *gradient = (f64::from(weight * *gradient - q) / total) as f32;
        }
    }
    Loss { value: value / total, gradient }
}

/// Cross-entropy against a distribution over years, plus `l1` times the absolute error of the
/// distribution's expectation; for what is known as a range, the negative log-likelihood of it.
///
/// After Gao et al., "Age Estimation Using Expectation of Label Distribution Learning" (IJCAI
/// 2018), who use weight 1 for the second term. `years` has one age a row, of weight 0 where none
/// is known exactly.
pub(crate) fn label_distribution(
    logits: &[f32],
    soft: &[f32],
    (years, ranges): (&[WeightedTarget], &[IntervalTarget]),
    l1: f32,
) -> Loss {
    let mut loss = cross_entropy(logits, soft, YEARS);
    add_censored(&mut loss, logits, soft, ranges);
    let n = total_weight(years) + range_weight(ranges);
    let mut probability = [0.0; YEARS];
    for ((z, known), gradient) in
        logits.chunks(YEARS).zip(years).zip(loss.gradient.chunks_mut(YEARS))
    {
        softmax(z, &mut probability);
        let expected = expectation(&probability);
        let error = f64::from(expected - known.value);
        let weight = f64::from(l1) * f64::from(known.weight);
        loss.value += weight * error.abs() / n;
        let scale = (weight * error.signum() / n) as f32;
        for (year, (gradient, probability)) in gradient.iter_mut().zip(probability).enumerate() {
            *gradient += scale * probability * (year as f32 - expected);
        }
    }
    loss
}

/// Adds the interval-censored likelihood of the rows known as ranges to a cross-entropy: of each
/// -log P, where P is the sum of the probabilities p of the years in its range. The gradient by the
/// logits is p - p [year in range] / P. The mean is over all rows then.
///
/// Turnbull, "The empirical distribution function with arbitrarily grouped, censored and truncated
/// data" (Journal of the Royal Statistical Society B 38, 1976), for a distribution that depends on
/// features.
fn add_censored(loss: &mut Loss, logits: &[f32], soft: &[f32], ranges: &[IntervalTarget]) {
    if ranges.is_empty() {
        return;
    }
    let exact = soft.iter().map(|&q| f64::from(q)).sum::<f64>();
    let total = exact + range_weight(ranges);
    loss.value *= exact / total;
    for gradient in &mut loss.gradient {
        *gradient = (f64::from(*gradient) * exact / total) as f32;
    }
    let (mut all, mut inside) = ([0.0; YEARS], [0.0; YEARS]);
    for range in ranges {
        let row = range.row * YEARS..(range.row + 1) * YEARS;
        let (z, gradient) = (&logits[row.clone()], &mut loss.gradient[row]);
        let years = range.years();
        let normaliser = softmax(z, &mut all);
        let of_range = softmax(&z[years.clone()], &mut inside[years.clone()]);
        let weight = f64::from(range.weight) / total;
        loss.value += weight * (normaliser - of_range);
        for (gradient, p) in gradient.iter_mut().zip(all) {
            *gradient += (weight * f64::from(p)) as f32;
        }
        for (gradient, p) in gradient[years.clone()].iter_mut().zip(&inside[years]) {
            *gradient -= (weight * f64::from(*p)) as f32;
        }
    }
}

/// A regression target and its sample weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WeightedTarget {
    pub(crate) value: f32,
    /// 1; 0 where the number is not known; between them for a row mixed of such rows.
    pub(crate) weight: f32,
}

impl WeightedTarget {
    /// A target of weight 1.
    pub(crate) fn certain(value: f32) -> Self {
        Self { value, weight: 1.0 }
    }
}

/// An interval-censored target of a row or of a part of a mixed row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct IntervalTarget {
    /// The row of the batch.
    pub(crate) row: usize,
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Weight of the part: 1, or its lambda in a mixed row.
    pub(crate) weight: f32,
}

impl IntervalTarget {
    /// The outputs of a distribution over years that lie inside.
    fn years(&self) -> Range<usize> {
        let last = YEARS - 1;
        let year = |at: f32| (at.max(0.0) as usize).min(last);
        year(self.low)..year(self.high) + 1
    }
}

fn total_weight(targets: &[WeightedTarget]) -> f64 {
    targets.iter().map(|known| f64::from(known.weight)).sum::<f64>().max(f64::MIN_POSITIVE)
}

fn range_weight(ranges: &[IntervalTarget]) -> f64 {
    ranges.iter().map(|range| f64::from(range.weight)).sum()
}

/// Mean absolute error of one output a row; of a range, the distance to it.
pub(crate) fn absolute(outputs: &[f32], targets: (&[WeightedTarget], &[IntervalTarget])) -> Loss {
    residual_loss(outputs, targets, f64::abs, f64::signum)
}

/// Half the mean squared error of one output a row; of a range, of the distance to it.
pub(crate) fn squared(outputs: &[f32], targets: (&[WeightedTarget], &[IntervalTarget])) -> Loss {
    residual_loss(outputs, targets, |error| error * error / 2.0, |error| error)
}

fn residual_loss(
    outputs: &[f32],
    (targets, ranges): (&[WeightedTarget], &[IntervalTarget]),
    value: fn(f64) -> f64,
    derivative: fn(f64) -> f64,
) -> Loss {
    let n = total_weight(targets) + range_weight(ranges);
    let errors = outputs
        .iter()
        .zip(targets)
        .map(|(&z, t)| (f64::from(z) - f64::from(t.value), f64::from(t.weight)));
    let mut loss = Loss {
        value: errors.clone().map(|(error, weight)| weight * value(error)).sum::<f64>() / n,
        gradient: errors.map(|(error, weight)| (weight * derivative(error) / n) as f32).collect(),
    };
    for range in ranges {
        let z = outputs[range.row];
        let error = f64::from(z) - f64::from(z.clamp(range.low, range.high));
        if error != 0.0 {
            let weight = f64::from(range.weight) / n;
            loss.value += weight * value(error);
            loss.gradient[range.row] += (weight * derivative(error)) as f32;
        }
    }
    loss
}

/// The binary cross-entropies of "older than k years", summed over k and averaged over rows.
///
/// `outputs` has one number z a row; the probability of "older than k" is sigmoid(z + b) with the
/// k-th of the `thresholds` b. `levels` has the target probabilities, rows x thresholds; `years`
/// the weight of each row. Whether a person in a range is older than a year inside it is unknown:
/// those levels, which must be 0, do not count. Gives the loss, and its derivative by the
/// thresholds.
///
/// After Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks with
/// application to age estimation" (Pattern Recognition Letters 140, 2020).
pub(crate) fn ordinal(
    outputs: &[f32],
    thresholds: &[f32],
    levels: &[f32],
    (years, ranges): (&[WeightedTarget], &[IntervalTarget]),
) -> (Loss, Vec<f32>) {
    let n = total_weight(years);
    let mut by_threshold = vec![0.0_f64; thresholds.len()];
    let (mut value, mut gradient) = (0.0, Vec::<f32>::with_capacity(outputs.len()));
    for ((&z, levels), known) in outputs.iter().zip(levels.chunks(thresholds.len())).zip(years) {
        let weight = f64::from(known.weight) / n;
        let mut by_output = 0.0;
        for ((&threshold, &level), by_threshold) in
            thresholds.iter().zip(levels).zip(&mut by_threshold)
        {
            let s = f64::from(z) + f64::from(threshold);
            // softplus(s) - level * s, written so that no exponent is positive.
            value += weight * (s.max(0.0) + (-s.abs()).exp().ln_1p() - f64::from(level) * s);
            let part = weight * (sigmoid(s) - f64::from(level));
            by_output += part;
            *by_threshold += part;
        }
        gradient.push(by_output as f32);
    }
    for range in ranges {
        let (years, weight) = (range.years(), f64::from(range.weight) / n);
        for year in years.start..years.end - 1 {
            let s = f64::from(outputs[range.row]) + f64::from(thresholds[year]);
            value -= weight * (s.max(0.0) + (-s.abs()).exp().ln_1p());
            let part = weight * sigmoid(s);
            gradient[range.row] -= part as f32;
            by_threshold[year] -= part;
        }
    }
    (Loss { value, gradient }, by_threshold.into_iter().map(|part| part as f32).collect())
}

fn sigmoid(s: f64) -> f64 {
    if s >= 0.0 { 1.0 / (1.0 + (-s).exp()) } else { s.exp() / (1.0 + s.exp()) }
}

/// Shares of the years 0 to 116 by the ordinal output z: a year's is the probability of being
/// older than the year before, less that of being older than it. The thresholds fall, so that no
/// share is negative.
pub(crate) fn ordinal_probabilities(z: f32, falling_thresholds: &[f32], out: &mut [f32]) {
    let mut above = 1.0;
    for (out, &threshold) in out.iter_mut().zip(falling_thresholds) {
        let older = sigmoid(f64::from(z) + f64::from(threshold));
        *out = (above - older) as f32;
        above = older;
    }
    if let Some(last) = out.last_mut() {
        *last = above as f32;
    }
}

/// Shares of the years 0 to 116: a normal density around `age` with deviation `sigma`, summing
/// to 1.
pub(crate) fn age_distribution(age: f32, sigma: f32, out: &mut [f32]) {
    let centre = age.clamp(0.0, (YEARS - 1) as f32);
    for (year, out) in out.iter_mut().enumerate() {
        *out = (-((year as f32 - centre) / sigma).powi(2) / 2.0).exp();
    }
    let sum: f32 = out.iter().sum();
    for probability in out.iter_mut() {
        *probability /= sum;
    }
}

/// Expectation of a distribution over years.
pub(crate) fn expectation(probabilities: &[f32]) -> f32 {
    probabilities.iter().enumerate().map(|(year, probability)| year as f32 * probability).sum()
}

/// The first year at which half of a distribution over years is reached.
pub(crate) fn median_year(probabilities: &[f32]) -> f32 {
    let half = probabilities.iter().sum::<f32>() / 2.0;
    let mut reached = 0.0;
    let below = probabilities.iter().take_while(|&&probability| {
        reached += probability;
        reached < half
    });
    below.count().min(probabilities.len() - 1) as f32
}

#[cfg(test)]
mod tests {
    use facefold_core::median_age;

    use super::{
        IntervalTarget, Loss, WeightedTarget, YEARS, absolute, age_distribution, cross_entropy,
        expectation, label_distribution, median_year, ordinal, ordinal_probabilities, softmax,
        squared,
    };

    /// Compares a gradient with central differences.
    fn assert_gradient(outputs: &[f32], loss: impl Fn(&[f32]) -> Loss) {
        let gradient = loss(outputs).gradient;
        let step = 1e-2;
        for i in (0..outputs.len()).step_by(outputs.len().div_ceil(40)) {
            let (mut up, mut down) = (outputs.to_vec(), outputs.to_vec());
            up[i] += step;
            down[i] -= step;
            let numeric = (loss(&up).value - loss(&down).value) / (2.0 * f64::from(step));
            assert!((f64::from(gradient[i]) - numeric).abs() < 1e-4, "{i}: {numeric}");
        }
    }

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7).sin() * 2.0).collect()
    }

    #[test]
    fn gradients_match_differences() {
        let soft = [0.2, 0.8, 0.0, 0.0, 3.0, 0.5];
        assert_gradient(&wave(6), |z| cross_entropy(z, &soft, 3));
        let mut years = vec![0.0; 2 * YEARS];
        age_distribution(30.0, 2.0, &mut years[..YEARS]);
        age_distribution(4.0, 2.0, &mut years[YEARS..]);
        let ages = [WeightedTarget { value: 30.0, weight: 0.3 }, WeightedTarget::certain(4.0)];
        assert_gradient(&wave(2 * YEARS), |z| label_distribution(z, &years, (&ages, &[]), 0.1));
        let mut known = [1.0, 0.3, 3.0, -1.0, 0.5].map(WeightedTarget::certain);
        assert_gradient(&wave(5), |z| squared(z, (&known, &[])));
        known[2].weight = 0.25;
        known[3].weight = 0.0;
        assert_gradient(&wave(5), |z| absolute(z, (&known, &[])));
        let (levels, thresholds) = ([1.0, 0.6, 0.0, 1.0, 1.0, 1.0], [0.4, -0.2, -0.9]);
        assert_gradient(&wave(2), |z| ordinal(z, &thresholds, &levels, (&known[1..3], &[])).0);
        assert_gradient(&thresholds, |thresholds| {
            let (loss, gradient) = ordinal(&wave(2), thresholds, &levels, (&known[1..3], &[]));
            Loss { value: loss.value, gradient }
        });
    }

    /// Rows of all kinds: exact, of a range, mixed of both, of no age.
    #[test]
    fn gradients_of_ranges_match_differences() {
        let unknown = WeightedTarget { value: 0.0, weight: 0.0 };
        let known = [
            WeightedTarget::certain(30.0),
            unknown,
            WeightedTarget { value: 4.0, weight: 0.3 },
            unknown,
        ];
        let range = |row, low, high, weight| IntervalTarget { row, low, high, weight };
        let ranges = [
            range(1, 20.0, 29.0, 1.0),
            range(2, 0.0, 2.0, 0.7),
            range(3, 70.0, 116.0, 0.4),
            range(3, 60.0, 75.0, 0.6),
        ];
        let mut soft = vec![0.0; 4 * YEARS];
        age_distribution(30.0, 2.0, &mut soft[..YEARS]);
        age_distribution(4.0, 2.0, &mut soft[2 * YEARS..3 * YEARS]);
        soft[2 * YEARS..3 * YEARS].iter_mut().for_each(|probability| *probability *= 0.3);
        let l1 = 0.1;
        assert_gradient(&wave(4 * YEARS), |z| label_distribution(z, &soft, (&known, &ranges), l1));
        // None of these outputs lies at an end of a range, where the gradient jumps.
        let numbers = [0.3, 1.3, -0.6, 0.4];
        let scaled = [range(1, -1.0, 0.2, 1.0), range(2, -0.5, 0.1, 0.7), range(3, 0.0, 1.0, 1.0)];
        assert_gradient(&numbers, |z| squared(z, (&known, &scaled)));
        assert_gradient(&numbers, |z| absolute(z, (&known, &scaled)));
        // Years 0 to 3; whether the second row is older than 1 or 2 is not known.
        let (levels, thresholds) = ([1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [0.4, -0.2, -0.9]);
        let (known, censored) = ([WeightedTarget::certain(3.0); 2], [range(1, 1.0, 3.0, 1.0)]);
        assert_gradient(&wave(2), |z| ordinal(z, &thresholds, &levels, (&known, &censored)).0);
        assert_gradient(&thresholds, |thresholds| {
            let (loss, gradient) = ordinal(&wave(2), thresholds, &levels, (&known, &censored));
            Loss { value: loss.value, gradient }
        });
    }

    #[test]
    fn a_range_loss_is_minus_the_log_of_the_probability_inside() {
        let unknown = [WeightedTarget { value: 0.0, weight: 0.0 }];
        let cost = |low, high| {
            let range = [IntervalTarget { row: 0, low, high, weight: 1.0 }];
            label_distribution(&[0.0; YEARS], &[0.0; YEARS], (&unknown, &range), 0.1).value
        };
        // Ten of 117 equally probable years.
        assert!((cost(20.0, 29.0) - (117.0_f64 / 10.0).ln()).abs() < 1e-6);
        assert!((cost(107.0, 116.0) - (117.0_f64 / 10.0).ln()).abs() < 1e-6);
        assert!(cost(0.0, 116.0).abs() < 1e-6);
        let inside = [IntervalTarget { row: 0, low: 1.0, high: 3.0, weight: 1.0 }];
        assert_eq!(absolute(&[2.5], (&unknown, &inside)), Loss { value: 0.0, gradient: vec![0.0] });
        assert_eq!(squared(&[5.0], (&unknown, &inside)), Loss { value: 2.0, gradient: vec![2.0] });
    }

    #[test]
    fn rows_without_a_label_have_no_loss() {
        let unknown = WeightedTarget { value: 77.0, weight: 0.0 };
        let one = squared(&[2.0], (&[WeightedTarget::certain(1.0)], &[]));
        let both = squared(&[2.0, 5.0], (&[WeightedTarget::certain(1.0), unknown], &[]));
        assert_eq!((one.value, one.gradient[0]), (both.value, both.gradient[0]));
        assert_eq!(both.gradient[1], 0.0);
        assert_eq!(squared(&[2.0], (&[unknown], &[])).value, 0.0);
    }

    /// Golden values from the formula of the paper, in numpy:
    /// ```python
    /// import numpy as np
    /// z, b = np.array([0.5, -1.0]), np.array([1.0, 0.0, -2.0])
    /// t = np.array([[1, 1, 0], [1, 0, 0]]); s = z[:, None] + b
    /// p = 1 / (1 + np.exp(-s))
    /// print(-(np.log(p) * t + np.log(1 - p) * (1 - t)).sum(1).mean())
    /// print(np.append(1, p[0])[:3] - p[0], p[0][2])
    /// ```
    #[test]
    fn ordinal_loss_and_probabilities_agree_with_numpy() {
        let (z, thresholds) = ([0.5, -1.0], [1.0, 0.0, -2.0]);
        let levels = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        let (loss, _) =
            ordinal(&z, &thresholds, &levels, (&[WeightedTarget::certain(9.0); 2], &[]));
        assert!((loss.value - 0.965_950).abs() < 1e-6, "{}", loss.value);
        let mut probabilities = [0.0; 4];
        ordinal_probabilities(z[0], &thresholds, &mut probabilities);
        for (probability, golden) in
            probabilities.iter().zip([0.182_426, 0.195_115, 0.440_034, 0.182_426])
        {
            assert!((probability - golden).abs() < 1e-6, "{probabilities:?}");
        }
    }

    #[test]
    fn large_logits_stay_finite() {
        let loss = cross_entropy(&[40.0, -40.0, -1e4, 1e4], &[0.0, 1.0, 1.0, 0.0], 2);
        assert_eq!(loss.value, f64::midpoint(80.0, 2e4));
        assert_eq!(loss.gradient, [0.5, -0.5, -0.5, 0.5]);
        let mut probabilities = [0.0; 2];
        softmax(&[-1e30, 1e30], &mut probabilities);
        assert_eq!(probabilities, [0.0, 1.0]);
    }

    #[test]
    fn median_and_expectation_of_a_narrow_distribution_are_its_centre() {
        let mut probabilities = [0.0; YEARS];
        age_distribution(41.0, 2.0, &mut probabilities);
        assert!((median_age(&probabilities) - 41.0).abs() < 1e-3);
        assert!((expectation(&probabilities) - 41.0).abs() < 1e-3);
        // One year alone: the median is that year, not the middle of its neighbours.
        let mut one = [0.0; YEARS];
        one[7] = 1.0;
        assert_eq!(median_age(&one), 7.0);
        one[7] = 0.5;
        assert_eq!(median_year(&one), 7.0);
        one[90] = 0.5;
        assert_eq!((median_age(&one), median_year(&one)), (7.5, 7.0));
        one[90] = 0.6;
        assert_eq!(median_year(&one), 90.0);
        assert_eq!(median_year(&probabilities), 41.0);
    }
}
