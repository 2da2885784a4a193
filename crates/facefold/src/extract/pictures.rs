//! Pictures for containers: decoded, turned upright and measured by the local extractor's code.

use std::borrow::Cow;

use facefold_core::{RejectReason, Rejection};
use facefold_insightface::{Attempt, Canvas, Crop, Format, Picture, Pictures, Quality};
use facefold_vision::align::{self, CROP_SIDE};
use facefold_vision::decode::{Decoded, Limits, inspect};
use facefold_vision::detect;
use facefold_vision::extractor::whole;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// Quality of a JPEG that stands for a PNG: its errors are a tenth of those of a camera's own JPEG.
const JPEG_QUALITY: u8 = 98;

/// Decodes pictures as the local extractor does, under the same limits.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    limits: Limits,
}

struct DecodedPicture(Decoded);

impl Pictures for Decoder {
    fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection> {
        Ok(Box::new(DecodedPicture(inspect(bytes, &self.limits)?.decode()?)))
    }

    fn is_stored_upright(&self, bytes: &[u8]) -> bool {
        inspect(bytes, &self.limits).is_ok_and(|picture| picture.is_stored_upright())
    }

    fn attempts(&self, [width, height]: [u32; 2]) -> Vec<Attempt> {
        let attempts = detect::attempts(width, height).into_iter();
        attempts.map(|attempt| Attempt { padding: attempt.padding, side: attempt.side }).collect()
    }
}

impl Picture for DecodedPicture {
    fn size(&self) -> [u32; 2] {
        [self.0.width(), self.0.height()]
    }

    fn encode(&self, canvas: Canvas, reduction: u32, format: Format) -> Result<Vec<u8>, Rejection> {
        let [width, height] = canvas.size;
        let mut drawn = Cow::Borrowed(&*self.0);
        if canvas.size != self.size() {
            let mut padded = RgbImage::new(width, height);
            let place = i64::from(canvas.offset);
            image::imageops::replace(&mut padded, &*self.0, place, place);
            drawn = Cow::Owned(padded);
        }
        if reduction > 1 {
            let [width, height] = canvas.size.map(|side| (side / reduction).max(1));
            drawn = Cow::Owned(image::imageops::thumbnail(drawn.as_ref(), width, height));
        }
        let size = [drawn.width(), drawn.height()];
        match format {
            Format::Png => png(drawn.as_raw(), size),
            Format::Jpeg => jpeg(drawn.as_raw(), size),
        }
    }

    fn crop(&self) -> Result<Crop, Rejection> {
        let face = whole(&self.0);
        Ok(Crop {
            png: png(face.crop.pixels(), [CROP_SIDE as u32; 2])?,
            bounding_box: face.detection.bounding_box,
            landmarks: face.detection.landmarks,
            quality: measured(&face.crop),
        })
    }

    fn quality(&self, landmarks: &[[f32; 2]; 5]) -> Result<Quality, Rejection> {
        align::align(&self.0, landmarks).map(|crop| measured(&crop))
    }
}

fn measured(crop: &align::Crop) -> Quality {
    Quality { luminance: crop.luminance(), sharpness: crop.sharpness() }
}

/// RGB pixels as PNG, quickly: it goes over a network once and is thrown away.
fn png(pixels: &[u8], [width, height]: [u32; 2]) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Sub)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| unwritten([width, height], "PNG", &error))?;
    Ok(bytes)
}

/// RGB pixels as JPEG, for servers that refuse the PNG as too large.
fn jpeg(pixels: &[u8], [width, height]: [u32; 2]) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| unwritten([width, height], "JPEG", &error))?;
    Ok(bytes)
}

fn unwritten([width, height]: [u32; 2], format: &str, error: &image::ImageError) -> Rejection {
    let detail = format!("{width}x{height} cannot be sent as {format}: {error}");
    Rejection::new(RejectReason::TooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use facefold_insightface::{Attempt, Canvas, Format, Pictures};
    use image::{Rgb, RgbImage};

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 24, |x, y| Rgb([x as u8, y as u8, 200]))
    }

    fn written(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn what_is_sent_has_the_same_pixels_with_zeros_around() {
        let decoder = Decoder::default();
        let bytes = written(&picture());
        let opened = decoder.open(&bytes).unwrap();
        let sent = |canvas: Canvas, reduction: u32, format: Format| {
            let bytes = opened.encode(canvas, reduction, format).unwrap();
            image::load_from_memory(&bytes).unwrap().into_rgb8()
        };
        let bare = Canvas { offset: 0, size: [40, 24] };
        assert_eq!(sent(bare, 1, Format::Png), picture());
        let padded = sent(Canvas { offset: 10, size: [60, 44] }, 1, Format::Png);
        assert_eq!(padded.dimensions(), (60, 44));
        let wide = sent(Canvas { offset: 0, size: [100, 24] }, 1, Format::Png);
        assert_eq!(wide.get_pixel(39, 23), &Rgb([39, 23, 200]));
        assert_eq!(wide.get_pixel(40, 23), &Rgb([0, 0, 0]));
        for (reduction, size) in [(1, (40, 24)), (2, (20, 12))] {
            let jpeg = sent(bare, reduction, Format::Jpeg);
            assert_eq!(jpeg.dimensions(), size);
            let (x, y) = (5 * reduction, 7 * reduction);
            let expected = [x as f32 + (reduction - 1) as f32 / 2.0, y as f32, 200.0];
            for (found, expected) in jpeg.get_pixel(5, 7).0.into_iter().zip(expected) {
                assert!((f32::from(found) - expected).abs() <= 4.0, "{found} {expected}");
            }
        }
        assert_eq!(
            decoder.attempts([200, 100])[..2],
            [Attempt { padding: 0, side: 256 }, Attempt { padding: 50, side: 320 },]
        );
        assert_eq!(padded.get_pixel(9, 20), &Rgb([0, 0, 0]));
        assert_eq!(padded.get_pixel(10, 10), &Rgb([0, 0, 200]));
        assert_eq!(padded.get_pixel(49, 33), &Rgb([39, 23, 200]));
        let crop = opened.crop().unwrap();
        let small = image::load_from_memory(&crop.png).unwrap();
        assert_eq!((small.width(), small.height()), (112, 112));
        assert_eq!(crop.bounding_box, [0.0, 0.0, 40.0, 24.0].into());
    }

    #[test]
    fn exif_orientation_is_applied_before_sending() {
        // A JPEG of 40 x 24 with an EXIF segment that says 6: turn right by a quarter.
        let mut jpeg = std::io::Cursor::new(Vec::new());
        picture().write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
        let mut exif = b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00".to_vec();
        exif.extend(b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00");
        let turned = [&jpeg.get_ref()[..2], &exif, &jpeg.get_ref()[2..]].concat();
        let decoder = Decoder::default();
        assert_eq!(decoder.open(jpeg.get_ref()).unwrap().size(), [40, 24]);
        let opened = decoder.open(&turned).unwrap();
        assert_eq!(opened.size(), [24, 40]);
        let bare = Canvas { offset: 0, size: [24, 40] };
        let sent = image::load_from_memory(&opened.encode(bare, 1, Format::Png).unwrap()).unwrap();
        assert_eq!((sent.width(), sent.height()), (24, 40));
        assert!(decoder.is_stored_upright(jpeg.get_ref()) && !decoder.is_stored_upright(&turned));
    }
}
