//! TIFF: which page is the picture, is the file whole, and does it agree with its checksums?

use std::borrow::Cow;
use std::io::Read;

use facefold_core::{RejectReason, Rejection};
use flate2::read::ZlibDecoder;

use super::container::{Endian, read_u16, read_u32, read_u64};
use super::{Prepared, exif, undecodable};

/// Most tags of a page; the standard defines fewer than a hundred.
const MOST_TAGS: usize = 4096;

/// Most strips or tiles of a page.
const MOST_STRIPS: usize = 1 << 20;

/// Most pages that are looked at.
const MOST_PAGES: usize = 16;

const KIND_OF_PAGE: u16 = 254;
const COMPRESSION: u16 = 259;
const SAMPLES: u16 = 277;
const PLANES: u16 = 284;
const TILE_WIDTH: u16 = 322;

/// Numbers and values of tags, and where each value lies.
type Tags = Vec<(u16, usize)>;

/// Finds the picture among the pages, and reads how it is turned.
///
/// # Errors
/// A page of a kind that is not read.
pub(super) fn prepare(bytes: &[u8]) -> Result<Prepared<'_>, Rejection> {
    let cut = || Prepared {
        bytes: Cow::Borrowed(bytes),
        frames: 1,
        ends_early: true,
        orientation: image::metadata::Orientation::NoTransforms,
    };
    let Some(tiff) = Tiff::open(bytes) else { return Ok(cut()) };
    let Some(pages) = tiff.pages()? else { return Ok(cut()) };
    let Some(tags) = tiff.tags(pages.picture) else { return Ok(cut()) };
    tiff.check_kind(&tags)?;
    Ok(Prepared {
        frames: pages.count,
        ends_early: false,
        orientation: exif::of_page(&tiff, &tags),
        bytes: tiff.starting_with(pages.picture),
    })
}

/// The pages of a TIFF.
struct Pages {
    count: u32,
    /// Where the directory of the picture is.
    picture: usize,
}

/// A list of directories, one a page.
pub(super) struct Tiff<'a> {
    bytes: &'a [u8],
    endian: Endian,
    /// With offsets of 64 bits.
    big: bool,
}

impl<'a> Tiff<'a> {
    /// None where the bytes do not start as a TIFF does.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        let endian = match bytes.first_chunk()? {
            b"II" => Endian::Little,
            b"MM" => Endian::Big,
            _ => return None,
        };
        let version = read_u16(bytes, 2, endian)?;
        matches!(version, 42 | 43).then_some(Self { bytes, endian, big: version == 43 })
    }

    /// Where the first directory is.
    pub fn first(&self) -> Option<usize> {
        self.offset(self.start())
    }

    /// Where the header has the first directory's place.
    fn start(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn offset(&self, at: usize) -> Option<usize> {
        if self.big {
            usize::try_from(read_u64(self.bytes, at, self.endian)?).ok()
        } else {
            read_u32(self.bytes, at, self.endian).map(|offset| offset as usize)
        }
    }

    /// Lengths of a tag and of an offset.
    fn lengths(&self) -> (usize, usize) {
        if self.big { (20, 8) } else { (12, 4) }
    }

    /// Where a directory's tags start, and where they end.
    fn range(&self, at: usize) -> Option<(usize, usize)> {
        let count = if self.big {
            usize::try_from(read_u64(self.bytes, at, self.endian)?).ok()?
        } else {
            usize::from(read_u16(self.bytes, at, self.endian)?)
        };
        let start = at.checked_add(if self.big { 8 } else { 2 })?;
        Some((start, start.checked_add(count.checked_mul(self.lengths().0)?)?))
    }

    /// The tags of the directory at a place, those that the file does not cut off, and at most one
    /// more than is allowed.
    pub fn tags(&self, at: usize) -> Option<Tags> {
        let (start, end) = self.range(at)?;
        let (tag_length, offset_length) = self.lengths();
        let end = end.min(self.bytes.len());
        let tag = |tag: usize| {
            let value = tag + tag_length - offset_length;
            self.bytes.get(value..value + offset_length)?;
            Some((read_u16(self.bytes, tag, self.endian)?, value))
        };
        Some((start..end).step_by(tag_length).map_while(tag).take(MOST_TAGS + 1).collect())
    }

    /// Where the directory behind the one at a place is, 0 where there is none.
    fn next(&self, at: usize) -> Option<usize> {
        self.offset(self.range(at)?.1)
    }

    /// The picture is the only page that is no reduced copy of another (bit 0 of tag 254), or the
    /// first of all if each is one. None where the file ends before its list of pages.
    fn pages(&self) -> Result<Option<Pages>, Rejection> {
        let Some(first) = self.first() else { return Ok(None) };
        let (mut at, mut count, mut picture) = (first, 0, None);
        // Two pages are enough to reject; the limit also ends a chain that loops.
        for _ in 0..MOST_PAGES {
            if at == 0 || count > 1 {
                break;
            }
            let (Some(tags), Some(next)) = (self.tags(at), self.next(at)) else {
                return Ok(None);
            };
            if tags.len() > MOST_TAGS {
                return Err(undecodable(format!("a page with {} tags", tags.len())));
            }
            if self.number(&tags, KIND_OF_PAGE).is_none_or(|flags| flags & 1 == 0) {
                count += 1;
                picture = picture.or(Some(at));
            }
            at = next;
        }
        if picture.is_none() && at != 0 {
            return Err(undecodable(format!(
                "the first {MOST_PAGES} pages are all reduced copies"
            )));
        }
        Ok(Some(Pages { count: count.max(1), picture: picture.unwrap_or(first) }))
    }

    /// # Errors
    /// What the decoder does not read, in words of the file.
    fn check_kind(&self, tags: &Tags) -> Result<(), Rejection> {
        // A picture in the picture, with a header of its own.
        if matches!(self.number(tags, COMPRESSION), Some(6 | 7)) {
            return Err(undecodable("JPEG within TIFF is not read: save it as one or the other"));
        }
        let planes = self.number(tags, PLANES) == Some(2)
            && self.number(tags, SAMPLES).is_some_and(|samples| samples > 1);
        if planes && tags.iter().any(|&(tag, _)| tag == TILE_WIDTH) {
            return Err(undecodable(
                "tiles with a plane for each colour are not read: save the TIFF in strips, or with \
                 the colours of a pixel side by side",
            ));
        }
        Ok(())
    }

    /// The file whose first directory is the one at a place.
    fn starting_with(&self, directory: usize) -> Cow<'a, [u8]> {
        if self.first() == Some(directory) {
            return Cow::Borrowed(self.bytes);
        }
        let mut bytes = self.bytes.to_vec();
        let mut place = (directory as u64).to_le_bytes()[..self.lengths().1].to_vec();
        if self.endian == Endian::Big {
            place.reverse();
        }
        bytes[self.start()..self.start() + place.len()].copy_from_slice(&place);
        Cow::Owned(bytes)
    }

    /// The first number of a tag.
    pub fn number(&self, tags: &[(u16, usize)], wanted: u16) -> Option<usize> {
        self.numbers(tags, wanted)?.first().copied()
    }

    /// The whole numbers of a tag.
    fn numbers(&self, tags: &[(u16, usize)], wanted: u16) -> Option<Vec<usize>> {
        let value = tags.iter().find(|(tag, _)| *tag == wanted)?.1;
        let entry = value - if self.big { 12 } else { 8 };
        let count = self.offset(entry + 4).filter(|&count| count <= MOST_STRIPS)?;
        let width = match read_u16(self.bytes, entry + 2, self.endian)? {
            1 => 1,
            3 => 2,
            4 => 4,
            16 => 8,
            _ => return None,
        };
        let length = count.checked_mul(width)?;
        let inline = length <= self.lengths().1;
        let start = if inline { value } else { self.offset(value)? };
        self.bytes.get(start..start.checked_add(length)?)?;
        let number = |at| match width {
            1 => self.bytes.get(at).copied().map(usize::from),
            2 => read_u16(self.bytes, at, self.endian).map(usize::from),
            4 => read_u32(self.bytes, at, self.endian).map(|number| number as usize),
            _ => usize::try_from(read_u64(self.bytes, at, self.endian)?).ok(),
        };
        (start..start + length).step_by(width).map(number).collect()
    }

    /// Places and lengths of the strips or tiles of the page with these tags.
    fn strips(&self, tags: &Tags) -> Option<Vec<(usize, usize)>> {
        let numbers =
            |strips, tiles| self.numbers(tags, strips).or_else(|| self.numbers(tags, tiles));
        Some(numbers(273, 324)?.into_iter().zip(numbers(279, 325)?).collect())
    }
}

/// Checks the checksums that deflated strips or tiles of a TIFF's first page end with: its decoder
/// stops before them. They may unpack to at most so many bytes together.
pub(super) fn check_strips(bytes: &[u8], most: u64) -> Result<(), Rejection> {
    let Some((tiff, tags)) = first_page(bytes) else { return Ok(()) };
    if !matches!(tiff.number(&tags, COMPRESSION), Some(8 | 32_946)) {
        return Ok(());
    }
    let strips =
        tiff.strips(&tags).ok_or_else(|| undecodable("strips without places or lengths"))?;
    let mut left = most;
    for (number, (start, length)) in (1..).zip(strips) {
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

/// Why the first page was not decoded: because the file ends before its pixels do, or as the
/// decoder says.
pub(super) fn explained(bytes: &[u8], rejection: Rejection) -> Rejection {
    let strips = first_page(bytes).and_then(|(tiff, tags)| tiff.strips(&tags)).unwrap_or_default();
    let end = strips.iter().map(|(start, length)| start.saturating_add(*length)).max();
    if end > Some(bytes.len()) {
        let detail = format!("the file ends early, after {} bytes", bytes.len());
        return Rejection::new(RejectReason::Truncated, detail);
    }
    // The decoder says so of some whole files too.
    if rejection.detail.contains("no lzw end code") {
        return undecodable(
            "the LZW data are corrupt, or tiles of a kind that is not read: save the TIFF without \
             tiles or without LZW",
        );
    }
    rejection
}

fn first_page(bytes: &[u8]) -> Option<(Tiff<'_>, Tags)> {
    let tiff = Tiff::open(bytes)?;
    let tags = tiff.tags(tiff.first()?)?;
    Some((tiff, tags))
}

#[cfg(test)]
mod tests;
