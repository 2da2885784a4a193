//! Bilinear resizing as OpenCV's `INTER_LINEAR` does it, so that a detector sees what it was
//! trained and is served with elsewhere.

use facefold_kernels::{RowResizer, Tap, Vectorised, dispatch_simd};
use image::RgbImage;

/// Fractions are whole numbers of 1/2048, as in OpenCV's `resize.cpp` (`INTER_RESIZE_COEF_BITS`).
const COEFFICIENT_ONE: f32 = 2048.0;

/// Resizes a picture, seen as if `padding` zero pixels lay round it on all sides, to `width` x
/// `height`: half-pixel centres, no averaging when it shrinks, 11-bit fractions.
///
/// Agrees with `cv2.resize(np.pad(...), (width, height))` to one level. The padding costs no
/// memory, which matters for large pictures.
#[must_use]
pub fn resize(picture: &RgbImage, padding: u32, width: u32, height: u32) -> RgbImage {
    let columns = taps(picture.width() as usize, padding as usize, width as usize);
    let mut across = RowResizer::new(picture.width() as usize, columns);
    let rows = taps(picture.height() as usize, padding as usize, height as usize);
    let stride = picture.width() as usize * 3;
    let source = picture.as_raw();
    let length = width as usize * 3;
    let mut output = vec![0; height as usize * length];
    // The two source rows that the last output row needed, resized to the output's width.
    let mut cached: [(Option<usize>, Vec<u16>); 2] =
        [(None, vec![0; length]), (None, vec![0; length])];
    for (row, output) in rows.iter().zip(output.chunks_exact_mut(length.max(1))) {
        if cached[1].0 == Some(row.places[0]) {
            cached.swap(0, 1);
        }
        for (place, (held, resized)) in row.places.into_iter().zip(&mut cached) {
            if *held != Some(place) {
                across.run(&source[place * stride..(place + 1) * stride], resized);
                *held = Some(place);
            }
        }
        let [above, below] = [&cached[0].1, &cached[1].1];
        dispatch_simd(Between { above, below, weights: row.weights, output });
    }
    // The length is right by construction; an empty picture would show a mistake at once.
    RgbImage::from_raw(width, height, output).unwrap_or_default()
}

/// An output row between two source rows.
struct Between<'a> {
    above: &'a [u16],
    below: &'a [u16],
    weights: [u16; 2],
    output: &'a mut [u8],
}

impl Vectorised for Between<'_> {
    type Output = ();

    /// The rounding of `VResizeLinear`: of 22 fractional bits, 4 are gone, then go 16, then 2.
    #[allow(clippy::inline_always, reason = "only what is inlined uses the widest registers")]
    #[inline(always)]
    fn run(self) {
        let share = |value: u16, weight: u16| ((u32::from(value) * u32::from(weight)) >> 16) as u16;
        let sides = self.above.iter().zip(self.below);
        for (output, (&above, &below)) in self.output.iter_mut().zip(sides) {
            let sum = share(above, self.weights[0]) + share(below, self.weights[1]);
            *output = ((sum + 2) >> 2).min(255) as u8;
        }
    }
}

fn taps(length: usize, padding: usize, output: usize) -> Vec<Tap> {
    let padded = length + 2 * padding;
    let scale = padded as f64 / output as f64;
    let tap = |index: usize| {
        let position = ((index as f64 + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let (place, fraction) = if floor < 0.0 {
            (0, 0.0)
        } else if floor as usize >= padded - 1 {
            (padded - 1, 0.0)
        } else {
            (floor as usize, position - floor)
        };
        let weights = [1.0 - fraction, fraction]
            .map(|weight| (weight * COEFFICIENT_ONE).round_ties_even() as u16);
        let mut tap = Tap { places: [0; 2], weights: [0; 2] };
        for (side, place) in [place, (place + 1).min(padded - 1)].into_iter().enumerate() {
            if (padding..padding + length).contains(&place) {
                tap.places[side] = place - padding;
                tap.weights[side] = weights[side];
            }
        }
        tap
    };
    (0..output).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::resize;
    use crate::testing::formula_picture;

    fn agrees(found: &RgbImage, sum: i64, pixels: &[(u32, u32, [u8; 3])]) {
        for &(x, y, expected) in pixels {
            let pixel = found.get_pixel(x, y).0;
            let near = pixel.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 1);
            assert!(near, "({x}, {y}): {pixel:?} for {expected:?}");
        }
        let total: i64 = found.as_raw().iter().map(|&value| i64::from(value)).sum();
        assert!((total - sum).abs() <= 100, "{total} for {sum}");
    }

    #[test]
    fn agrees_with_opencv() {
        let p = formula_picture(61, 47);
        // r = cv2.resize(p, (W, H)); r.astype(np.int64).sum()
        // [r[y, x].tolist() for x, y in [(0, 0), (W // 3, H // 2), (W - 1, H - 1), (W // 2, 1)]]
        agrees(
            &resize(&p, 0, 96, 74),
            2_735_600,
            &[
                (0, 0, [0, 0, 0]),
                (32, 37, [211, 11, 178]),
                (95, 73, [46, 246, 28]),
                (48, 1, [213, 154, 78]),
            ],
        );
        agrees(
            &resize(&p, 0, 32, 24),
            295_001,
            &[
                (0, 0, [4, 3, 6]),
                (10, 12, [208, 113, 90]),
                (31, 23, [41, 190, 58]),
                (16, 1, [224, 202, 97]),
            ],
        );
        assert_eq!(resize(&p, 0, 61, 47), p);
    }

    #[test]
    fn padding_is_as_if_zeros_were_there() {
        // q = np.pad(p, ((15, 15), (15, 15), (0, 0))); r = cv2.resize(q, (64, 54)); r.sum()
        // [r[y, x].tolist() for x, y in [(0, 0), (10, 10), (11, 12), (32, 27), (63, 53)]]
        agrees(
            &resize(&formula_picture(61, 47), 15, 64, 54),
            543_219,
            &[
                (0, 0, [0; 3]),
                (10, 10, [0; 3]),
                (11, 12, [13, 12, 20]),
                (32, 27, [30, 112, 183]),
                (63, 53, [0; 3]),
            ],
        );
    }

    #[test]
    fn a_single_pixel_can_be_resized() {
        let dot = RgbImage::from_pixel(1, 1, image::Rgb([9, 8, 7]));
        assert!(resize(&dot, 0, 5, 3).pixels().all(|pixel| pixel.0 == [9, 8, 7]));
    }
}
