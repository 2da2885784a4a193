//! The aligned crops of faces, as the networks see them, as PNG files.

use std::io::Cursor;

use facefold_core::{RejectReason, Rejection};
use facefold_vision::align::{CROP_SIDE, Crop, align};
use facefold_vision::extractor::whole;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::prediction::FacePrediction;
use crate::predictor::Predictor;

/// The file of a face's crop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CropFile {
    /// [`FacePrediction::face_index`].
    pub face_index: u16,
    /// A PNG file of 112 x 112 pixels.
    pub png: Vec<u8>,
}

impl Predictor {
    /// The crops of the faces of a picture that [`Self::predict`] predicted for, one a face. A
    /// predictor [of aligned crops](Self::of_aligned_crops) predicts the same for them, to the bit.
    ///
    /// # Errors
    /// The rejection of a picture that cannot be decoded, or of landmarks that are not its own.
    pub fn crops(
        &self,
        picture: &[u8],
        predictions: &[FacePrediction],
    ) -> Result<Vec<CropFile>, Rejection> {
        let mut faces: Vec<(u16, [[f32; 2]; 5])> = Vec::new();
        for prediction in predictions {
            let face_index = prediction.face_index;
            if let Some(landmarks) = prediction.landmarks
                && faces.iter().all(|(known, _)| *known != face_index)
            {
                faces.push((face_index, landmarks));
            }
        }
        if faces.is_empty() {
            return Ok(Vec::new());
        }
        let upright = self.extractor.decode(picture)?;
        let file = |(face_index, landmarks)| {
            let crop = if self.takes_aligned_crops() {
                whole(&upright).crop
            } else {
                align(&upright, &landmarks)?
            };
            Ok(CropFile { face_index, png: png(&crop)? })
        };
        faces.into_iter().map(file).collect()
    }
}

fn png(crop: &Crop) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Cursor::new(Vec::new());
    let side = CROP_SIDE as u32;
    PngEncoder::new(&mut bytes)
        .write_image(crop.pixels(), side, side, ExtendedColorType::Rgb8)
        .map_err(|error| {
            let detail = format!("the crop cannot be written as PNG: {error}");
            Rejection::new(RejectReason::TooLarge, detail)
        })?;
    Ok(bytes.into_inner())
}
