//! Logit adjustment of predicted age distributions (post-hoc).
//!
//! A network learns how frequent each age is among its training rows, and where a face leaves it in
//! doubt it predicts a frequent age: old people, who are rare, are predicted too young, and so are
//! the people of a data set that is older than the training set. Subtracting `tau` times the log of
//! the frequencies from the logits corrects for that: the distribution becomes what it would be if
//! frequencies were raised to 1 - tau. (Menon et al., "Long-tail learning via logit adjustment",
//! ICLR 2021, equation 9.) The correction is constant, so it is a part of the output layer's bias.

use facefold_core::{FeatureDataset, HeadError};

use super::decoder::Decoder;
use super::model::Network;
use crate::features::Standardiser;
use crate::loss::YEARS;

/// Training rows that the frequencies are estimated from, evenly spaced among all.
const MAX_ROWS: usize = 4_000;

/// Standard deviation, in years, of the kernel that smooths the frequencies.
const SMOOTHING: f64 = 3.0;

/// Least frequency as a fraction of the greatest: ages that hardly occur have no reliable one.
const FLOOR: f64 = 1e-3;

/// Adjusts the output bias of a trained network that predicts a distribution over ages.
pub(super) fn adjust(
    network: &Network,
    decoder: &Decoder,
    features: &Standardiser,
    training: &FeatureDataset<'_>,
    tau: f64,
) -> Result<(), HeadError> {
    let step = training.len().div_ceil(MAX_ROWS);
    let rows: Vec<usize> = training.rows().iter().copied().step_by(step).collect();
    let mut sums = [0.0; YEARS];
    for values in features.chunks(training.matrix().plain(), &rows) {
        let outputs = network.predict(values)?;
        for row in decoder.probabilities(outputs).chunks(YEARS) {
            for (sum, &probability) in sums.iter_mut().zip(row) {
                *sum += f64::from(probability);
            }
        }
    }
    let correction = frequencies(&sums).map(|frequency| (-tau * frequency.ln()) as f32);
    network.add_to_output_bias(&correction)
}

/// Smoothed frequencies of the ages, relative to the greatest.
fn frequencies(sums: &[f64; YEARS]) -> [f64; YEARS] {
    let weight = |distance: usize| (-0.5 * (distance as f64 / SMOOTHING).powi(2)).exp();
    let smooth: [f64; YEARS] = std::array::from_fn(|age| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (other, &value) in sums.iter().enumerate() {
            let weight = weight(age.abs_diff(other));
            sum += weight * value;
            weights += weight;
        }
        sum / weights
    });
    let max = smooth.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    smooth.map(|value| (value / max).max(FLOOR))
}

#[cfg(test)]
mod tests {
    use super::{FLOOR, YEARS, frequencies};

    #[test]
    fn frequencies_are_smooth_relative_and_bounded() {
        let mut sums = [0.0; YEARS];
        for sum in &mut sums[..40] {
            *sum = 5.0;
        }
        let found = frequencies(&sums);
        assert!((found[0] - 1.0).abs() < 1e-6 && (found[20] - 1.0).abs() < 1e-6);
        // Half of the kernel's weight is on either side of the edge.
        assert!((found[39] + found[40] - 1.0).abs() < 1e-6, "{} {}", found[39], found[40]);
        assert!(found[39] > found[40] && found[40] > found[45]);
        assert_eq!(found[100], FLOOR);
        assert_eq!(frequencies(&[0.0; YEARS]), [FLOOR; YEARS]);
    }
}
