//! Which parts of a face moved the answers about it.

use facefold_core::{BoundingBox, RejectReason, Rejection};
use facefold_vision::align::Crop;
use facefold_vision::extractor::{CropEmbedding, LocatedFace, PictureError, whole};

use crate::bundles::Features;
use crate::occlusion::{self, Explanation};
use crate::predictor::{PredictError, Predictor};

/// Crops that are embedded at a time.
const BLOCK: usize = 8;

impl Predictor {
    /// Which parts of a face moved the answers: one explanation a head of every bundle.
    ///
    /// Covers the aligned crop patch by patch ([`occlusion::PATCH`]) and embeds it anew each time,
    /// mirrored too where the bundles use both crops: 145 or 290 embeddings.
    ///
    /// # Errors
    /// [`ExplainError::Rejected`] where the picture has no usable face, or fewer than requested.
    pub fn explain(
        &self,
        picture: &[u8],
        which: FaceSelector,
    ) -> Result<FaceExplained, ExplainError> {
        let face = self.face(picture, which)?;
        let mut crops = vec![face.crop.clone()];
        crops.extend(occlusion::covered(&face.crop));
        let plain = self.embed(&crops)?;
        let mirrored = if self.wants_mirrored() {
            let crops: Vec<_> = crops.iter().map(Crop::mirrored).collect();
            Some(self.embed(&crops)?)
        } else {
            None
        };
        let mirrored = mirrored.as_deref().map(rows);
        let shifts = self.bundles.shifts(&rows(&plain), mirrored.as_deref());
        let shifts = shifts.map_err(PredictError::from)?;
        let explanations =
            shifts.into_iter().map(|shift| Explanation::new(shift, &face.crop)).collect();
        Ok(FaceExplained { bounding_box: face.detection.bounding_box, explanations })
    }

    fn face(&self, picture: &[u8], which: FaceSelector) -> Result<LocatedFace, ExplainError> {
        let upright = self.extractor.decode(picture)?;
        if which.aligned {
            return Ok(whole(&upright));
        }
        let mut located = self.extractor.locate(&upright)?;
        let found = located.faces.len();
        if which.face_index >= found {
            let detail =
                format!("expected a face with index {}, found {found} in all", which.face_index);
            return Err(Rejection::new(RejectReason::NoFace, detail).into());
        }
        Ok(located.faces.swap_remove(which.face_index))
    }

    fn embed(&self, crops: &[Crop]) -> Result<Vec<CropEmbedding>, ExplainError> {
        let mut embedded = Vec::with_capacity(crops.len());
        for block in crops.chunks(BLOCK) {
            embedded.extend(self.extractor.embed(block)?);
        }
        Ok(embedded)
    }
}

/// Which face of a picture to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaceSelector {
    /// 0 for the main face.
    pub face_index: usize,
    /// Take the whole picture as the crop.
    pub aligned: bool,
}

/// A face with its explanations.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceExplained {
    /// Left, top, right, bottom in pixels of the decoded picture.
    pub bounding_box: BoundingBox,
    /// In the order of bundles and their heads.
    pub explanations: Vec<Explanation>,
}

/// Why a face cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The picture's own fault.
    #[error("{}: {}", .0.reason, .0.detail)]
    Rejected(Rejection),
    /// The extractor or a head failed.
    #[error(transparent)]
    Failed(#[from] PredictError),
}

impl From<Rejection> for ExplainError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<PictureError> for ExplainError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Rejected(rejection) => Self::Rejected(rejection),
            PictureError::Failed(error) => Self::Failed(error.into()),
        }
    }
}

/// Embedded crops as heads see them.
fn rows(embedded: &[CropEmbedding]) -> Vec<Features<'_>> {
    embedded.iter().map(Features::from).collect()
}

impl<'a> From<&'a CropEmbedding> for Features<'a> {
    fn from(embedded: &'a CropEmbedding) -> Self {
        Self { embedding: embedded.embedding.as_slice(), taps: &embedded.taps }
    }
}
