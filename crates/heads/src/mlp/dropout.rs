//! Dropout: random masks that cost little compared with the matrix products.

use facefold_core::rng::Rng;
use facefold_kernels::{Vectorised, dispatch_simd};
use rand::RngCore;

/// Sets each value to 0 with a probability, and divides the others by the probability to stay.
///
/// The share is rounded to 1 / 65,536. One draw of the generator is the key of a hash of the
/// places, which the compiler can vectorise.
pub(super) fn drop_values(values: &mut [f32], fraction: f32, generator: &mut Rng) {
    let key = generator.next_u64();
    dispatch_simd(Dropout {
        values,
        limit: (fraction * 65_536.0).round() as u32,
        kept: 1.0 / (1.0 - fraction),
        keys: [key as u32, (key >> 32) as u32],
    });
}

struct Dropout<'a> {
    values: &'a mut [f32],
    limit: u32,
    kept: f32,
    keys: [u32; 2],
}

impl Vectorised for Dropout<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        /// Hashes that are computed together; each serves two values.
        const LANES: usize = 16;
        let Self { values, limit, kept, keys } = self;
        let mut place = 0_u32;
        for values in values.chunks_mut(2 * LANES) {
            let mut factors = [0.0; 2 * LANES];
            for lane in 0..LANES {
                let hash = hash(place.wrapping_add(lane as u32), keys);
                factors[lane] = if hash & 0xffff < limit { 0.0 } else { kept };
                factors[LANES + lane] = if hash >> 16 < limit { 0.0 } else { kept };
            }
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
            place = place.wrapping_add(LANES as u32);
        }
    }
}

/// A keyed hash of 32 bits: the multipliers and shifts are those of Wellons' "lowbias32"
/// ("Prospecting for hash functions", 2018), with a second key between them.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn hash(place: u32, [first, second]: [u32; 2]) -> u32 {
    let mut x = place.wrapping_add(first);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15) ^ second).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::drop_values;
    use facefold_core::rng::seeded;

    #[test]
    fn masks_repeat_by_seed_and_differ_by_draw() {
        let draw = |generator: &mut _| {
            let mut values = vec![1.0; 100];
            drop_values(&mut values, 0.5, generator);
            values
        };
        let mut generator = seeded(2, "test");
        let (first, second) = (draw(&mut generator), draw(&mut generator));
        assert_ne!(first, second);
        assert_eq!(first, draw(&mut seeded(2, "test")));
    }

    #[test]
    fn dropout_keeps_the_sum_on_average() {
        let mut values = vec![1.0; 40_000];
        drop_values(&mut values, 0.4, &mut seeded(1, "test"));
        let dropped = values.iter().filter(|value| **value == 0.0).count();
        assert!((15_500..16_500).contains(&dropped), "{dropped}");
        assert!((values.iter().sum::<f32>() / 4e4 - 1.0).abs() < 0.02);
    }
}
