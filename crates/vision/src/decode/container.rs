//! Walks a picture file's container, without decoding: is the file whole, and how many frames
//! does it hold?
//!
//! Most decoders stop at the first frame and forgive a missing end, so both must be asked apart.

use facefold_core::{RejectReason, Rejection};
use image::ImageFormat;

use super::jpeg;

/// What walking a container shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Structure {
    /// Frames or pages; counting may stop at two.
    pub frames: u32,
    /// Whether the container's own end was reached inside the file.
    pub complete: bool,
}

impl Structure {
    /// The rejection of an incomplete file.
    pub fn truncation(self, bytes: &[u8]) -> Option<Rejection> {
        let detail = format!("the file ends early, after {} bytes", bytes.len());
        (!self.complete).then(|| Rejection::new(RejectReason::Truncated, detail))
    }
}

/// Walks the container of a recognised format. Damage that is no early end is left to the decoder.
pub(super) fn walk(bytes: &[u8], format: ImageFormat) -> Structure {
    // A walker gives nothing where the file ends before the container does.
    let frames = match format {
        ImageFormat::Jpeg => jpeg::has_end(bytes).then_some(1),
        ImageFormat::Png => png(bytes),
        ImageFormat::Gif => gif(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Tiff => tiff(bytes),
        ImageFormat::Bmp => bmp(bytes),
        _ => Some(1),
    };
    Structure { frames: frames.unwrap_or(1), complete: frames.is_some() }
}

/// Chunks of length, type, content, checksum; the last is `IEND`. `acTL` announces an animation.
fn png(bytes: &[u8]) -> Option<u32> {
    let mut frames = 1;
    let mut at = 8;
    loop {
        let length = read_u32(bytes, at, Endian::Big)? as usize;
        let start = at + 8;
        let kind = bytes.get(at + 4..start)?;
        at = at.checked_add(length)?.checked_add(12)?;
        match kind {
            b"IEND" => return (at <= bytes.len()).then_some(frames),
            b"acTL" => frames = read_u32(bytes, start, Endian::Big)?.max(1),
            _ => {}
        }
    }
}

/// Header and colour table, then extension (0x21) and image (0x2c) blocks up to the trailer.
fn gif(bytes: &[u8]) -> Option<u32> {
    let colour_table = |flags: u8| {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    };
    let mut frames = 0;
    let mut at = 13 + colour_table(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            0x21 => at = after_sub_blocks(bytes, at + 2)?,
            0x2c => {
                frames += 1;
                let table = colour_table(*bytes.get(at + 9)?);
                at = after_sub_blocks(bytes, at + 10 + table + 1)?;
            }
            // The trailer, or damage that the decoder will name.
            _ => return Some(frames),
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

/// A RIFF file: its length, then chunks padded to even lengths; each `ANMF` is a frame.
fn webp(bytes: &[u8]) -> Option<u32> {
    let end = 8 + read_u32(bytes, 4, Endian::Little)? as usize;
    if end > bytes.len() {
        return None;
    }
    let mut frames = 0;
    let mut at = 12;
    while at + 8 <= end {
        if bytes.get(at..at + 4)? == b"ANMF" {
            frames += 1;
        }
        let length = read_u32(bytes, at + 4, Endian::Little)? as usize;
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
    }
    Some(frames.max(1))
}

/// A list of directories, one a page; a reduced-size page (bit 0 of tag 254) is a thumbnail.
fn tiff(bytes: &[u8]) -> Option<u32> {
    let endian = if bytes.starts_with(b"II") { Endian::Little } else { Endian::Big };
    let big = read_u16(bytes, 2, endian)? == 43;
    let (entry_length, offset_length) = if big { (20, 8) } else { (12, 4) };
    let offset = |at: usize| {
        if big {
            usize::try_from(read_u64(bytes, at, endian)?).ok()
        } else {
            read_u32(bytes, at, endian).map(|offset| offset as usize)
        }
    };
    let mut pages = 0;
    let mut directory = offset(if big { 8 } else { 4 })?;
    // Two pages are enough to reject, which also ends a chain that loops.
    for _ in 0..16 {
        if directory == 0 || pages > 1 {
            break;
        }
        let entries = if big {
            usize::try_from(read_u64(bytes, directory, endian)?).ok()?
        } else {
            usize::from(read_u16(bytes, directory, endian)?)
        };
        let first = directory + if big { 8 } else { 2 };
        let next = first.checked_add(entries.checked_mul(entry_length)?)?;
        bytes.get(..next.checked_add(offset_length)?)?;
        let thumbnail = (first..next).step_by(entry_length).any(|entry| {
            let value = entry + entry_length - offset_length;
            read_u16(bytes, entry, endian) == Some(254)
                && read_u32(bytes, value, endian).is_some_and(|flags| flags & 1 == 1)
        });
        pages += u32::from(!thumbnail);
        directory = offset(next)?;
    }
    Some(pages.max(1))
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
enum Endian {
    Little,
    Big,
}

fn read_u16(bytes: &[u8], at: usize, endian: Endian) -> Option<u16> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) })
}

fn read_u32(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u32::from_be_bytes(*raw) } else { u32::from_le_bytes(*raw) })
}

fn read_u64(bytes: &[u8], at: usize, endian: Endian) -> Option<u64> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u64::from_be_bytes(*raw) } else { u64::from_le_bytes(*raw) })
}
