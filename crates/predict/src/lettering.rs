//! Text rendering on pictures, in an embedded font.

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};
use facefold_core::font::DEJAVU_SANS;
use image::{Rgb, RgbImage};

/// Writes in one size.
pub(crate) struct Lettering {
    /// `None` only if the embedded file were corrupt, which a test excludes.
    font: Option<FontRef<'static>>,
    scale: PxScale,
}

impl Lettering {
    /// Letters with lines of `size` pixels.
    pub fn new(size: f32) -> Self {
        Self { font: FontRef::try_from_slice(DEJAVU_SANS).ok(), scale: PxScale::from(size) }
    }

    /// Height of a line, in pixels.
    pub fn height(&self) -> f32 {
        self.scale.y
    }

    /// Width of a text on one line, in pixels.
    pub fn width(&self, text: &str) -> f32 {
        self.glyphs(text).1
    }

    /// Writes a text on one line whose top left corner is given; it is clipped at the picture.
    pub fn write(
        &self,
        picture: &mut RgbImage,
        text: &str,
        [left, top]: [f32; 2],
        colour: [u8; 3],
    ) {
        let Some(font) = &self.font else { return };
        for mut glyph in self.glyphs(text).0 {
            glyph.position.x += left;
            glyph.position.y += top;
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let start = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                let (x, y) = (start.x as i64 + i64::from(x), start.y as i64 + i64::from(y));
                blend(picture, [x, y], colour, coverage);
            });
        }
    }

    /// The glyphs of a text, its top left corner at the origin, and its width.
    fn glyphs(&self, text: &str) -> (Vec<Glyph>, f32) {
        let Some(font) = &self.font else { return (Vec::new(), 0.0) };
        let scaled = font.as_scaled(self.scale);
        let (mut glyphs, mut x) = (Vec::new(), 0.0);
        for character in text.chars() {
            let glyph = scaled.scaled_glyph(character);
            let advance = scaled.h_advance(glyph.id);
            glyphs.push(Glyph { position: point(x, scaled.ascent()), ..glyph });
            x += advance;
        }
        (glyphs, x)
    }
}

/// Mixes a colour into a pixel; nothing outside the picture.
pub(crate) fn blend(picture: &mut RgbImage, [x, y]: [i64; 2], colour: [u8; 3], share: f32) {
    let inside = (0..i64::from(picture.width())).contains(&x)
        && (0..i64::from(picture.height())).contains(&y);
    if inside {
        let Rgb(under) = picture.get_pixel_mut(x as u32, y as u32);
        let share = share.clamp(0.0, 1.0);
        for (under, over) in under.iter_mut().zip(colour) {
            let mixed = f32::from(*under) * (1.0 - share) + f32::from(over) * share;
            *under = mixed.round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::Lettering;

    #[test]
    fn a_text_is_written_where_it_was_measured() {
        let letters = Lettering::new(20.0);
        let mut picture = RgbImage::new(200, 40);
        letters.write(&mut picture, "Zoë, 31", [10.0, 8.0], [255; 3]);
        let lit: Vec<(u32, u32)> = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0[0] > 60)
            .map(|(x, y, _)| (x, y))
            .collect();
        let right = 10.0 + letters.width("Zoë, 31");
        assert!(lit.len() > 150, "{} pixels", lit.len());
        assert!(lit.iter().all(|&(x, y)| x >= 10 && (x as f32) < right && (8..28).contains(&y)));
        assert!(lit.iter().any(|&(x, _)| x as f32 > right - 8.0), "the last digit is missing");
    }

    #[test]
    fn every_letter_of_western_names_has_a_shape() {
        let letters = Lettering::new(20.0);
        let missing = letters.glyphs("\u{fffd}漢").0;
        assert_eq!(missing.len(), 2, "what has no shape is still written as something");
        let unknown = missing[1].id;
        for letter in "AZaz09éßłŞșЖяΩω–%()".chars() {
            assert_ne!(letters.glyphs(&letter.to_string()).0[0].id, unknown, "{letter}");
        }
    }

    #[test]
    fn text_is_clipped_at_the_picture() {
        let mut picture = RgbImage::new(12, 12);
        Lettering::new(30.0).write(&mut picture, "wide", [-10.0, -10.0], [255; 3]);
        assert_eq!(picture.dimensions(), (12, 12));
    }
}
