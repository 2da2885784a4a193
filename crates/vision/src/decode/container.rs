//! GIF, TIFF and BMP: is the file whole, how many frames does it hold, and does all of it agree
//! with its header? Nothing is decoded.
//!
//! Most decoders stop at the first frame and forgive a missing end, so both are checked separately.

use std::borrow::Cow;
use std::io::Read;

use facefold_core::Rejection;
use flate2::read::ZlibDecoder;
use image::ImageFormat;
use image::metadata::Orientation;

use super::{Prepared, undecodable};

/// Most tags of a TIFF page; the standard defines fewer than a hundred.
const MOST_TAGS: usize = 4096;

/// Most strips or tiles of a page.
const MOST_STRIPS: usize = 1 << 20;

/// Walks the container. Corruption that is no early end is left to the decoder, but for sizes that
/// differ from those of the header.
pub(super) fn prepare(bytes: &[u8], format: ImageFormat) -> Result<Prepared<'_>, Rejection> {
    let mut orientation = Orientation::NoTransforms;
    // A walker gives nothing where the file ends before the container does.
    let frames = match format {
        ImageFormat::Gif => gif(bytes)?,
        ImageFormat::Tiff => {
            let pages = tiff(bytes)?;
            orientation = pages.as_ref().map_or(orientation, |pages| pages.orientation);
            pages.map(|pages| pages.count)
        }
        ImageFormat::Bmp => bmp(bytes),
        _ => Some(1),
    };
    Ok(Prepared {
        bytes: Cow::Borrowed(bytes),
        frames: frames.unwrap_or(1),
        ends_early: frames.is_none(),
        orientation,
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

/// The pages of a TIFF.
struct Pages {
    count: u32,
    /// Of the first.
    orientation: Orientation,
}

/// A list of directories, one a page; a reduced-size page (bit 0 of tag 254) is a thumbnail.
fn tiff(bytes: &[u8]) -> Result<Option<Pages>, Rejection> {
    let mut pages = Pages { count: 0, orientation: Orientation::NoTransforms };
    let mut first = true;
    let Some(tiff) = Tiff::open(bytes) else { return Ok(None) };
    let Some(mut at) = tiff.offset(if tiff.big { 8 } else { 4 }) else { return Ok(None) };
    // Two pages are enough to reject, which also ends a chain that loops.
    for _ in 0..16 {
        if at == 0 || pages.count > 1 {
            break;
        }
        let Some((entries, next)) = tiff.directory(at) else { return Ok(None) };
        if entries.len() > MOST_TAGS {
            return Err(undecodable(format!("a page with {} tags", entries.len())));
        }
        let tag = |wanted: u16| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, at)| *at);
        if first {
            // A picture in the picture, with a header of its own.
            let compression = tag(259).and_then(|at| read_u16(bytes, at, tiff.endian));
            if matches!(compression, Some(6 | 7)) {
                return Err(undecodable(
                    "JPEG within TIFF is not read: save it as one or the other",
                ));
            }
            let turn = tag(274).and_then(|at| read_u16(bytes, at, tiff.endian));
            let turn = turn.and_then(|turn| Orientation::from_exif(turn as u8));
            pages.orientation = turn.unwrap_or(Orientation::NoTransforms);
            first = false;
        }
        let thumbnail = tag(254).and_then(|at| read_u32(bytes, at, tiff.endian));
        pages.count += u32::from(thumbnail.is_none_or(|flags| flags & 1 == 0));
        at = next;
    }
    pages.count = pages.count.max(1);
    Ok(Some(pages))
}

struct Tiff<'a> {
    bytes: &'a [u8],
    endian: Endian,
    /// With offsets of 64 bits.
    big: bool,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let endian = if bytes.starts_with(b"II") { Endian::Little } else { Endian::Big };
        Some(Self { bytes, endian, big: read_u16(bytes, 2, endian)? == 43 })
    }

    fn offset(&self, at: usize) -> Option<usize> {
        if self.big {
            usize::try_from(read_u64(self.bytes, at, self.endian)?).ok()
        } else {
            read_u32(self.bytes, at, self.endian).map(|offset| offset as usize)
        }
    }

    /// Tags of the directory at a place, where the value of each lies, and the next directory.
    fn directory(&self, at: usize) -> Option<(Vec<(u16, usize)>, usize)> {
        let (entry_length, offset_length) = if self.big { (20, 8) } else { (12, 4) };
        let entries = if self.big {
            usize::try_from(read_u64(self.bytes, at, self.endian)?).ok()?
        } else {
            usize::from(read_u16(self.bytes, at, self.endian)?)
        };
        let first = at.checked_add(if self.big { 8 } else { 2 })?;
        let next = first.checked_add(entries.checked_mul(entry_length)?)?;
        self.bytes.get(..next.checked_add(offset_length)?)?;
        let entries = (first..next).step_by(entry_length).filter_map(|entry| {
            Some((read_u16(self.bytes, entry, self.endian)?, entry + entry_length - offset_length))
        });
        Some((entries.take(MOST_TAGS + 1).collect(), self.offset(next)?))
    }

    /// The whole numbers of the tag whose value lies at a place.
    fn numbers(&self, value: usize) -> Option<Vec<usize>> {
        let entry = value - if self.big { 12 } else { 8 };
        let count = self.offset(entry + 4).filter(|&count| count <= MOST_STRIPS)?;
        let width = match read_u16(self.bytes, entry + 2, self.endian)? {
            3 => 2,
            4 => 4,
            16 => 8,
            _ => return None,
        };
        let length = count.checked_mul(width)?;
        let inline = length <= if self.big { 8 } else { 4 };
        let start = if inline { value } else { self.offset(value)? };
        self.bytes.get(start..start.checked_add(length)?)?;
        let number = |at| match width {
            2 => read_u16(self.bytes, at, self.endian).map(usize::from),
            4 => read_u32(self.bytes, at, self.endian).map(|number| number as usize),
            _ => usize::try_from(read_u64(self.bytes, at, self.endian)?).ok(),
        };
        (start..start + length).step_by(width).map(number).collect()
    }
}

/// Checks the checksums that deflated strips or tiles of a TIFF's first page end with: its decoder
/// stops before them. They may unpack to at most so many bytes together.
pub(super) fn check_strips(bytes: &[u8], most: u64) -> Result<(), Rejection> {
    let page = Tiff::open(bytes).and_then(|tiff| {
        let (tags, _) = tiff.directory(tiff.offset(if tiff.big { 8 } else { 4 })?)?;
        Some((tiff, tags))
    });
    let Some((tiff, tags)) = page else { return Ok(()) };
    let tag = |wanted: u16| tags.iter().find(|(tag, _)| *tag == wanted).map(|(_, at)| *at);
    let compression = tag(259).and_then(|at| read_u16(bytes, at, tiff.endian));
    if !matches!(compression, Some(8 | 32_946)) {
        return Ok(());
    }
    let numbers = |strips: u16, tiles: u16| tiff.numbers(tag(strips).or_else(|| tag(tiles))?);
    let (Some(starts), Some(lengths)) = (numbers(273, 324), numbers(279, 325)) else {
        return Err(undecodable("strips without places or lengths"));
    };
    let mut left = most;
    for (number, (start, length)) in (1..).zip(starts.into_iter().zip(lengths)) {
        let strip = bytes.get(start..).and_then(|rest| rest.get(..length));
        let mut unpacked = ZlibDecoder::new(strip.unwrap_or_default()).take(left + 1);
        let taken = std::io::copy(&mut unpacked, &mut std::io::sink())
            .map_err(|error| undecodable(format!("strip {number}: {error}")))?;
        left = left
            .checked_sub(taken)
            .ok_or_else(|| undecodable("strips that hold more than the picture"))?;
    }
    Ok(())
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

fn read_u16(bytes: &[u8], at: usize, endian: Endian) -> Option<u16> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) })
}

pub(super) fn read_u32(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u32::from_be_bytes(*raw) } else { u32::from_le_bytes(*raw) })
}

fn read_u64(bytes: &[u8], at: usize, endian: Endian) -> Option<u64> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(if endian == Endian::Big { u64::from_be_bytes(*raw) } else { u64::from_le_bytes(*raw) })
}
