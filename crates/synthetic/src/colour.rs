//! Colours as three numbers in 0..1, mixed and lit, and the palettes of skin, hair and eyes.

use tiny_skia::Color;

/// Red, green and blue in 0..1, without gamma (mixing in sRGB looks right to the eye here).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour(pub [f32; 3]);

impl Colour {
    pub(super) const BLACK: Self = Self([0.0; 3]);
    pub(super) const WHITE: Self = Self([1.0; 3]);

    /// From `0xRRGGBB`.
    pub(super) fn hex(code: u32) -> Self {
        Self([16, 8, 0].map(|shift| ((code >> shift) & 255) as f32 / 255.0))
    }

    /// A share `t` of the way to `other`.
    pub(super) fn mix(self, other: Self, t: f32) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + (other.0[i] - self.0[i]) * t))
    }

    /// Darker (`factor` below 1) or lighter, cut at white.
    pub(super) fn lit(self, factor: f32) -> Self {
        Self(self.0.map(|channel| (channel * factor).clamp(0.0, 1.0)))
    }

    /// With `alpha` in 0..1, for tiny-skia.
    pub(super) fn with_alpha(self, alpha: f32) -> Color {
        let [r, g, b] = self.0.map(|channel| channel.clamp(0.0, 1.0));
        Color::from_rgba(r, g, b, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
    }
}

/// The colour a share `t` (0..1) along a list of stops.
pub(super) fn along(stops: &[u32], t: f32) -> Colour {
    let last = stops.len() - 1;
    let position = t.clamp(0.0, 1.0) * last as f32;
    let below = (position as usize).min(last.saturating_sub(1));
    Colour::hex(stops[below]).mix(Colour::hex(stops[below + 1]), position - below as f32)
}

/// Skin from fair to deep.
pub(super) const SKIN: [u32; 6] =
    [0x00f6_d9c6, 0x00eb_c1a0, 0x00d9_a67c, 0x00bd_8560, 0x0093_6043, 0x0065_402e];
/// Hair from black through brown to blond and red.
pub(super) const HAIR: [u32; 7] =
    [0x001c_1614, 0x0034_241c, 0x0055_3823, 0x007a_5230, 0x00a6_7a45, 0x00d2_ae6d, 0x009c_4a24];
/// Irises from dark brown to blue and green.
pub(super) const IRIS: [u32; 5] = [0x003a_2416, 0x0063_401f, 0x0074_7a45, 0x005c_7f92, 0x0048_78a8];
/// Grey hair.
pub(super) const GREY: u32 = 0x00d6_d5d4;
/// Cloth, worn by anyone.
pub(super) const CLOTH: [u32; 12] = [
    0x0029_3a5a,
    0x0048_6a8c,
    0x0083_2f38,
    0x003e_5b46,
    0x00e6_e1d6,
    0x0023_2428,
    0x00b0_8d57,
    0x006d_4a72,
    0x00c9_6f5b,
    0x0075_9ca0,
    0x00d5_9aa9,
    0x0082_8a91,
];
/// Walls, foliage, sky and rooms behind the head.
pub(super) const BACKGROUND: [u32; 10] = [
    0x009f_b4c4,
    0x006f_7d6a,
    0x00c9_bda8,
    0x0054_5b66,
    0x00b8_8f78,
    0x0083_a37c,
    0x00d8_d8d4,
    0x0047_5a4a,
    0x0076_86a6,
    0x0097_7b8c,
];
