//! WebP: the picture's own chunk, without profiles, descriptions and transparency.

use std::borrow::Cow;

use facefold_core::Rejection;
use image::metadata::Orientation;

use super::container::{Endian, read_u32};
use super::{Prepared, exif, undecodable};

const HEADER: usize = 12;

/// More bytes than an encoder writes beyond those that a decoder needs.
const SPARED: usize = 32;

/// Shorter data are those of icons, and too short for that.
const LEAST: usize = 1024;

/// Keeps the chunk with the pixels, and reads how the picture is turned. Transparency is dropped
/// here and not after decoding: it changes no colour.
///
/// # Errors
/// Several pictures, or a canvas of another size than the picture.
pub(super) fn prepare(bytes: &[u8]) -> Result<Prepared<'_>, Rejection> {
    let (mut frames, mut orientation) = (0, Orientation::NoTransforms);
    let (mut canvas, mut picture) = (None, None);
    let announced = read_u32(bytes, 4, Endian::Little).map_or(usize::MAX, |length| length as usize);
    let end = announced.saturating_add(8);
    let mut at = HEADER;
    while let Some((kind, content, next)) = chunk(&bytes[..end.min(bytes.len())], at) {
        match &kind {
            b"VP8X" => canvas = content.get(4..10).map(|sides| (three(sides), three(&sides[3..]))),
            b"ANMF" => frames += 1,
            b"EXIF" => orientation = exif::orientation(content).unwrap_or(orientation),
            b"VP8 " | b"VP8L" if picture.is_some() => {
                return Err(undecodable("more than one picture in the file"));
            }
            b"VP8 " | b"VP8L" => picture = Some((kind, content)),
            _ => {}
        }
        at = next;
    }
    let kept = match picture {
        Some((kind, content))
            if canvas.is_none_or(|canvas| Some(canvas) == size(kind, content)) =>
        {
            Cow::Owned(simple(kind, content))
        }
        Some(_) => return Err(undecodable("the canvas has another size than the picture")),
        None => Cow::Borrowed(bytes),
    };
    let ends_early = end > bytes.len() || at + 8 <= end;
    Ok(Prepared { bytes: kept, frames: frames.max(1), ends_early, orientation })
}

/// A file made by [`simple`] without the last bytes of its data.
///
/// Neither kind of picture has a checksum, but the decoder notices where data end early. Whole ones
/// are needed to the last byte: with corrupt ones it stops before or reads beyond.
pub(super) fn shortened(bytes: &[u8]) -> Option<Vec<u8>> {
    let (kind, content, end) = chunk(bytes, HEADER)?;
    let simple_picture = end == bytes.len() && matches!(&kind, b"VP8 " | b"VP8L");
    let kept = content.get(..content.len().max(LEAST) - SPARED)?;
    simple_picture.then(|| simple(kind, kept))
}

/// A file with a single picture chunk.
fn simple(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = content.len() % 2;
    let mut bytes = Vec::with_capacity(content.len() + 24);
    bytes.extend(b"RIFF");
    bytes.extend((content.len() as u32 + padding as u32 + 12).to_le_bytes());
    bytes.extend(b"WEBP");
    bytes.extend(kind);
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes.extend(&[0][..padding]);
    bytes
}

/// Type and content of the chunk at a place, and where the next one starts.
fn chunk(bytes: &[u8], at: usize) -> Option<([u8; 4], &[u8], usize)> {
    let kind = *bytes.get(at..)?.first_chunk()?;
    let length = read_u32(bytes, at + 4, Endian::Little)? as usize;
    let content = bytes.get(at + 8..)?.get(..length)?;
    Some((kind, content, at + 8 + length + length % 2))
}

/// A number of three bytes, plus one, as the canvas has its sides.
fn three(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1
}

/// Width and height in the header of a lossy (RFC 6386, 9.1) or lossless picture.
fn size(kind: [u8; 4], content: &[u8]) -> Option<(u32, u32)> {
    let bits = |at: usize| read_u32(content, at, Endian::Little);
    if &kind == b"VP8L" {
        let bits = bits(1)?;
        Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
    } else {
        let bits = bits(6)?;
        Some((bits & 0x3fff, bits >> 16 & 0x3fff))
    }
}
