//! Losses with their gradients, computed in closed form so that no logit is too large for them.

/// Years of the label distribution: 0 to 116.
pub(crate) const YEARS: usize = 117;

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
/// distribution's expectation.
///
/// After Gao et al., "Age Estimation Using Expectation of Label Distribution Learning" (IJCAI
/// 2018), who use weight 1 for the second term.
pub(crate) fn label_distribution(logits: &[f32], soft: &[f32], years: &[f32], l1: f32) -> Loss {
    let mut loss = cross_entropy(logits, soft, YEARS);
    let n = years.len() as f64;
    let mut share = [0.0; YEARS];
    for ((z, &age), gradient) in
        logits.chunks(YEARS).zip(years).zip(loss.gradient.chunks_mut(YEARS))
    {
        softmax(z, &mut share);
        let expected = expectation(&share);
        let error = f64::from(expected - age);
        loss.value += f64::from(l1) * error.abs() / n;
        let slope = (f64::from(l1) * error.signum() / n) as f32;
        for (year, (gradient, share)) in gradient.iter_mut().zip(share).enumerate() {
            *gradient += slope * share * (year as f32 - expected);
        }
    }
    loss
}

/// Mean absolute error of one output a row.
pub(crate) fn absolute(outputs: &[f32], targets: &[f32]) -> Loss {
    residual_loss(outputs, targets, f64::abs, f64::signum)
}

/// Half the mean squared error of one output a row.
pub(crate) fn squared(outputs: &[f32], targets: &[f32]) -> Loss {
    residual_loss(outputs, targets, |error| error * error / 2.0, |error| error)
}

fn residual_loss(
    outputs: &[f32],
    targets: &[f32],
    value: fn(f64) -> f64,
    slope: fn(f64) -> f64,
) -> Loss {
    let n = outputs.len() as f64;
    let errors = outputs.iter().zip(targets).map(|(&z, &t)| f64::from(z) - f64::from(t));
    Loss {
        value: errors.clone().map(value).sum::<f64>() / n,
        gradient: errors.map(|error| (slope(error) / n) as f32).collect(),
    }
}

/// Shares of the years 0 to 116: a normal density around `age` with deviation `sigma`, summing
/// to 1.
pub(crate) fn year_distribution(age: f32, sigma: f32, out: &mut [f32]) {
    let centre = age.clamp(0.0, (YEARS - 1) as f32);
    for (year, out) in out.iter_mut().enumerate() {
        *out = (-((year as f32 - centre) / sigma).powi(2) / 2.0).exp();
    }
    let sum: f32 = out.iter().sum();
    for share in out.iter_mut() {
        *share /= sum;
    }
}

/// Expectation of a distribution over years.
pub(crate) fn expectation(shares: &[f32]) -> f32 {
    shares.iter().enumerate().map(|(year, share)| year as f32 * share).sum()
}

/// Median of a distribution over years, where each year's share is spread evenly over half a
/// year before and after it.
pub(crate) fn median(shares: &[f32]) -> f32 {
    let half = shares.iter().sum::<f32>() / 2.0;
    let mut below = 0.0;
    for (year, &share) in shares.iter().enumerate() {
        if below + share >= half && share > 0.0 {
            return (year as f32 - 0.5 + (half - below) / share).max(0.0);
        }
        below += share;
    }
    (shares.len() - 1) as f32
}

#[cfg(test)]
mod tests {
    use super::{
        Loss, YEARS, absolute, cross_entropy, expectation, label_distribution, median, softmax,
        squared, year_distribution,
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
        year_distribution(30.0, 2.0, &mut years[..YEARS]);
        year_distribution(4.0, 2.0, &mut years[YEARS..]);
        assert_gradient(&wave(2 * YEARS), |z| label_distribution(z, &years, &[30.0, 4.0], 0.1));
        assert_gradient(&wave(5), |z| squared(z, &[1.0, 0.0, 3.0, -1.0, 0.5]));
        assert_gradient(&wave(5), |z| absolute(z, &[1.0, 0.3, 3.0, -1.0, 0.5]));
    }

    #[test]
    fn large_logits_stay_finite() {
        let loss = cross_entropy(&[40.0, -40.0, -1e4, 1e4], &[0.0, 1.0, 1.0, 0.0], 2);
        assert_eq!(loss.value, f64::midpoint(80.0, 2e4));
        assert_eq!(loss.gradient, [0.5, -0.5, -0.5, 0.5]);
        let mut shares = [0.0; 2];
        softmax(&[-1e30, 1e30], &mut shares);
        assert_eq!(shares, [0.0, 1.0]);
    }

    #[test]
    fn median_and_expectation_of_a_narrow_distribution_are_its_centre() {
        let mut shares = [0.0; YEARS];
        year_distribution(41.0, 2.0, &mut shares);
        assert!((median(&shares) - 41.0).abs() < 1e-3);
        assert!((expectation(&shares) - 41.0).abs() < 1e-3);
        // One year alone: the answer is that year, not the middle of its neighbours.
        let mut one = [0.0; YEARS];
        one[7] = 1.0;
        assert_eq!(median(&one), 7.0);
        one[7] = 0.5;
        one[90] = 0.5;
        assert_eq!(median(&one), 7.5);
    }
}
