//! Decodes the bytes of a picture file to an RGB picture with EXIF orientation applied, or gives a
//! typed rejection.
//!
//! JPEG, PNG, WebP, BMP, TIFF and single-frame GIF are read. What happens to unusual pictures:
//!
//! - EXIF orientation is applied, so that a head is upright where the camera recorded which way up
//!   it was held.
//! - Grey pictures and palettes become RGB; an alpha channel is dropped, as OpenCV does;
//!   16 bits a channel are rounded to 8.
//! - CMYK and YCCK are rejected as [`RejectReason::WrongChannels`]: without their ink profile
//!   there is no agreed way to RGB. So are floating-point samples, whose white is anywhere.
//! - Several frames or pages are rejected as [`RejectReason::Animated`]: a label row does not name
//!   which of them it labels.
//! - A file that ends early, or whose data are visibly corrupt, is rejected even where a decoder
//!   would fill in the rest.
//!
//! Decoders are given only the parts of a file that make pixels. So the header that is checked is
//! the one that is decoded, and profiles, texts and thumbnails are never unpacked.

mod container;
mod exif;
mod jpeg;
mod memory;
mod png;
mod tiff;
mod webp;

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use facefold_core::{RejectReason, Rejection};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader,
    RgbImage,
};

use memory::Reservation;

/// What a picture may cost, checked from its header before any pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels; more is [`RejectReason::TooLarge`].
    pub pixels: u64,
    /// Most bytes of memory that decoding may take; more is [`RejectReason::TooLarge`]. All
    /// decoders of this process keep to it together: a picture waits until it has room.
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
#[derive(Debug)]
pub struct Inspected<'a> {
    content: Content<'a>,
    width: u32,
    height: u32,
    /// Bytes that decoding takes, and may take together with other pictures.
    memory: u64,
    most: u64,
}

/// A decoded picture. Until it is dropped, its memory counts against [`Limits::memory`]; a thread
/// that holds one must not decode another.
#[derive(Debug)]
pub struct Decoded {
    picture: RgbImage,
    _reserved: Reservation,
}

impl Deref for Decoded {
    type Target = RgbImage;

    fn deref(&self) -> &RgbImage {
        &self.picture
    }
}

/// Decodes a picture: [`inspect`], then [`Inspected::decode`]. Its memory is no longer counted.
///
/// # Errors
/// The rejection of whichever step failed.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Rejection> {
    Ok(inspect(bytes, limits)?.decode()?.picture)
}

/// Reads a picture's header and checks that the file can be decoded within the limits.
///
/// # Errors
/// `Empty`, `NotAPicture`, `Undecodable`, `Truncated`, `TooLarge`, `TooSmall`, `WrongChannels` or
/// `Animated`, in the order in which they are detected.
pub fn inspect<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Inspected<'a>, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::new(RejectReason::Empty, "the file has no bytes"));
    }
    let content = Content::open(bytes, recognise(bytes)?)?;
    let truncation = || {
        let detail = format!("the file ends early, after {} bytes", bytes.len());
        content.ends_early().then(|| Rejection::new(RejectReason::Truncated, detail))
    };
    let header = match content.header(limits.memory) {
        Ok(header) => header,
        // A header that cannot be read because the file stops inside it is a truncation.
        Err(rejection) => return Err(truncation().unwrap_or(rejection)),
    };
    header.check(limits)?;
    if let Some(rejection) = truncation() {
        return Err(rejection);
    }
    if content.frames() > 1 {
        let detail = format!("expected one frame, found {} or more", content.frames());
        return Err(Rejection::new(RejectReason::Animated, detail));
    }
    if let Some(layout) = header.unusable_layout {
        let detail = format!("expected grey or RGB samples of 8 or 16 bits, found {layout}");
        return Err(Rejection::new(RejectReason::WrongChannels, detail));
    }
    let Header { width, height, memory, .. } = header;
    Ok(Inspected { content, width, height, memory, most: limits.memory })
}

impl Inspected<'_> {
    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether the EXIF orientation is the identity.
    #[must_use]
    pub fn is_stored_upright(&self) -> bool {
        self.content.orientation() == Orientation::NoTransforms
    }

    /// Decodes the pixels and applies the EXIF orientation, as soon as other pictures leave room
    /// for it.
    ///
    /// # Errors
    /// `Undecodable` or `Truncated`, where the corruption shows only in the pixels.
    pub fn decode(&self) -> Result<Decoded, Rejection> {
        let mut reserved = Reservation::wait(self.memory, self.most);
        let mut picture = guarded(|| self.content.decode(self.memory))?;
        if [picture.width(), picture.height()] != [self.width, self.height] {
            return Err(undecodable("the decoder found another size than the header has"));
        }
        let turn = self.content.orientation();
        if turn != Orientation::NoTransforms {
            picture.apply_orientation(turn);
        }
        let picture = picture.into_rgb8();
        reserved.keep(3 * self.pixels());
        Ok(Decoded { picture, _reserved: reserved })
    }
}

/// A file, parsed as far as its format requires.
#[derive(Debug)]
enum Content<'a> {
    Jpeg(jpeg::File<'a>),
    Other(ImageFormat, Prepared<'a>),
}

/// The part of a file that the decoder gets, and the properties of the rest.
#[derive(Debug)]
struct Prepared<'a> {
    /// The parts that make pixels.
    bytes: Cow<'a, [u8]>,
    /// Frames or pages; counting may stop at two.
    frames: u32,
    /// Whether the file ends before its container does.
    ends_early: bool,
    orientation: Orientation,
}

impl<'a> Content<'a> {
    fn open(bytes: &'a [u8], format: ImageFormat) -> Result<Self, Rejection> {
        Ok(match format {
            ImageFormat::Jpeg => Self::Jpeg(jpeg::File::parse(bytes)),
            ImageFormat::Png => Self::Other(format, png::prepare(bytes)?),
            ImageFormat::WebP => Self::Other(format, webp::prepare(bytes)?),
            ImageFormat::Tiff => Self::Other(format, tiff::prepare(bytes)?),
            _ => Self::Other(format, container::prepare(bytes, format)?),
        })
    }

    fn header(&self, memory: u64) -> Result<Header, Rejection> {
        match self {
            Self::Jpeg(file) => jpeg::header(file),
            Self::Other(format, prepared) => read_header(&prepared.bytes, *format, memory),
        }
    }

    fn ends_early(&self) -> bool {
        match self {
            Self::Jpeg(file) => file.ends_early,
            Self::Other(_, prepared) => prepared.ends_early,
        }
    }

    fn frames(&self) -> u32 {
        match self {
            Self::Jpeg(_) => 1,
            Self::Other(_, prepared) => prepared.frames,
        }
    }

    fn orientation(&self) -> Orientation {
        match self {
            Self::Jpeg(file) => file.orientation,
            Self::Other(_, prepared) => prepared.orientation,
        }
    }

    fn decode(&self, memory: u64) -> Result<DynamicImage, Rejection> {
        match self {
            Self::Jpeg(file) => jpeg::decode(file),
            Self::Other(format, prepared) => {
                if *format == ImageFormat::WebP
                    && let Some(short) = webp::shortened(&prepared.bytes)
                    && decode_other(&short, *format, memory).is_ok()
                {
                    return Err(undecodable("the data go on behind the last pixel"));
                }
                if *format == ImageFormat::Tiff {
                    return tiff::check_strips(&prepared.bytes, memory)
                        .and_then(|()| decode_other(&prepared.bytes, *format, memory))
                        .map_err(|rejection| tiff::explained(&prepared.bytes, rejection));
                }
                decode_other(&prepared.bytes, *format, memory)
            }
        }
    }
}

fn decode_other(bytes: &[u8], format: ImageFormat, memory: u64) -> Result<DynamicImage, Rejection> {
    let decoder = open(bytes, format, memory)?;
    DynamicImage::from_decoder(decoder).map_err(|error| rejection(&error))
}

/// The contents of a header.
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

/// Whether bytes start as those of a picture do, also of a format that is not read here; text never
/// does.
#[must_use]
pub fn is_picture(bytes: &[u8]) -> bool {
    use ImageFormat::{Avif, Bmp, Gif, Ico, Jpeg, OpenExr, Png, Tiff, WebP};
    match image::guess_format(bytes) {
        // Names may start with `BM`; the length of a bitmap's second header is known.
        Ok(Bmp) => bytes.get(14..18).is_some_and(|length| length[0] > 0 && length[1..] == [0; 3]),
        Ok(format) => matches!(format, Avif | Gif | Ico | Jpeg | OpenExr | Png | Tiff | WebP),
        Err(_) => false,
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

/// Beyond the samples: rows, tables and windows of a decoder.
const OVERHEAD: u64 = 8 << 20;

fn read_header(bytes: &[u8], format: ImageFormat, memory: u64) -> Result<Header, Rejection> {
    guarded(|| {
        let decoder = open(bytes, format, memory)?;
        let (width, height) = decoder.dimensions();
        let original = decoder.original_color_type();
        let unusable = matches!(original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16)
            || matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F);
        let rgb = 3 * u64::from(width) * u64::from(height);
        // These two decode to a buffer of their own first.
        let copies = if matches!(format, ImageFormat::Tiff | ImageFormat::Gif) { 2 } else { 1 };
        let samples = decoder.total_bytes().saturating_mul(copies).saturating_add(rgb);
        Ok(Header {
            width,
            height,
            memory: samples.saturating_add(OVERHEAD),
            unusable_layout: unusable.then(|| format!("{original:?}")),
        })
    })
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

fn undecodable(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectReason::Undecodable, detail)
}

fn rejection(error: &ImageError) -> Rejection {
    let detail = error.to_string();
    match error {
        ImageError::Limits(_) => return Rejection::new(RejectReason::TooLarge, detail),
        // It is not among its own causes below.
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Rejection::new(RejectReason::Truncated, detail);
        }
        _ => {}
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
        Err(Rejection::new(RejectReason::Undecodable, "the decoder failed on the corrupt bytes"))
    })
}

#[cfg(test)]
mod tests;
