//! From the probabilities of pairs of classes to those of all classes.

/// Shares p of k classes, summing to 1, from `pairwise`, k x k: `pairwise[i * k + j]` is the
/// probability of class i where only i and j are possible.
///
/// The second method of Wu, Lin and Weng, "Probability estimates for multi-class classification by
/// pairwise coupling" (2004), which LIBSVM uses: minimise the sum over pairs of
/// (probability of j * p of i - probability of i * p of j)², by their fixed point.
pub(super) fn couple(pairwise: &[f64], k: usize) -> Vec<f64> {
    let mut form = vec![0.0; k * k];
    for i in 0..k {
        for j in (0..k).filter(|&j| j != i) {
            let (here, there) = (pairwise[i * k + j], pairwise[j * k + i]);
            form[i * k + i] += there * there;
            form[i * k + j] = -there * here;
        }
    }
    let mut probabilities = vec![1.0 / k as f64; k];
    for _ in 0..100.max(10 * k) {
        let mut gradients: Vec<f64> = form.chunks(k).map(|row| dot(row, &probabilities)).collect();
        let mut value = dot(&probabilities, &gradients);
        if gradients.iter().all(|gradient| (gradient - value).abs() < 1e-6 / k as f64) {
            break;
        }
        for t in 0..k {
            let change = (value - gradients[t]) / form[t * k + t].max(1e-12);
            probabilities[t] += change;
            value = (value + change * (change * form[t * k + t] + 2.0 * gradients[t]))
                / (1.0 + change).powi(2);
            for j in 0..k {
                gradients[j] = (gradients[j] + change * form[t * k + j]) / (1.0 + change);
                probabilities[j] /= 1.0 + change;
            }
        }
    }
    probabilities
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::couple;

    /// The minimum under sum p = 1 solved exactly, by its Lagrange conditions:
    /// ```python
    /// import numpy as np
    /// k = 4; r = np.zeros((k, k))
    /// for (i, j), v in {(0,1):.9, (0,2):.6, (0,3):.7, (1,2):.2, (1,3):.35, (2,3):.8}.items():
    ///     r[i, j], r[j, i] = v, 1 - v
    /// q = np.diag((r ** 2).sum(0)) - r.T * r
    /// a = np.block([[q, np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    /// print(np.linalg.solve(a, np.r_[np.zeros(k), 1])[:k].tolist())
    /// ```
    #[test]
    fn coupled_probabilities_minimise_the_quadratic_form() {
        let mut pairwise = [0.0; 16];
        for (i, j, value) in
            [(0, 1, 0.9), (0, 2, 0.6), (0, 3, 0.7), (1, 2, 0.2), (1, 3, 0.35), (2, 3, 0.8)]
        {
            pairwise[i * 4 + j] = value;
            pairwise[j * 4 + i] = 1.0 - value;
        }
        let expected = [0.459_541, 0.069_510, 0.335_061, 0.135_888];
        for (found, expected) in couple(&pairwise, 4).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn two_classes_keep_their_probability() {
        let probabilities = couple(&[0.0, 0.3, 0.7, 0.0], 2);
        assert!(
            (probabilities[0] - 0.3).abs() < 1e-5 && (probabilities[1] - 0.7).abs() < 1e-5,
            "{probabilities:?}"
        );
    }
}
