//! Turning a head's scores into probabilities, by rows that it was not trained on.

use crate::loss::cross_entropy;

/// A sigmoid 1 / (1 + exp(a * decision + b)) over the decisions of a support vector machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sigmoid {
    pub(crate) a: f64,
    pub(crate) b: f64,
}

impl Sigmoid {
    /// What is used where nothing can be fitted: a decision of 1, the margin, is 0.73 certain.
    pub(crate) const UNCALIBRATED: Self = Self { a: -1.0, b: 0.0 };

    /// Fits the sigmoid to decisions and whether each row is of the class. `None` where one of the
    /// two kinds of rows is missing, or where it would not rise with the decision: few rows, or rows
    /// of few subjects, may say that a classifier is wrong more often than right, and that is no
    /// reason to reverse it.
    ///
    /// After Lin, Lin and Weng, "A note on Platt's probabilistic outputs for support vector
    /// machines" (2007): smoothed targets, Newton steps with backtracking.
    pub(crate) fn fit(decisions: &[f64], positive: &[bool]) -> Option<Self> {
        let positives = positive.iter().filter(|&&is| is).count() as f64;
        let negatives = positive.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let high = (positives + 1.0) / (positives + 2.0);
        let low = 1.0 / (negatives + 2.0);
        let rows: Vec<(f64, f64)> = decisions
            .iter()
            .zip(positive)
            .map(|(&decision, &is)| (decision, if is { high } else { low }))
            .collect();
        // ln(1 + exp(z)) - (1 - t) z, written so that no exponent is positive.
        let objective = |at: Self| -> f64 {
            rows.iter()
                .map(|&(decision, target)| {
                    let z = at.a * decision + at.b;
                    (-z.abs()).exp().ln_1p() + z.max(0.0) - (1.0 - target) * z
                })
                .sum()
        };
        let mut at = Self { a: 0.0, b: ((negatives + 1.0) / (positives + 1.0)).ln() };
        let mut value = objective(at);
        for _ in 0..100 {
            let (mut aa, mut ab, mut bb, mut ga, mut gb) = (1e-12, 0.0, 1e-12, 0.0, 0.0);
            for &(decision, target) in &rows {
                let p = at.of(decision);
                let hessian = p * (1.0 - p);
                aa += decision * decision * hessian;
                ab += decision * hessian;
                bb += hessian;
                ga += decision * (target - p);
                gb += target - p;
            }
            if ga.abs() < 1e-5 && gb.abs() < 1e-5 {
                break;
            }
            let determinant = aa * bb - ab * ab;
            let (da, db) = ((ab * gb - bb * ga) / determinant, (ab * ga - aa * gb) / determinant);
            let directional_derivative = ga * da + gb * db;
            let mut step = 1.0;
            while step > 1e-10 {
                let next = Self { a: at.a + step * da, b: at.b + step * db };
                let next_value = objective(next);
                if next_value < value + 1e-4 * step * directional_derivative {
                    (at, value) = (next, next_value);
                    break;
                }
                step /= 2.0;
            }
            if step <= 1e-10 {
                break;
            }
        }
        // A stored head has f32: with the same precision here it predicts the same bits.
        let fitted = Self { a: f64::from(at.a as f32), b: f64::from(at.b as f32) };
        (fitted.a < 0.0).then_some(fitted)
    }

    /// The probability at a decision.
    pub(crate) fn of(self, decision: f64) -> f64 {
        let z = self.a * decision + self.b;
        if z >= 0.0 { (-z).exp() / (1.0 + (-z).exp()) } else { 1.0 / (1.0 + z.exp()) }
    }
}

/// The temperature T in 0.05 to 20 at which softmax(logits / T) has the lowest cross-entropy on
/// these rows (Guo et al., "On calibration of modern neural networks", 2017).
pub(crate) fn temperature(logits: &[f32], indices: &[usize], classes: usize) -> f32 {
    let mut soft = vec![0.0; logits.len()];
    for (row, &index) in indices.iter().enumerate() {
        soft[row * classes + index] = 1.0;
    }
    let loss = |log: f64| {
        let factor = (-log).exp() as f32;
        let scaled: Vec<f32> = logits.iter().map(|z| z * factor).collect();
        cross_entropy(&scaled, &soft, classes).value
    };
    // The loss is unimodal in 1 / T, hence in ln T: golden section.
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05_f64.ln(), 20.0_f64.ln());
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    while high - low > 1e-3 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = loss(right);
        }
    }
    f64::midpoint(low, high).exp() as f32
}

#[cfg(test)]
mod tests {
    use super::{Sigmoid, temperature};

    /// Golden values from libsvm's own routine, by scikit-learn:
    /// ```python
    /// from sklearn.calibration import _sigmoid_calibration
    /// import numpy as np
    /// d = np.linspace(-2, 2, 21); y = (d + 2 * np.sin(7 * np.arange(21)) > 0).astype(int)
    /// print(_sigmoid_calibration(d, y))
    /// ```
    #[test]
    fn sigmoid_agrees_with_scikit_learn() {
        let decisions: Vec<f64> = (0..21).map(|i| -2.0 + f64::from(i) * 0.2).collect();
        let positive: Vec<bool> =
            (0..21).map(|i| decisions[i as usize] + 2.0 * f64::from(7 * i).sin() > 0.0).collect();
        let fitted = Sigmoid::fit(&decisions, &positive).unwrap();
        assert!((fitted.a + 0.559_683).abs() < 1e-4, "{fitted:?}");
        assert!((fitted.b + 0.103_287).abs() < 1e-4, "{fitted:?}");
    }

    #[test]
    fn a_class_without_rows_is_not_calibrated() {
        assert_eq!(Sigmoid::fit(&[1.0, 2.0], &[true, true]), None);
        assert!(Sigmoid::UNCALIBRATED.of(1e6) <= 1.0 && Sigmoid::UNCALIBRATED.of(-1e6) >= 0.0);
    }

    /// Where decisions are wrong more often than right, or all the same, no sigmoid that falls or is
    /// level comes of it. (LIBSVM's falls: scikit-learn's `_sigmoid_calibration` gives a = 4.25 for `wrong`.)
    #[test]
    fn a_sigmoid_never_reverses_the_decisions() {
        let decisions: Vec<f64> = (0..20).map(|i| f64::from(i) / 10.0 - 1.0).collect();
        let right: Vec<bool> = (0..20).map(|i| i >= 10).collect();
        let wrong: Vec<bool> = right.iter().map(|is| !is).collect();
        assert!(Sigmoid::fit(&decisions, &right).unwrap().a < 0.0);
        assert_eq!(Sigmoid::fit(&decisions, &wrong), None);
        assert_eq!(Sigmoid::fit(&[0.5; 20], &right), None);
    }

    #[test]
    fn temperature_undoes_a_scale() {
        // Logits that are calibrated as they are: of four rows at ln 3, three are right.
        let logit = 3.0_f32.ln();
        let logits: Vec<f32> = (0..8).flat_map(|_| [logit, 0.0]).collect();
        let indices = [0, 0, 0, 1, 0, 0, 0, 1];
        assert!((temperature(&logits, &indices, 2) - 1.0).abs() < 1e-3);
        let sharp: Vec<f32> = logits.iter().map(|z| z * 5.0).collect();
        assert!((temperature(&sharp, &indices, 2) - 5.0).abs() < 5e-3);
    }
}
