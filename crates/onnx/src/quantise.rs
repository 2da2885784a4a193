//! Quantisation of weights to int8 and f16.

use half::f16;

/// The largest number of an 8-bit symmetric scale; -128 is not used.
const LARGEST: f32 = 127.0;

/// Weights as 8-bit integers.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8 {
    /// One a weight, in the weights' order.
    pub bytes: Vec<u8>,
    /// What an integer is multiplied by, one an output channel.
    pub scales: Vec<f32>,
}

/// Weights of this shape in 8 bits, rounded to the nearest of 255 steps that lie evenly around 0
/// and end at the largest weight of their output channel; `axis` is that of the output channels.
pub fn int8(values: &[f32], shape: &[usize], axis: usize) -> Int8 {
    let channels = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    let channel = |at: usize| at / inner.max(1) % channels.max(1);
    let mut largest = vec![0.0_f32; channels];
    for (at, value) in values.iter().enumerate() {
        let largest = &mut largest[channel(at)];
        *largest = largest.max(value.abs());
    }
    // A channel of zeros has any scale; 1 divides.
    let scale = |largest: f32| if largest > 0.0 { largest / LARGEST } else { 1.0 };
    let scales: Vec<f32> = largest.into_iter().map(scale).collect();
    let step = |(at, value): (usize, &f32)| {
        let step = (value / scales[channel(at)]).round_ties_even();
        (step.clamp(-LARGEST, LARGEST) as i8).to_le_bytes()[0]
    };
    Int8 { bytes: values.iter().enumerate().map(step).collect(), scales }
}

/// Weights as 16-bit floats, little-endian; `None` where one of them is too large for those.
pub fn f16_bytes(values: &[f32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for &value in values {
        let half = f16::from_f32(value);
        if !half.is_finite() {
            return None;
        }
        bytes.extend(half.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{f16_bytes, int8};

    #[test]
    fn a_weight_is_off_by_at_most_half_a_step_of_its_channel() {
        let values: Vec<f32> =
            (0..60).map(|i| (i as f32 * 1.7).sin() * (1 + i / 20) as f32).collect();
        for (shape, axis, channel) in [
            (vec![3, 20], 0, (|at| at / 20) as fn(usize) -> usize),
            (vec![20, 3], 1, |at| at % 3),
            (vec![3, 5, 2, 2], 0, |at| at / 20),
        ] {
            let found = int8(&values, &shape, axis);
            assert_eq!(found.scales.len(), 3);
            for (at, (byte, value)) in found.bytes.iter().zip(&values).enumerate() {
                let scale = found.scales[channel(at)];
                let back = f32::from(i8::from_le_bytes([*byte])) * scale;
                assert!((back - value).abs() <= scale * 0.500_001, "{shape:?} {at}");
            }
        }
    }

    #[test]
    fn half_floats_end_at_65504() {
        assert!(f16_bytes(&[65_504.0]).is_some());
        assert!(f16_bytes(&[0.0, 65_536.0]).is_none());
    }
}
