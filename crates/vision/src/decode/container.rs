//! GIF and BMP: is the file whole, how many frames does it hold, and does all of it agree with its
//! header? Nothing is decoded.
//!
//! Most decoders stop at the first frame and forgive a missing end, so both are checked separately.

use std::borrow::Cow;

use facefold_core::Rejection;
use image::ImageFormat;
use image::metadata::Orientation;

use super::{Prepared, undecodable};

/// Walks the container. Corruption that is no early end is left to the decoder, but for sizes that
/// differ from those of the header.
pub(super) fn prepare(bytes: &[u8], format: ImageFormat) -> Result<Prepared<'_>, Rejection> {
    // A walker gives nothing where the file ends before the container does.
    let frames = match format {
        ImageFormat::Gif => gif(bytes)?,
        ImageFormat::Bmp => bmp(bytes),
        _ => Some(1),
    };
    Ok(Prepared {
        bytes: Cow::Borrowed(bytes),
        frames: frames.unwrap_or(1),
        ends_early: frames.is_none(),
        orientation: Orientation::NoTransforms,
    })
}

/// Header and colour table, then extension (0x21) and image (0x2c) blocks up to the trailer.
fn gif(bytes: &[u8]) -> Result<Option<u32>, Rejection> {
    let side = |at: usize| read_u16(bytes, at, Endian::Little).map(u32::from);
    let mut frames = Frames { count: 0, inside: true, screen: [side(6), side(8)] };
    let whole = gif_blocks(bytes, &mut frames);
    if frames.inside {
        Ok(whole.map(|()| frames.count))
    } else {
        Err(undecodable("a frame that lies outside of the picture"))
    }
}

struct Frames {
    count: u32,
    /// Whether all of them lie within the screen.
    inside: bool,
    screen: [Option<u32>; 2],
}

fn gif_blocks(bytes: &[u8], frames: &mut Frames) -> Option<()> {
    let colour_table = |flags: u8| {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    };
    let side = |at: usize| read_u16(bytes, at, Endian::Little).map(u32::from);
    let mut at = 13 + colour_table(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            0x21 => at = after_sub_blocks(bytes, at + 2)?,
            0x2c => {
                frames.count += 1;
                let end = [side(at + 1)? + side(at + 5)?, side(at + 3)? + side(at + 7)?];
                frames.inside &=
                    Some(end[0]) <= frames.screen[0] && Some(end[1]) <= frames.screen[1];
                let table = colour_table(*bytes.get(at + 9)?);
                at = after_sub_blocks(bytes, at + 10 + table + 1)?;
            }
            // The trailer, or corruption that the decoder reports.
            _ => return Some(()),
        }
    }
}

fn after_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    }
}

/// An uncompressed bitmap's rows follow from its header; other kinds are left to the decoder.
fn bmp(bytes: &[u8]) -> Option<u32> {
    let start = read_u32(bytes, 10, Endian::Little)? as usize;
    if read_u32(bytes, 14, Endian::Little)? < 40 {
        return Some(1);
    }
    let width = read_u32(bytes, 18, Endian::Little)? as usize;
    let height = (read_u32(bytes, 22, Endian::Little)? as i32).unsigned_abs() as usize;
    let bits = usize::from(read_u16(bytes, 28, Endian::Little)?);
    let uncompressed = matches!(read_u32(bytes, 30, Endian::Little)?, 0 | 3);
    let rows = width
        .checked_mul(bits)
        .map(|bits| bits.div_ceil(32) * 4)
        .and_then(|row| row.checked_mul(height));
    let whole = rows.is_some_and(|rows| rows <= bytes.len().saturating_sub(start));
    (whole || !uncompressed).then_some(1)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

pub(super) fn read_u16(bytes: &[u8], at: usize, endian: Endian) -> Option<u16> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) })
}

pub(super) fn read_u32(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u32::from_be_bytes(*raw) } else { u32::from_le_bytes(*raw) })
}

pub(super) fn read_u64(bytes: &[u8], at: usize, endian: Endian) -> Option<u64> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u64::from_be_bytes(*raw) } else { u64::from_le_bytes(*raw) })
}

#[cfg(test)]
mod tests {
    use facefold_core::RejectReason;

    use super::super::{Limits, decode};

    #[test]
    fn a_bitmap_with_a_short_header_that_ends_early_is_truncated() {
        // Length, place of the pixels, length of the second header, sides, planes and bits.
        let mut whole = b"BM\x1a\x03\0\0\0\0\0\0\x1a\0\0\0".to_vec();
        whole.extend(b"\x0c\0\0\0\x10\0\x10\0\x01\0\x18\0");
        whole.extend([90; 3 * 16 * 16]);
        assert!(decode(&whole, &Limits::default()).is_ok());
        let rejection = decode(&whole[..whole.len() / 2], &Limits::default()).unwrap_err();
        assert_eq!(rejection.reason, RejectReason::Truncated, "{rejection:?}");
    }
}
