//! Bundles over the extractor in this process, with settings for each picture, as a service needs
//! them.

use facefold_core::{
    Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant, Fingerprint,
    RejectReason, Rejection,
};
use facefold_heads::Bundle;
use facefold_vision::LocalExtractor;
use facefold_vision::align::Crop;
use facefold_vision::extractor::{CropEmbedding, LocatedFace, PictureError, whole};

use crate::bundles::{Bundles, Features};
use crate::card::BundleCard;
use crate::occlusion::{self, Explanation};
use crate::prediction::FacePrediction;
use crate::predictor::PredictError;

pub use facefold_vision::extractor::ExtractionRequest;

/// Crops that are embedded at a time.
const BLOCK: usize = 8;

/// Extracts and predicts in two steps. Called from several threads at once, one a core.
pub struct Pipeline {
    extractor: LocalExtractor,
    bundles: Bundles,
}

impl Pipeline {
    /// Ties named bundles to an extractor.
    ///
    /// # Errors
    /// A bundle with another fingerprint than the extractor's, or one that cannot be restored.
    pub fn new(
        extractor: LocalExtractor,
        bundles: Vec<(String, Bundle)>,
    ) -> Result<Self, PredictError> {
        let bundles = Bundles::new(bundles, extractor.fingerprint(), extractor.info())?;
        Ok(Self { extractor, bundles })
    }

    /// What the embeddings are made with.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        self.extractor.fingerprint()
    }

    /// What the extractor is.
    #[must_use]
    pub fn info(&self) -> &ExtractorInfo {
        self.extractor.info()
    }

    /// Whether a bundle was trained with mirrored crops, so that predictions need them.
    #[must_use]
    pub fn wants_mirrored(&self) -> bool {
        self.info().taps_length > 0
    }

    /// What each bundle is.
    #[must_use]
    pub fn cards(&self) -> Vec<BundleCard> {
        self.bundles.iter().map(|(name, bundle)| BundleCard::new(name, bundle)).collect()
    }

    /// Extracts pictures given as the bytes of their files: one outcome a picture, in order, with
    /// the same bits as one at a time.
    ///
    /// # Errors
    /// Only when the extractor itself fails; a bad picture is an [`Extraction::Rejected`].
    pub fn extract(
        &self,
        pictures: &[(&[u8], ExtractionRequest)],
    ) -> Result<Vec<Extraction>, ExtractorError> {
        self.extractor.extract_together(pictures)
    }

    /// Predictions for extracted faces: for each face, in order, one a bundle.
    ///
    /// # Errors
    /// [`PredictError::Head`] where a head fails.
    pub fn predictions(
        &self,
        faces: &[Face],
        found: u32,
    ) -> Result<Vec<Vec<FacePrediction>>, PredictError> {
        faces
            .iter()
            .filter(|face| face.variant == FaceVariant::PLAIN)
            .map(|plain| {
                let mirrored = faces.iter().find(|face| {
                    face.index == plain.index && face.variant == FaceVariant::MIRRORED
                });
                let predicted = self.bundles.predict_faces("", plain, mirrored)?;
                Ok(predicted
                    .into_iter()
                    .map(|prediction| FacePrediction { faces: found, ..prediction })
                    .collect())
            })
            .collect()
    }

    /// Occlusion maps of a face: one explanation a head of every bundle.
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
        if which.face >= found {
            let detail =
                format!("expected a face with number {}, found {found} in all", which.face);
            return Err(Rejection::new(RejectReason::NoFace, detail).into());
        }
        Ok(located.faces.swap_remove(which.face))
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
    pub face: usize,
    /// Take the whole picture as the crop.
    pub aligned: bool,
}

/// A face with its explanations.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceExplained {
    /// Left, top, right, bottom in pixels of the decoded picture.
    pub bounding_box: [f32; 4],
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
