//! The measures of one face at one age: where each feature lies, in head units.
//!
//! The proportions follow drawing books on growth: an infant's eyes are large and lie
//! below the middle of a round head over a small chin; the face lengthens into the early twenties;
//! later lips thin, nose and ears lengthen, lids droop and hair recedes.

use crate::identity::Identity;
use crate::random::{mix, smooth};

/// The measures; lengths are in head units (half the height of the head).
#[derive(Debug, Clone)]
pub(super) struct Features {
    /// Apparent age, years.
    pub age: f32,
    /// Gender expression shown at this age: -1..1 and beyond in adults, near 0 in infants.
    pub expression: f32,
    /// 0 at birth, 1 from twenty-two.
    pub growth: f32,
    pub half_width: f32,
    pub jaw: f32,
    pub chin: f32,
    pub eye_x: f32,
    pub eye_y: f32,
    pub eye_width: f32,
    pub eye_height: f32,
    pub iris: f32,
    /// How far the outer corner lies above the inner one.
    pub eye_tilt: f32,
    /// Droop of the upper lid, 0..1.
    pub droop: f32,
    pub brow_y: f32,
    pub brow_thickness: f32,
    pub brow_arch: f32,
    pub nose_y: f32,
    pub nose_width: f32,
    pub mouth_y: f32,
    pub mouth_width: f32,
    pub lip: f32,
    pub ear: f32,
    pub neck: f32,
    pub shoulders: f32,
    /// Depth of lines, 0..1.
    pub wrinkles: f32,
    /// 0 to 1: how far the hair has left the top of the head.
    pub bald: f32,
    /// 0 to 1: how much hair an infant has yet.
    pub hair_cover: f32,
}

impl Features {
    /// The face of `identity` at a true age of `years`.
    pub(super) fn new(identity: &Identity, years: f32) -> Self {
        let age = identity.apparent_age(years).max(0.0);
        let growth = (age / 22.0).clamp(0.0, 1.0).powf(0.65);
        // Features of gender grow with puberty; before it they show faintly.
        let expression = identity.expression * mix(0.38, 1.0, smooth(7.0, 19.0, age));
        let old = smooth(42.0, 82.0, age);
        let t = &identity.traits;
        let half_width = mix(0.90, 0.765, growth) - 0.012 * expression + 0.018 * t[0];
        let eye_y = mix(0.27, 0.02, growth) + 0.013 * t[1];
        let mouth_y = mix(0.67, 0.60, growth) + 0.018 * t[2];
        let jaw = mix(0.84, 0.82, growth) - 0.055 * expression + 0.03 * t[3] + 0.03 * old;
        Self {
            age,
            expression,
            growth,
            half_width,
            jaw: half_width * jaw,
            chin: mix(0.30, 0.36, growth) - 0.055 * expression + 0.03 * t[4],
            eye_x: half_width * mix(0.45, 0.43, growth) + 0.012 * t[5],
            eye_y,
            eye_width: mix(0.185, 0.145, growth) + 0.007 * expression + 0.008 * t[6],
            eye_height: mix(0.115, 0.066, growth) + 0.006 * expression + 0.007 * t[7] - 0.012 * old,
            iris: mix(0.090, 0.068, growth),
            eye_tilt: 0.012 * expression + 0.012 * t[8] - 0.012 * old,
            droop: 0.75 * old,
            brow_y: eye_y - mix(0.22, 0.20, growth) - 0.014 * expression - 0.008 * t[9],
            brow_thickness: mix(0.016, 0.045, growth)
                * (1.0 - 0.26 * expression)
                * (1.0 + 0.16 * t[10]),
            brow_arch: 0.035 + 0.020 * expression + 0.012 * t[11],
            nose_y: mix(mouth_y - 0.20, mouth_y - 0.245, growth) + 0.03 * old,
            nose_width: mix(0.115, 0.145, growth) - 0.012 * expression
                + 0.014 * t[12]
                + 0.012 * old,
            mouth_y,
            mouth_width: mix(0.19, 0.26, growth) - 0.006 * expression + 0.016 * t[13],
            lip: (mix(0.055, 0.062, growth) + 0.011 * expression + 0.010 * t[14])
                * (1.0 - 0.45 * old),
            ear: mix(0.20, 0.21, growth) * (1.0 + 0.25 * old) + 0.012 * t[15],
            neck: mix(0.36, 0.46, growth) - 0.05 * expression * growth,
            shoulders: mix(0.85, 1.5, growth) - 0.13 * expression * growth,
            wrinkles: (smooth(18.0, 74.0, age) * identity.wrinkling).clamp(0.0, 1.0),
            bald: smooth(28.0, 58.0, age) * identity.balding,
            hair_cover: smooth(-0.2, 2.6, age),
        }
    }
}
