//! Camera model, from a clean rendering to a photograph: softness, exposure, tint, and noise.

use facefold_core::rng::Rng;
use image::RgbImage;
use rand::RngCore;

use crate::capture::Capture;

/// The picture that a camera makes of `rgba`, the opaque pixels of a square of `side`.
pub(super) fn develop(rgba: &[u8], side: u32, capture: &Capture, rng: &mut Rng) -> RgbImage {
    let mut rgb: Vec<u8> =
        rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    for _ in 0..capture.blur {
        soften(&mut rgb, side as usize);
    }
    let curves = capture.exposure.0.map(|gain| curve(gain, capture.exposure.1));
    // Four bytes of one draw sum to nearly a normal number: its standard deviation is 147.8.
    let strength = capture.noise / 147.8;
    for pixel in rgb.chunks_exact_mut(3) {
        let bytes = rng.next_u32().to_le_bytes();
        let grain = (bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() - 510.0) * strength;
        let mut value: [f32; 3] = std::array::from_fn(|i| curves[i][usize::from(pixel[i])]);
        // Luma of ITU-R BT.601.
        let grey = 0.299 * value[0] + 0.587 * value[1] + 0.114 * value[2];
        value = value.map(|channel| grey + (channel - grey) * capture.saturation);
        for (channel, value) in pixel.iter_mut().zip(value) {
            *channel = (value + grain + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
    RgbImage::from_raw(side, side, rgb).unwrap_or_default()
}

fn curve(gain: f32, exponent: f32) -> [f32; 256] {
    std::array::from_fn(|level| 255.0 * gain * (level as f32 / 255.0).powf(exponent))
}

/// One pass of the binomial filter 1-2-1 in both directions; edges repeat.
fn soften(rgb: &mut [u8], side: usize) {
    let weigh =
        |a: u8, b: u8, c: u8| ((u16::from(a) + 2 * u16::from(b) + u16::from(c) + 2) / 4) as u8;
    let row = side * 3;
    let source = rgb.to_vec();
    for (line, from) in rgb.chunks_exact_mut(row).zip(source.chunks_exact(row)) {
        for i in 3..row.saturating_sub(3) {
            line[i] = weigh(from[i - 3], from[i], from[i + 3]);
        }
    }
    let source = rgb.to_vec();
    for y in 1..side.saturating_sub(1) {
        for i in 0..row {
            let at = y * row + i;
            rgb[at] = weigh(source[at - row], source[at], source[at + row]);
        }
    }
}
