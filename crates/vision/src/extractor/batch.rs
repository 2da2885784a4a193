//! Several pictures at once, each with settings of its own: they are decoded and searched one after
//! another, and the crops of all of them are embedded together, which is faster.

use facefold_core::{Extraction, ExtractorError, Face, FaceVariant, ImageKey, Rejection};

use super::{CropEmbedding, LocalExtractor, Located, LocatedFace, PictureError, whole};
use crate::align::{Crop, TEMPLATE};
use crate::augment::Augmentation;
use crate::decode::inspect;

/// What is wanted of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractionRequest {
    /// At most so many faces, the main one first; at least 1.
    pub faces: usize,
    /// Take the whole picture as the crop.
    pub aligned: bool,
    /// Embed the mirrored crop too.
    pub mirrored: bool,
    /// Embed so many augmented versions of the main face too.
    pub augmented: u32,
}

/// The aligned faces of a picture.
struct AlignedFaces {
    located: Located,
    /// Augmented versions of the main face.
    versions: Vec<Crop>,
}

impl LocalExtractor {
    /// Extracts pictures given as the bytes of their files: one outcome a picture, in order, with
    /// the same bits as one at a time.
    ///
    /// # Errors
    /// Only when the extractor itself fails; a bad picture is an [`Extraction::Rejected`].
    pub fn extract_together(
        &self,
        pictures: &[(&[u8], ExtractionRequest)],
    ) -> Result<Vec<Extraction>, ExtractorError> {
        let mut located = Vec::with_capacity(pictures.len());
        let mut crops = Vec::new();
        for (bytes, request) in pictures {
            located.push(match self.located(bytes, *request) {
                Ok(aligned) => {
                    crops.extend(aligned.located.faces.iter().flat_map(|face| request.crops(face)));
                    crops.extend(aligned.versions.iter().cloned());
                    Ok(aligned)
                }
                Err(PictureError::Rejected(rejection)) => Err(rejection),
                Err(PictureError::Failed(error)) => return Err(error),
            });
        }
        let mut results = self.embedder.embed(&crops)?.into_iter();
        let outcomes = located.into_iter().zip(pictures).map(|(aligned, (_, request))| {
            aligned
                .and_then(|aligned| request.embedded(&aligned, &mut results))
                .unwrap_or_else(Extraction::Rejected)
        });
        Ok(outcomes.collect())
    }

    /// Decodes a picture, and detects and aligns its faces.
    fn located(
        &self,
        bytes: &[u8],
        request: ExtractionRequest,
    ) -> Result<AlignedFaces, PictureError> {
        let picture = inspect(bytes, &self.limits)?.decode()?;
        let skip = request.aligned || self.detector.is_none();
        let located = if skip {
            Located { faces: vec![whole(&picture)], found: 1 }
        } else {
            self.locate_most(&picture, request.faces)?
        };
        let mut versions = Vec::with_capacity(request.augmented as usize);
        if let Some(main) = located.faces.first().filter(|_| request.augmented > 0) {
            let key = ImageKey::of(bytes);
            // A whole picture was shrunk on its way to the crop, with care.
            let (from, landmarks) = if skip {
                (&main.crop.picture(), &TEMPLATE)
            } else {
                (&*picture, &main.detection.landmarks)
            };
            for variant in FaceVariant::augmented(request.augmented) {
                versions.push(Augmentation::of(&key, variant).crop(from, landmarks)?);
            }
        }
        Ok(AlignedFaces { located, versions })
    }
}

impl ExtractionRequest {
    /// The crops of a face that are embedded, as many as [`Self::variants`].
    fn crops(self, face: &LocatedFace) -> impl Iterator<Item = Crop> + use<> {
        let mirrored = self.mirrored.then(|| face.crop.mirrored());
        std::iter::once(face.crop.clone()).chain(mirrored)
    }

    /// The variants of a face that are embedded, in order.
    fn variants(self) -> &'static [FaceVariant] {
        let variants = &[FaceVariant::PLAIN, FaceVariant::MIRRORED];
        if self.mirrored { variants } else { &variants[..1] }
    }

    /// The faces of a picture, given what the network makes of their crops, in order.
    fn embedded(
        self,
        AlignedFaces { located, versions }: &AlignedFaces,
        results: &mut impl Iterator<Item = Result<CropEmbedding, Rejection>>,
    ) -> Result<Extraction, Rejection> {
        let variants = self.variants();
        // All of the picture's results are taken, also where one of them rejects it.
        let count = located.faces.len() * variants.len() + versions.len();
        let results: Vec<_> = results.take(count).collect();
        let mut faces = Vec::with_capacity(results.len());
        let crops = (0..)
            .zip(&located.faces)
            .flat_map(|(index, face)| variants.iter().map(move |&variant| (index, face, variant)));
        let versions = located.faces.iter().take(1).flat_map(|face| {
            FaceVariant::augmented(versions.len() as u32).map(move |variant| (0, face, variant))
        });
        for ((index, face, variant), result) in crops.chain(versions).zip(results) {
            let embedded = result?;
            faces.push(Face {
                index,
                variant,
                norm: Some(embedded.embedding.norm()),
                embedding: embedded.embedding,
                taps: embedded.taps,
                bounding_box: face.detection.bounding_box,
                landmarks: face.detection.landmarks,
                score: face.detection.score,
                luminance: face.crop.luminance(),
                sharpness: face.crop.sharpness(),
            });
        }
        Ok(Extraction::Embedded { faces, found: located.found })
    }
}
