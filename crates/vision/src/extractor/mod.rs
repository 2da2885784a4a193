//! The extractor that runs in this process: decode, detect, align, embed.

mod backend;
mod batch;
mod embedder;
mod networks;

use std::path::PathBuf;

use facefold_core::{
    BoundingBox, Extraction, Extractor, ExtractorError, ExtractorInfo, Fingerprint, RejectReason,
    Rejection, SCORE_THRESHOLD, TAPS_LAYOUT,
};
use image::RgbImage;

use crate::align::{CROP_SIDE, Crop, TEMPLATE, align};
use crate::decode::{Decoded, Limits, inspect};
use crate::detect::{Detection, Detector};
use crate::models::{self, ModelPack};

pub use backend::Backend;
pub use batch::ExtractionRequest;
pub use embedder::{CropEmbedding, Embedder};
pub use networks::PackNetworks;

/// Part of every fingerprint. To be raised whenever decoding, detection, alignment, the choice of
/// taps or anything else before the head changes what a picture gives.
pub const PREPROCESSING: &str = "facefold preprocessing 2";

/// Seed of the `untrained` pack's weights.
pub const UNTRAINED_SEED: u64 = 2026;

/// A best score from here up to the threshold is a face of low score; below it is no face.
const NEAR_MISS: f32 = 0.3;

/// What a [`LocalExtractor`] is made from.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Which networks.
    pub pack: &'static ModelPack,
    /// The models directory that holds the pack's files.
    pub models: PathBuf,
    /// What runs the networks.
    pub backend: Backend,
    /// Whether to pool intermediate maps too, and to run the mirrored crop.
    pub taps: bool,
    /// Whether to skip detection and take each whole picture as the crop. A pack without a
    /// detector always does.
    pub aligned: bool,
    /// Whether to embed all faces of a picture, not only the main one.
    pub all_faces: bool,
    /// What a picture may cost.
    pub limits: Limits,
    /// Least length of a face box's longer side, in pixels of the picture.
    pub smallest_face: f32,
}

impl LocalOptions {
    /// A pack from the default models directory on the CPU engine: main face only, no taps,
    /// default limits, faces of 16 pixels or more.
    #[must_use]
    pub fn new(pack: &'static ModelPack) -> Self {
        Self {
            pack,
            models: models::default_directory(),
            backend: Backend::default(),
            taps: false,
            aligned: false,
            all_faces: false,
            limits: Limits::default(),
            smallest_face: 16.0,
        }
    }
}

/// Turns pictures into embeddings with networks that run in this process.
///
/// Each call to [`Extractor::extract`] keeps to the calling thread: use one thread a core, and give
/// each call several pictures.
pub struct LocalExtractor {
    detector: Option<Detector>,
    embedder: Embedder,
    mirror: bool,
    all_faces: bool,
    limits: Limits,
    smallest_face: f32,
    fingerprint: Fingerprint,
    info: ExtractorInfo,
}

/// A face cut out of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct LocatedFace {
    /// Box, landmarks and score; the whole picture where detection is skipped.
    pub detection: Detection,
    /// The aligned crop.
    pub crop: Crop,
}

/// The faces of a picture that can be embedded, and how many the detector found in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The main face first.
    pub faces: Vec<LocatedFace>,
    /// Number of faces found.
    pub found: u32,
}

/// Why a picture has no result: rejected, or a failure of the extractor.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The picture is rejected.
    #[error("{}: {}", .0.reason, .0.detail)]
    Rejected(Rejection),
    /// The extractor failed.
    #[error(transparent)]
    Failed(#[from] ExtractorError),
}

impl From<Rejection> for PictureError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl LocalExtractor {
    /// Loads the networks and makes them ready to run.
    ///
    /// # Errors
    /// Weights that are missing or corrupt, taps that the network does not have, or a backend
    /// that is not available here. Each message has advice.
    pub fn new(options: &LocalOptions) -> Result<Self, ExtractorError> {
        let pack = options.pack;
        let networks = PackNetworks::load(pack, &options.models, !options.aligned, options.taps)?;
        let precision = options.backend.class().map_err(|error| failure(&pack.name, error))?;
        let fingerprint = networks.fingerprint(precision);
        let PackNetworks { detector, embedding: network } = networks;
        let embedder = options
            .backend
            .executor(&network)
            .and_then(|executor| Embedder::new(&network, executor))
            .map_err(|error| failure(&network.name, error))?;
        let info = ExtractorInfo {
            backend: "local".to_owned(),
            model: pack.name.to_owned(),
            detector: detector.as_ref().map_or_else(|| "none".to_owned(), |d| d.name.clone()),
            network: network.name.clone(),
            precision,
            execution: embedder.describe(),
            embedding_length: embedder.embedding_length(),
            taps_length: embedder.taps_length(),
            taps_layout: if options.taps { TAPS_LAYOUT.to_owned() } else { String::new() },
            licence: pack.licence.to_owned(),
        };
        let detector = match detector {
            Some(network) => {
                // Landmarks move the crop, so the detector is exact in every precision class.
                let executor = options.backend.f32_equivalent().executor(&network);
                let detector = executor.and_then(|executor| Ok(Detector::new(&network, executor)?));
                Some(detector.map_err(|error| failure(&network.name, error))?)
            }
            None => None,
        };
        Ok(Self {
            detector,
            embedder,
            mirror: options.taps,
            all_faces: options.all_faces,
            limits: options.limits,
            smallest_face: options.smallest_face,
            fingerprint,
            info,
        })
    }

    /// What [`Extractor::extract`] wants of each picture.
    #[must_use]
    pub fn request(&self) -> ExtractionRequest {
        let faces = if self.all_faces { usize::MAX } else { 1 };
        ExtractionRequest { faces, aligned: false, mirrored: self.mirror, augmented: 0 }
    }

    /// Whether it looks for faces; else every picture is taken whole, as an aligned crop.
    #[must_use]
    pub fn detects(&self) -> bool {
        self.detector.is_some()
    }

    /// Decodes a picture under the extractor's limits, with EXIF orientation applied.
    ///
    /// # Errors
    /// As [`crate::decode::decode`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, Rejection> {
        inspect(bytes, &self.limits)?.decode()
    }

    /// Finds and aligns the main face, or all faces where the extractor was made for them.
    ///
    /// # Errors
    /// `NoFace`, `LowScore`, `TooSmall` or `BadLandmarks` for the main face; other faces that
    /// cannot be used are left out. Or a failure of the detector.
    pub fn locate(&self, picture: &RgbImage) -> Result<Located, PictureError> {
        self.locate_most(picture, if self.all_faces { usize::MAX } else { 1 })
    }

    /// [`Self::locate`] for at most so many faces, whatever the extractor was made for.
    fn locate_most(&self, picture: &RgbImage, most: usize) -> Result<Located, PictureError> {
        let Some(detector) = &self.detector else {
            return Ok(Located { faces: vec![whole(picture)], found: 1 });
        };
        let detections =
            detector.detect(picture).map_err(|error| failure(&self.info.detector, error))?;
        let found = detections.faces.len() as u32;
        let (main, others) =
            detections.faces.split_first().ok_or_else(|| nothing_found(detections.best_score))?;
        let mut faces = vec![self.cut(picture, main)?];
        let others = others.iter().filter_map(|face| self.cut(picture, face).ok());
        faces.extend(others.take(most.saturating_sub(1)));
        Ok(Located { faces, found })
    }

    /// Embeds crops, with taps where the extractor was made for them. In order, and with the same
    /// bits whatever the number of crops.
    ///
    /// # Errors
    /// A failure of the embedding network, or values that are no embedding.
    pub fn embed(&self, crops: &[Crop]) -> Result<Vec<CropEmbedding>, PictureError> {
        let embedded = self.embedder.embed(crops)?;
        Ok(embedded.into_iter().collect::<Result<_, Rejection>>()?)
    }

    fn cut(&self, picture: &RgbImage, detection: &Detection) -> Result<LocatedFace, Rejection> {
        let longer = detection.bounding_box.width().max(detection.bounding_box.height());
        if longer < self.smallest_face {
            let least = self.smallest_face;
            let detail =
                format!("the face is {longer:.1} pixels high or wide, of at least {least}");
            return Err(Rejection::new(RejectReason::TooSmall, detail));
        }
        let crop = align(picture, &detection.landmarks)?;
        Ok(LocatedFace { detection: *detection, crop })
    }
}

impl Extractor for LocalExtractor {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn info(&self) -> &ExtractorInfo {
        &self.info
    }

    /// Pictures are decoded and searched one after another; the crops of all of them are embedded
    /// together, which is faster.
    fn extract(&self, pictures: &[&[u8]]) -> Result<Vec<Extraction>, ExtractorError> {
        let pictures: Vec<_> = pictures.iter().map(|bytes| (*bytes, 0)).collect();
        self.extract_augmented(&pictures)
    }

    fn extract_augmented(
        &self,
        pictures: &[(&[u8], u32)],
    ) -> Result<Vec<Extraction>, ExtractorError> {
        let request = |augmented| ExtractionRequest { augmented, ..self.request() };
        let pictures: Vec<_> =
            pictures.iter().map(|(bytes, versions)| (*bytes, request(*versions))).collect();
        self.extract_together(&pictures)
    }
}

fn failure(
    what: &dyn std::fmt::Display,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ExtractorError {
    ExtractorError { message: format!("{what}: {source}"), source: Some(Box::new(source)) }
}

fn nothing_found(best_score: f32) -> Rejection {
    let detail = format!("best score {best_score:.2}, expected at least {SCORE_THRESHOLD:.2}");
    let near = best_score >= NEAR_MISS;
    Rejection::new(if near { RejectReason::LowScore } else { RejectReason::NoFace }, detail)
}

/// The whole picture as a crop, averaged where it shrinks; landmarks where the template has them.
#[must_use]
pub fn whole(picture: &RgbImage) -> LocatedFace {
    let side = CROP_SIDE as u32;
    let [width, height] = [picture.width() as f32, picture.height() as f32];
    let scale = [width / CROP_SIDE as f32, height / CROP_SIDE as f32];
    let pixels = if picture.dimensions() == (side, side) {
        picture.clone()
    } else {
        image::imageops::resize(picture, side, side, image::imageops::FilterType::Triangle)
    };
    LocatedFace {
        detection: Detection {
            bounding_box: BoundingBox::at([0.0, 0.0], [width, height]),
            landmarks: TEMPLATE.map(|[x, y]| [x * scale[0], y * scale[1]]),
            score: 1.0,
        },
        crop: Crop::from_picture(&pixels),
    }
}

#[cfg(test)]
mod tests;
