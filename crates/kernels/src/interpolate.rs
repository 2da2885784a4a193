//! Rows of RGB bytes resized to another width: the first half of OpenCV's `INTER_LINEAR`, in whole
//! numbers (`HResizeLinear` in its `resize.cpp`).

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    _mm256_mask_storeu_epi16, _mm512_cvtepi32_epi16, _mm512_loadu_si512, _mm512_madd_epi16,
    _mm512_maskz_permutexvar_epi8, _mm512_srli_epi32,
};

/// Where one pixel comes from: two source pixels and their weights, whole numbers of 1/2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Source pixels. One of weight 0 may be any.
    pub places: [usize; 2],
    /// What each counts for: 2048 together, but for rounding.
    pub weights: [u16; 2],
}

/// Resizes rows of `pixels` RGB pixels, all in the same way.
#[derive(Debug, Clone)]
pub struct RowResizer {
    pixels: usize,
    taps: Vec<Tap>,
    /// Sixteen output values each; none where their sources do not lie close enough together, or
    /// the processor has no instructions for it.
    blocks: Vec<Block>,
    /// The source pixels' channels side by side.
    block_stride: Vec<u64>,
}

/// The most that the weights of a tap may be together: sums stay within 19 bits.
const MOST_WEIGHT: u32 = (1 << 19) / 255;

/// Output values of a block.
const LANES: usize = 16;

/// Source bytes that the values of a block choose from.
const REACH: usize = 64;

/// Sixteen output values whose sources lie within [`REACH`] bytes.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Block {
    /// For each value the left source byte, counted from `first`, an unused one, the right one, and
    /// another unused one.
    sources: [u8; 4 * LANES],
    /// For each value two weights.
    weights: [i16; 2 * LANES],
    first: usize,
}

impl RowResizer {
    /// A resizer of rows of `pixels` pixels to one pixel for each tap.
    ///
    /// # Panics
    /// If a source with a weight lies outside the row, or weights are more than 2056 together.
    #[must_use]
    pub fn new(pixels: usize, taps: Vec<Tap>) -> Self {
        let fits = |tap: &Tap| {
            let inside = |(&place, &weight): (&usize, &u16)| weight == 0 || place < pixels;
            tap.places.iter().zip(&tap.weights).all(inside)
                && tap.weights.iter().map(|&weight| u32::from(weight)).sum::<u32>() <= MOST_WEIGHT
        };
        assert!(taps.iter().all(fits), "taps outside a row of {pixels} pixels, or too heavy");
        let blocks = if has_blocks() { Block::all(pixels, &taps) } else { None };
        Self { pixels, taps, blocks: blocks.unwrap_or_default(), block_stride: Vec::new() }
    }

    /// Resizes a row: for each output value the weighted sum of its two sources, without its last
    /// four bits.
    ///
    /// # Panics
    /// If the source has not three bytes a pixel, or the output not three values a tap.
    pub fn run(&mut self, source: &[u8], output: &mut [u16]) {
        assert_eq!((source.len(), output.len()), (3 * self.pixels, 3 * self.taps.len()));
        #[cfg(target_arch = "x86_64")]
        if !self.blocks.is_empty() {
            // SAFETY: blocks are made only where the processor has these instructions; each lies
            // within rows of as many pixels as this one has, and there is one for every sixteen
            // values of the output.
            return unsafe { run_blocks(&self.blocks, source, output) };
        }
        self.run_taps(source, output);
    }

    fn run_taps(&mut self, source: &[u8], output: &mut [u16]) {
        self.block_stride.clear();
        self.block_stride.extend(source.as_chunks().0.iter().copied().map(side_by_side));
        // A tap of weight 0 may lie anywhere.
        let at = |place: usize| self.block_stride.get(place).copied().unwrap_or(0);
        for (output, Tap { places, weights }) in output.as_chunks_mut().0.iter_mut().zip(&self.taps)
        {
            let [left, right] = places.map(at);
            let sums = left * u64::from(weights[0]) + right * u64::from(weights[1]);
            *output = [(sums >> 4) as u16, (sums >> 25) as u16, (sums >> 46) as u16];
        }
    }
}

/// The three channels of a pixel in one word, 21 bits each: room for a byte times 2048, so that
/// one multiplication does for all.
fn side_by_side([red, green, blue]: [u8; 3]) -> u64 {
    u64::from(red) | u64::from(green) << 21 | u64::from(blue) << 42
}

impl Block {
    /// The blocks of a whole row, where all can be made.
    fn all(pixels: usize, taps: &[Tap]) -> Option<Vec<Self>> {
        let last = (3 * pixels).checked_sub(REACH)?;
        let values: Vec<(Tap, usize)> =
            taps.iter().flat_map(|&tap| (0..3).map(move |channel| (tap, channel))).collect();
        values.chunks(LANES).map(|values| Self::new(values, last)).collect()
    }

    /// A block of the values of some taps' channels that reads from byte `last` on at the latest.
    fn new(values: &[(Tap, usize)], last: usize) -> Option<Self> {
        let sources = values.iter().flat_map(|&(tap, channel)| {
            (0..2)
                .filter(move |&side| tap.weights[side] > 0)
                .map(move |i| 3 * tap.places[i] + channel)
        });
        let first = sources.min().unwrap_or(0).min(last);
        let mut block = Self { sources: [0; 4 * LANES], weights: [0; 2 * LANES], first };
        for (lane, &(tap, channel)) in values.iter().enumerate() {
            for side in 0..2 {
                if tap.weights[side] > 0 {
                    let source = 3 * tap.places[side] + channel - first;
                    block.sources[4 * lane + 2 * side] =
                        u8::try_from(source).ok().filter(|&source| usize::from(source) < REACH)?;
                    block.weights[2 * lane + side] = tap.weights[side] as i16;
                }
            }
        }
        Some(block)
    }
}

fn has_blocks() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Resizes a row block by block.
///
/// # Safety
/// The processor has the instructions; from the first byte of each block on the source has
/// [`REACH`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn run_blocks(blocks: &[Block], source: &[u8], output: &mut [u16]) {
    /// The first and the third of every four bytes.
    const USED: u64 = 0x5555_5555_5555_5555;
    for (block, output) in blocks.iter().zip(output.chunks_mut(LANES)) {
        let wanted = ((1_u32 << output.len()) - 1) as u16;
        // SAFETY: the caller's promise; a block's arrays fill a register each, and only as many
        // values are written as the output has.
        unsafe {
            let window = _mm512_loadu_si512(source.as_ptr().add(block.first).cast());
            let places = _mm512_loadu_si512(block.sources.as_ptr().cast());
            let weights = _mm512_loadu_si512(block.weights.as_ptr().cast());
            let pairs = _mm512_maskz_permutexvar_epi8(USED, places, window);
            let sums = _mm512_srli_epi32::<4>(_mm512_madd_epi16(pairs, weights));
            let output = output.as_mut_ptr().cast();
            _mm256_mask_storeu_epi16(output, wanted, _mm512_cvtepi32_epi16(sums));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{RowResizer, Tap};

    fn taps(pixels: usize, scale: f64, shift: f64, count: usize) -> Vec<Tap> {
        let tap = |index: usize| {
            let position = (index as f64 + shift) * scale;
            let place = position as usize;
            let right = ((position - position.floor()) * 2048.0) as u16;
            // Beyond the row a place counts for nothing.
            let weigh = |place: usize, weight| if place < pixels { weight } else { 0 };
            let weights = [weigh(place, 2048 - right), weigh(place + 1, right)];
            Tap { places: [place, place + 1], weights }
        };
        (0..count).map(tap).collect()
    }

    proptest! {
        /// Any width, growing and shrinking, past the end of the row too.
        #[test]
        fn values_are_weighted_sums(
            bytes in proptest::collection::vec(any::<[u8; 3]>(), 1..300),
            scale in 0.1..5.0_f64,
            shift in 0.0..20.0_f64,
            count in 0_usize..200,
        ) {
            let source = bytes.as_flattened();
            let taps = taps(bytes.len(), scale, shift, count);
            let expected: Vec<u16> = taps
                .iter()
                .flat_map(|tap| [0, 1, 2].map(|channel| {
                    let sides = tap.places.iter().zip(tap.weights);
                    let value = |(&place, weight): (&usize, u16)| {
                        let byte = bytes.get(place).map_or(0, |pixel| pixel[channel]);
                        u32::from(byte) * u32::from(weight)
                    };
                    (sides.map(value).sum::<u32>() >> 4) as u16
                }))
                .collect();
            let mut resizer = RowResizer::new(bytes.len(), taps);
            let mut output = vec![9; 3 * count];
            resizer.run(source, &mut output);
            prop_assert_eq!(&output, &expected);
            resizer.run_taps(source, &mut output);
            prop_assert_eq!(&output, &expected);
        }

        /// The fast way is taken where it can be.
        #[test]
        fn usual_rows_are_done_in_blocks(pixels in 22_usize..900, scale in 0.2..3.0_f64) {
            let count = (pixels as f64 / scale) as usize;
            let resizer = RowResizer::new(pixels, taps(pixels, scale, 0.5, count));
            // None where the processor has no instructions for them.
            let all = if super::has_blocks() { (3 * count).div_ceil(super::LANES) } else { 0 };
            prop_assert_eq!(resizer.blocks.len(), all);
        }
    }

    #[test]
    #[should_panic(expected = "taps outside a row")]
    fn taps_outside_the_row_are_refused() {
        let _ = RowResizer::new(5, vec![Tap { places: [4, 5], weights: [1024, 1024] }]);
    }
}
