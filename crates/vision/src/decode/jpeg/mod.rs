//! JPEG: the file is taken apart here, every block of its scans is counted, and only what makes
//! pixels is handed on, so that no other reader of the file can see another picture in it.
//!
//! A scan has no checksum. Corrupt data are detected because they hold another number of blocks
//! than the frame has, no code at all, or blocks that only zeros make ([`zeros`]); a decoder would
//! fill in the rest. So the codes are walked ([`scan`]) before zune-jpeg decodes the picture. It
//! mistakes sequential pictures in several scans, and unusual sampling: those are decoded here as
//! libjpeg does ([`planes`]), and progressive pictures of such sampling are rejected.

mod bits;
mod file;
mod frame;
mod huffman;
mod idct;
mod planes;
mod scan;
mod tables;
mod zeros;

use facefold_core::{RejectReason, Rejection};
use image::{DynamicImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Header;
pub(super) use file::File;
use frame::Frame;

/// Bytes a pixel at the peak: three coefficients of 16 bits (a progressive picture keeps them
/// all) and three samples.
const PEAK_BYTES_PER_PIXEL: u64 = 9;

/// Size and components from the frame header.
pub(super) fn header(file: &File) -> Result<Header, Rejection> {
    let frame = file.frame()?;
    let unusable_layout = match frame.components.len() {
        1 | 3 => None,
        4 => Some("four components (CMYK or YCCK)".to_owned()),
        count => Some(format!("{count} components")),
    };
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    Ok(Header {
        width,
        height,
        memory: PEAK_BYTES_PER_PIXEL * u64::from(width) * u64::from(height),
        unusable_layout,
    })
}

/// Decodes to RGB, without EXIF orientation.
pub(super) fn decode(file: &File) -> Result<DynamicImage, Rejection> {
    let frame = file.frame()?;
    file.check_scans()?;
    let usual = frame.is_sampled_as_usual();
    let pixels = if frame.progressive {
        if !usual {
            return Err(unusual_sampling(frame));
        }
        scan::check_progressive(file)?;
        by_zune(&file.canonical()?)?
    } else if usual && file.scans.len() == 1 {
        scan::check_sequential(file)?;
        by_zune(&file.canonical()?)?
    } else {
        planes::decode(file)?
    };
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let found = pixels.len();
    let picture = RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| undecodable(format!("{found} samples for {width}x{height} pixels")))?;
    Ok(DynamicImage::ImageRgb8(picture))
}

fn by_zune(canonical: &[u8]) -> Result<Vec<u8>, Rejection> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(canonical), options);
    decoder.decode().map_err(|error| undecodable(error.to_string()))
}

fn unusual_sampling(frame: &Frame) -> Rejection {
    let factors: Vec<String> = frame
        .components
        .iter()
        .map(|component| format!("{}x{}", component.h, component.v))
        .collect();
    undecodable(format!(
        "a progressive JPEG whose components are sampled {} is not read: save it as a baseline JPEG",
        factors.join(", ")
    ))
}

fn undecodable(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectReason::Undecodable, detail)
}

#[cfg(test)]
mod tests;
