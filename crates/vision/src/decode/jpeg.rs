//! JPEG: the markers of the file, and its pixels through zune-jpeg.

use facefold_core::{RejectReason, Rejection};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Header;

/// Bytes a pixel at the peak: three coefficients of 16 bits (a progressive picture keeps them
/// all) and three samples.
const PEAK_BYTES_PER_PIXEL: u64 = 9;

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// The segments of a JPEG file: marker and content, entropy-coded data skipped.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Entropy-coded data is skipped here too: in it 0xff is followed by 0 or a restart.
            self.at += self.bytes.get(self.at..)?.iter().position(|&byte| byte == 0xff)?;
            let marker = *self.bytes.get(self.at + 1)?;
            match marker {
                // A fill byte: the marker may start at the next one.
                0xff => self.at += 1,
                0x00 | 0x01 | 0xd0..=0xd8 => self.at += 2,
                END_OF_IMAGE => {
                    self.at = self.bytes.len();
                    return Some((marker, &[]));
                }
                _ => {
                    let start = self.at + 2;
                    let length = u16::from_be_bytes(*self.bytes.get(start..)?.first_chunk()?);
                    let end = start + usize::from(length.max(2));
                    self.at = end;
                    return Some((marker, self.bytes.get(start + 2..end)?));
                }
            }
        }
    }
}

fn segments(bytes: &[u8]) -> Segments<'_> {
    Segments { bytes, at: 2 }
}

/// Whether the picture's own end marker is there: not that of a thumbnail inside a segment, and
/// not before any scan.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    let mut scanned = false;
    segments(bytes).any(|(marker, _)| {
        scanned |= marker == START_OF_SCAN;
        scanned && marker == END_OF_IMAGE
    })
}

/// Size and components from the frame header.
pub(super) fn header(bytes: &[u8]) -> Result<Header, Rejection> {
    // Frame headers are 0xc0 to 0xcf but for the tables c4 and cc, and c8, which is reserved.
    let is_frame =
        |marker: u8| (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker);
    let frame = segments(bytes).find(|&(marker, _)| is_frame(marker)).map(|(_, content)| content);
    let Some(&[_, h1, h0, w1, w0, components, ..]) = frame else {
        return Err(Rejection::new(RejectReason::Undecodable, "no JPEG frame header was found"));
    };
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    let unusable_layout = match components {
        1 | 3 => None,
        4 => Some("four components (CMYK or YCCK)".to_owned()),
        count => Some(format!("{count} components")),
    };
    Ok(Header {
        width: width.into(),
        height: height.into(),
        memory: PEAK_BYTES_PER_PIXEL * u64::from(width) * u64::from(height),
        unusable_layout,
    })
}

/// Decodes to RGB and reads the EXIF orientation, without applying it.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), Rejection> {
    let undecodable = |detail: String| Rejection::new(RejectReason::Undecodable, detail);
    // Not strict: cameras pad segments and count restarts wrongly, and libjpeg forgives it too.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| undecodable(error.to_string()))?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| undecodable("the decoder found no dimensions".to_owned()))?;
    let orientation = decoder
        .exif()
        .and_then(|chunk| Orientation::from_exif_chunk(chunk))
        .unwrap_or(Orientation::NoTransforms);
    let found = pixels.len();
    let picture = RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| undecodable(format!("{found} samples for {width}x{height} pixels")))?;
    Ok((DynamicImage::ImageRgb8(picture), orientation))
}
