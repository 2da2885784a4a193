//! The operations on pixels that the client needs, as traits that another crate implements.
//!
//! This crate has no decoder: the builder of an extractor provides one that treats pictures as the
//! local extractor does, so that both see the same pixels and measure the same quality.

use facefold_core::{BoundingBox, Rejection};

pub use crate::canvas::Canvas;

/// Opens pictures.
pub trait Pictures: Send + Sync {
    /// Decodes the bytes of a file and applies the EXIF orientation.
    ///
    /// # Errors
    /// The rejection that the local extractor gives for these bytes.
    fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection>;

    /// Whether a file's EXIF orientation is the identity.
    fn is_stored_upright(&self, bytes: &[u8]) -> bool;

    /// How the local extractor shows a picture of this width and height to its detector, until a
    /// face is found.
    fn attempts(&self, size: [u32; 2]) -> Vec<Attempt>;
}

/// One attempt of the local extractor at detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Black pixels on each side of the picture.
    pub padding: u32,
    /// Side of the square that the longer side, padded, is scaled to, in pixels.
    pub side: u32,
}

/// How pixels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Without loss.
    Png,
    /// JPEG of quality 98.
    Jpeg,
}

/// A decoded picture, with EXIF orientation applied.
pub trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> [u32; 2];

    /// The picture on a canvas as a file, with width and height divided by `reduction` (1 leaves
    /// them as they are).
    ///
    /// # Errors
    /// Pixels that cannot be written, such as a picture grown too large.
    fn encode(&self, canvas: Canvas, reduction: u32, format: Format) -> Result<Vec<u8>, Rejection>;

    /// The whole picture as an aligned crop of 112 x 112.
    ///
    /// # Errors
    /// As [`Picture::encode`].
    fn crop(&self) -> Result<Crop, Rejection>;

    /// Quality of the crop that these landmarks align: x, y in pixels of the picture, in the order
    /// of [`facefold_core::Face::landmarks`].
    ///
    /// # Errors
    /// [`facefold_core::RejectReason::BadLandmarks`].
    fn quality(&self, landmarks: &[[f32; 2]; 5]) -> Result<Quality, Rejection>;
}

/// Measures of an aligned crop, as in [`facefold_core::Face`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Mean luma, 0 to 255.
    pub luminance: f32,
    /// Variance of the Laplacian of the luma.
    pub sharpness: f32,
}

/// A picture that is an aligned crop already.
#[derive(Debug, Clone, PartialEq)]
pub struct Crop {
    /// 112 x 112 pixels as PNG.
    pub png: Vec<u8>,
    /// The whole picture.
    pub bounding_box: BoundingBox,
    /// Where a crop has its landmarks, in pixels of the picture.
    pub landmarks: [[f32; 2]; 5],
    /// Quality of the crop.
    pub quality: Quality,
}
