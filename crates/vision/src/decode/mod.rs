//! The bytes of a picture file become an upright RGB picture, or a typed rejection.
//!
//! JPEG, PNG, WebP, BMP, TIFF and single-frame GIF are read. What happens to unusual pictures:
//!
//! - EXIF orientation is applied, so that a head is upright where the camera knew which way up
//!   it was held.
//! - Grey pictures and palettes become RGB; an alpha channel is dropped, as OpenCV does;
//!   16 bits a channel are rounded to 8.
//! - CMYK and YCCK are rejected as [`RejectReason::WrongChannels`]: without their ink profile
//!   there is no agreed way to RGB. So are floating-point samples, whose white is anywhere.
//! - Several frames or pages are rejected as [`RejectReason::Animated`]: a label row does not say
//!   which of them it labels.
//! - A file that ends early is rejected even where a decoder would fill the rest with grey.

mod container;
mod jpeg;

use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

use facefold_core::{RejectReason, Rejection};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader,
    RgbImage,
};

/// What a picture may cost, checked from its header before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels; more is [`RejectReason::TooLarge`].
    pub pixels: u64,
    /// Most bytes of memory that decoding may take; more is [`RejectReason::TooLarge`].
    pub memory: u64,
    /// Least length of the shorter side in pixels; less is [`RejectReason::TooSmall`].
    pub shorter_side: u32,
}

impl Default for Limits {
    /// 100 megapixels, 1 GiB, 16 pixels.
    fn default() -> Self {
        Self { pixels: 100_000_000, memory: 1 << 30, shorter_side: 16 }
    }
}

/// A picture whose header fits the limits and whose file is whole, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Inspected<'a> {
    bytes: &'a [u8],
    format: ImageFormat,
    width: u32,
    height: u32,
    memory: u64,
}

/// Decodes a picture: [`inspect`], then [`Inspected::decode`].
///
/// # Errors
/// The rejection of whichever step failed.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Rejection> {
    inspect(bytes, limits)?.decode()
}

/// Reads a picture's header and checks that the file can be decoded within the limits.
///
/// # Errors
/// `Empty`, `NotAPicture`, `Undecodable`, `Truncated`, `TooLarge`, `TooSmall`, `WrongChannels` or
/// `Animated`, in the order in which they can be told.
pub fn inspect<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Inspected<'a>, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::new(RejectReason::Empty, "the file has no bytes"));
    }
    let format = recognise(bytes)?;
    let structure = container::walk(bytes, format);
    let header = match read_header(bytes, format, limits.memory) {
        Ok(header) => header,
        // A header that cannot be read because the file stops inside it is a truncation.
        Err(rejection) => return Err(structure.truncation(bytes).unwrap_or(rejection)),
    };
    header.check(limits)?;
    if let Some(rejection) = structure.truncation(bytes) {
        return Err(rejection);
    }
    if structure.frames > 1 {
        let detail = format!("expected one frame, found {} or more", structure.frames);
        return Err(Rejection::new(RejectReason::Animated, detail));
    }
    if let Some(layout) = header.unusable_layout {
        let detail = format!("expected grey or RGB samples of 8 or 16 bits, found {layout}");
        return Err(Rejection::new(RejectReason::WrongChannels, detail));
    }
    let (width, height) = (header.width, header.height);
    Ok(Inspected { bytes, format, width, height, memory: limits.memory })
}

impl Inspected<'_> {
    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Decodes the pixels and turns them upright.
    ///
    /// # Errors
    /// `Undecodable` or `Truncated`, where the damage shows only in the pixels.
    pub fn decode(&self) -> Result<RgbImage, Rejection> {
        let decoded = guarded(|| match self.format {
            ImageFormat::Jpeg => jpeg::decode(self.bytes),
            format => decode_other(self.bytes, format, self.memory),
        })?;
        let (mut picture, orientation) = decoded;
        if orientation != Orientation::NoTransforms {
            picture.apply_orientation(orientation);
        }
        Ok(picture.into_rgb8())
    }
}

/// What a header tells.
struct Header {
    width: u32,
    height: u32,
    /// Bytes that decoding to 8-bit RGB takes at its peak.
    memory: u64,
    /// A colour layout that is rejected, in words.
    unusable_layout: Option<String>,
}

impl Header {
    fn check(&self, limits: &Limits) -> Result<(), Rejection> {
        let (width, height) = (self.width, self.height);
        let pixels = u64::from(width) * u64::from(height);
        if pixels > limits.pixels {
            let detail = format!(
                "{width}x{height} is {pixels} pixels; at most {} are decoded",
                limits.pixels
            );
            return Err(Rejection::new(RejectReason::TooLarge, detail));
        }
        if self.memory > limits.memory {
            let detail = format!(
                "{width}x{height} takes {} bytes to decode; at most {} are allowed",
                self.memory, limits.memory
            );
            return Err(Rejection::new(RejectReason::TooLarge, detail));
        }
        if width.min(height) < limits.shorter_side {
            let least = limits.shorter_side;
            let detail = format!("{width}x{height}; each side needs at least {least} pixels");
            return Err(Rejection::new(RejectReason::TooSmall, detail));
        }
        Ok(())
    }
}

const KNOWN: &str = "JPEG, PNG, WebP, BMP, TIFF or GIF";

fn recognise(bytes: &[u8]) -> Result<ImageFormat, Rejection> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let not_a_picture = |detail: String| Rejection::new(RejectReason::NotAPicture, detail);
    match image::guess_format(bytes) {
        Ok(format @ (Jpeg | Png | WebP | Bmp | Tiff | Gif)) => Ok(format),
        Ok(other) => Err(not_a_picture(format!("expected {KNOWN}, found {other:?}"))),
        Err(_) => {
            let start = &bytes[..bytes.len().min(8)];
            Err(not_a_picture(format!("expected {KNOWN}, found bytes that start {start:02x?}")))
        }
    }
}

fn read_header(bytes: &[u8], format: ImageFormat, memory: u64) -> Result<Header, Rejection> {
    if format == ImageFormat::Jpeg {
        return jpeg::header(bytes);
    }
    guarded(|| {
        let decoder = open(bytes, format, memory)?;
        let (width, height) = decoder.dimensions();
        let original = decoder.original_color_type();
        let unusable = matches!(original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16)
            || matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F);
        let rgb = 3 * u64::from(width) * u64::from(height);
        Ok(Header {
            width,
            height,
            memory: decoder.total_bytes().saturating_add(rgb),
            unusable_layout: unusable.then(|| format!("{original:?}")),
        })
    })
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    memory: u64,
) -> Result<(DynamicImage, Orientation), Rejection> {
    let mut decoder = open(bytes, format, memory)?;
    // Broken metadata does not make the pixels worthless.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| rejection(&error))?;
    Ok((picture, orientation))
}

fn open(
    bytes: &[u8],
    format: ImageFormat,
    memory: u64,
) -> Result<impl ImageDecoder + '_, Rejection> {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(memory);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| rejection(&error))
}

fn rejection(error: &ImageError) -> Rejection {
    let detail = error.to_string();
    if matches!(error, ImageError::Limits(_)) {
        return Rejection::new(RejectReason::TooLarge, detail);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
            return Rejection::new(RejectReason::Truncated, detail);
        }
        cause = error.source();
    }
    Rejection::new(RejectReason::Undecodable, detail)
}

/// Runs a decoder and turns a panic inside it into a rejection: the decoders are other people's
/// code fed with arbitrary bytes, and one file must not end an extraction of hours.
fn guarded<T>(decoder: impl FnOnce() -> Result<T, Rejection>) -> Result<T, Rejection> {
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|_| {
        Err(Rejection::new(RejectReason::Undecodable, "the decoder gave up on the damaged bytes"))
    })
}

#[cfg(test)]
mod tests;
