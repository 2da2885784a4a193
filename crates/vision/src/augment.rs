//! Augmented versions of a face, as further rows to train on: turned, scaled, shifted, mirrored,
//! with another brightness and contrast, some of them blurred.

use facefold_core::rng::seeded;
use facefold_core::{FaceVariant, ImageKey, Rejection};
use image::RgbImage;
use image::imageops::blur;
use rand::Rng as _;

use crate::align::{CROP_SIDE, Crop, Similarity, TEMPLATE, align_to};

/// Greatest angle, in degrees.
const ANGLE: f64 = 8.0;
/// Greatest and least scale are this and one over this.
const SCALE: f64 = 1.08;
/// Greatest shift right or down, in pixels of the crop.
const SHIFT: f64 = 3.0;
/// Greatest change of contrast, about the middle of the range of values.
const CONTRAST: f32 = 0.15;
/// Greatest change of brightness, of 255.
const BRIGHTNESS: f32 = 15.0;
/// Share of versions that are blurred.
const BLURRED: f64 = 0.25;
/// Least and greatest standard deviation of the blur, in pixels of the crop.
const BLUR: std::ops::Range<f32> = 0.4..1.0;

/// How a version differs from the aligned crop. The ranges are those within which faces still look
/// like photographs of the same person at the same age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Turn, scale and shift within the crop.
    moved: Similarity,
    /// Whether left and right are exchanged.
    mirrored: bool,
    /// Factor about 127.5, and what is added then.
    light: (f32, f32),
    /// Standard deviation in pixels; none for a version that is not blurred.
    blur: Option<f32>,
}

impl Augmentation {
    /// The version of a picture that a variant stands for: it depends on the picture's bytes and
    /// the variant alone, so that a store is the same whatever was extracted before.
    #[must_use]
    pub fn of(key: &ImageKey, variant: FaceVariant) -> Self {
        let mut generator = seeded(u64::from(variant.0), &format!("augmentation of {key}"));
        let angle = generator.random_range(-ANGLE..ANGLE).to_radians();
        let scale = generator.random_range(-SCALE.ln()..SCALE.ln()).exp();
        let [right, down] = [(); 2].map(|()| generator.random_range(-SHIFT..SHIFT));
        let (a, b) = (scale * angle.cos(), scale * angle.sin());
        let centre = (CROP_SIDE - 1) as f64 / 2.0;
        let moved = Similarity {
            a,
            b,
            c: centre + right - (a - b) * centre,
            d: centre + down - (a + b) * centre,
        };
        let contrast = 1.0 + generator.random_range(-CONTRAST..CONTRAST);
        let brightness = generator.random_range(-BRIGHTNESS..BRIGHTNESS);
        let is_blurred = generator.random_bool(BLURRED);
        let sigma = generator.random_range(BLUR);
        Self {
            moved,
            mirrored: generator.random(),
            light: (contrast, brightness),
            blur: is_blurred.then_some(sigma),
        }
    }

    /// The crop of this version: the face with these landmarks (pixels of the picture) is cropped
    /// from the picture itself, so that it is resampled once.
    ///
    /// # Errors
    /// As [`crate::align::align`].
    pub fn crop(&self, picture: &RgbImage, landmarks: &[[f32; 2]; 5]) -> Result<Crop, Rejection> {
        let template = TEMPLATE.map(|point| self.moved.apply(point.map(f64::from)));
        let template = template.map(|point| point.map(|value| value as f32));
        let mut crop = align_to(picture, landmarks, &template)?;
        if let Some(sigma) = self.blur {
            crop = Crop::from_picture(&blur(&crop.picture(), sigma));
        }
        let (contrast, brightness) = self.light;
        let lit = |&value: &u8| ((f32::from(value) - 127.5) * contrast + 127.5 + brightness) as u8;
        let lit = Crop::from_pixels(crop.pixels().iter().map(lit).collect()).unwrap_or(crop);
        Ok(if self.mirrored { lit.mirrored() } else { lit })
    }
}

#[cfg(test)]
mod tests {
    use super::Augmentation;
    use crate::align::{CROP_SIDE, TEMPLATE, align};
    use facefold_core::{FaceVariant, ImageKey};
    use image::{Rgb, RgbImage};

    /// A crop whose left half is dark, with marks of light around it.
    fn picture() -> RgbImage {
        let side = CROP_SIDE as u32;
        RgbImage::from_fn(side, side, |x, y| {
            let value = if x < side / 2 { 60 } else { 180 };
            Rgb([value, (y * 2) as u8, value / 2])
        })
    }

    fn crops(key: &ImageKey, versions: u32) -> Vec<Vec<u8>> {
        FaceVariant::augmented(versions)
            .map(|variant| {
                let crop = Augmentation::of(key, variant).crop(&picture(), &TEMPLATE);
                crop.unwrap().pixels().to_vec()
            })
            .collect()
    }

    #[test]
    fn versions_repeat_and_differ() {
        let (one, other) = (ImageKey::of(b"one"), ImageKey::of(b"other"));
        let all = crops(&one, 20);
        assert_eq!(all, crops(&one, 20));
        assert_eq!(all[..5], crops(&one, 5));
        let distinct: std::collections::BTreeSet<_> =
            all.iter().chain(&crops(&other, 20)).cloned().collect();
        assert_eq!(distinct.len(), 40);
    }

    #[test]
    fn versions_stay_near_the_crop() {
        let plain = align(&picture(), &TEMPLATE).unwrap();
        let mirrored = plain.mirrored();
        let mut sides = [0; 2];
        for crop in crops(&ImageKey::of(b"face"), 200) {
            let apart = |to: &[u8]| {
                let sum: f64 = to.iter().zip(&crop).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
                sum / crop.len() as f64
            };
            let apart = [apart(plain.pixels()), apart(mirrored.pixels())];
            assert!(apart[0].min(apart[1]) < 35.0, "{apart:?}");
            sides[usize::from(apart[1] < apart[0])] += 1;
        }
        assert!(sides.iter().all(|&count| count > 70), "{sides:?}");
    }
}
