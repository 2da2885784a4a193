//! The operations on pixels that the client needs, as traits that another crate implements.
//!
//! This crate has no decoder: the builder of an extractor provides one that treats pictures as the
//! local extractor does, so that both see the same pixels and measure the same quality.

use facefold_core::{BoundingBox, Rejection};

/// Opens pictures.
pub trait Pictures: Send + Sync {
    /// Decodes the bytes of a file and applies the EXIF orientation.
    ///
    /// # Errors
    /// The rejection that the local extractor gives for these bytes.
    fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection>;

    /// Whether a file's EXIF orientation is the identity.
    fn is_stored_upright(&self, bytes: &[u8]) -> bool;
}

/// A decoded picture, with EXIF orientation applied.
pub trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> [u32; 2];

    /// The picture as PNG, with this many zero pixels added on each side.
    ///
    /// # Errors
    /// Pixels that cannot be written, such as a picture grown too large.
    fn png(&self, padding: u32) -> Result<Vec<u8>, Rejection>;

    /// The whole picture as an aligned crop of 112 x 112.
    ///
    /// # Errors
    /// As [`Picture::png`].
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
