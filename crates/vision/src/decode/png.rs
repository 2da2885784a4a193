//! PNG: reads only the chunks that make pixels, with their checksums; texts, profiles and times
//! are never unpacked.

use std::borrow::Cow;

use facefold_core::Rejection;
use image::metadata::Orientation;

use super::container::{Endian, read_u32};
use super::{Prepared, exif, undecodable};

const SIGNATURE: usize = 8;

/// Keeps header, palette, transparency and data of a PNG, and reads how it is turned.
///
/// # Errors
/// A checksum that is wrong, or a second header.
pub(super) fn prepare(bytes: &[u8]) -> Result<Prepared<'_>, Rejection> {
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(&bytes[..SIGNATURE.min(bytes.len())]);
    let (mut frames, mut ends_early, mut orientation) = (1, true, Orientation::NoTransforms);
    let (mut at, mut headers) = (SIGNATURE, 0);
    while let Some((kind, content, end)) = chunk(bytes, at) {
        let pixels = matches!(kind, b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND");
        if (pixels || kind == b"eXIf") && !sound(bytes, at, end) {
            let kind = kind.escape_ascii();
            let detail = format!("the chunk {kind} at byte {at} does not have its checksum");
            return Err(undecodable(detail));
        }
        match kind {
            b"IHDR" => headers += 1,
            b"acTL" => frames = read_u32(content, 0, Endian::Big).unwrap_or(2).max(1),
            b"eXIf" => {
                orientation = exif::orientation(content).unwrap_or(orientation);
            }
            _ => {}
        }
        if pixels {
            kept.extend_from_slice(&bytes[at..end]);
        }
        if kind == b"IEND" {
            ends_early = false;
            break;
        }
        at = end;
    }
    if headers > 1 {
        return Err(undecodable("more than one header chunk"));
    }
    Ok(Prepared { bytes: Cow::Owned(kept), frames, ends_early, orientation })
}

/// Type and content of the chunk at a place, and where the next one starts; none where the file
/// ends before.
fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8], usize)> {
    let length = read_u32(bytes, at, Endian::Big)? as usize;
    let kind = bytes.get(at + 4..)?.first_chunk()?;
    let end = at.checked_add(length)?.checked_add(12)?;
    bytes.get(at..end)?;
    Some((kind, &bytes[at + 8..end - 4], end))
}

fn sound(bytes: &[u8], at: usize, end: usize) -> bool {
    let sum = read_u32(bytes, end - 4, Endian::Big);
    sum == Some(crc32fast::hash(&bytes[at + 4..end - 4]))
}
