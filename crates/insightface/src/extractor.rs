//! The extractor over HTTP: decodes a picture, sends it, checks the response, and chooses the face.

use facefold_core::workers::Workers;
use facefold_core::{
    BoundingBox, Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant,
    Fingerprint, Precision, RejectReason, Rejection,
};

use crate::access::{Address, Token};
use crate::client::{Client, Dialect, ExtractionFailure};
use crate::error::InsightfaceError;
use crate::faces::{
    CheckedEmbedding, DetectedFace, EMBEDDING_LENGTH, FaceResponse, SCORE_THRESHOLD, main_face,
};
use crate::pictures::{Picture, Pictures, Quality};
use crate::retry::RetryPolicy;
use crate::{face_detection_recognition as fdr, rest};

/// Part of every fingerprint. To be raised whenever what is sent, or how a response is used,
/// changes what a picture gives.
const PREPROCESSING: &str = "facefold insightface 1";

/// What a JPEG begins with.
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Side of an aligned crop.
const CROP_SIDE: u32 = 112;

const LICENCE: &str = "The weights are the container's, with terms of their own; those published by \
                       InsightFace are for non-commercial research only.";

/// What an [`InsightfaceExtractor`] is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Base URLs of the replicas: `http://127.0.0.1:18081`.
    pub urls: Vec<String>,
    /// Bearer tokens: none, one for all replicas, or one for each in their order.
    pub tokens: Vec<Token>,
    /// How they are spoken to.
    pub dialect: Dialect,
    /// Whether to skip detection and take each whole picture as the crop.
    pub aligned: bool,
    /// Most requests at a time to one replica.
    pub in_flight: usize,
    /// How long to wait and how often to try.
    pub retry: RetryPolicy,
    /// Least length of a face box's longer side, in pixels of the picture.
    pub smallest_face: f32,
}

impl Options {
    /// These replicas, InsightFace-REST, with detection, 4 requests at a time to each, faces of 16
    /// pixels or more.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            tokens: Vec::new(),
            dialect: Dialect::Rest,
            aligned: false,
            in_flight: 4,
            retry: RetryPolicy::default(),
            smallest_face: 16.0,
        }
    }

    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// [`InsightfaceError::NoUrl`], [`InsightfaceError::InvalidUrl`],
    /// [`InsightfaceError::NoCrops`], [`InsightfaceError::Tokens`] or
    /// [`InsightfaceError::InvalidToken`].
    pub fn check(&self) -> Result<(), InsightfaceError> {
        self.addresses().map(drop)
    }

    /// Where the replicas are, and how to get in.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>, InsightfaceError> {
        let (urls, tokens) = (self.urls.len(), self.tokens.len());
        if urls == 0 {
            return Err(InsightfaceError::NoUrl);
        }
        if self.aligned && self.dialect == Dialect::FaceDetectionRecognition {
            return Err(InsightfaceError::NoCrops);
        }
        if tokens > 1 && tokens != urls {
            return Err(InsightfaceError::Tokens { urls, tokens });
        }
        let token = |at: usize| self.tokens.get(if tokens == 1 { 0 } else { at });
        let all = self.urls.iter().enumerate();
        all.map(|(at, url)| Address::new(url, token(at))).collect()
    }
}

/// Turns pictures into embeddings by asking insightface containers.
pub struct InsightfaceExtractor {
    client: Client,
    pictures: Box<dyn Pictures>,
    options: Options,
    /// The server is facefold: it pads pictures without faces itself.
    pads: bool,
    fingerprint: Fingerprint,
    info: ExtractorInfo,
}

impl InsightfaceExtractor {
    /// Connects to the replicas and queries their models.
    ///
    /// # Errors
    /// Invalid URLs, replicas that differ or have another dialect, or none that responds.
    pub fn connect(
        options: Options,
        pictures: Box<dyn Pictures>,
    ) -> Result<Self, InsightfaceError> {
        let client = Client::connect(&options)?;
        let models = client.info().map(|info| &info.models);
        let facefold = models.and_then(|models| models.fingerprint.clone());
        let precision =
            models.and_then(|models| models.precision).unwrap_or(Precision::F32Equivalent);
        let (detector, network) = match client.info() {
            Some(info) => (info.models.det_name.clone(), info.models.rec_name.clone()),
            None => (fdr::DETECTOR.to_owned(), fdr::NETWORK.to_owned()),
        };
        let fingerprint = match &facefold {
            // Its crops are cut by the local extractor's own code, from the same pixels.
            Some(fingerprint) if !options.aligned => fingerprint.clone(),
            _ => fingerprint(&options, client.info(), &detector, &network),
        };
        let info = ExtractorInfo {
            backend: "insightface".to_owned(),
            model: network.clone(),
            detector: if options.aligned { "none".to_owned() } else { detector },
            network,
            precision,
            execution: client.describe(),
            embedding_length: EMBEDDING_LENGTH,
            taps_length: 0,
            taps_layout: String::new(),
            licence: LICENCE.to_owned(),
        };
        Ok(Self { client, pictures, options, pads: facefold.is_some(), fingerprint, info })
    }

    fn picture(&self, bytes: &[u8]) -> Result<Extraction, ExtractionFailure> {
        let picture = self.pictures.open(bytes).map_err(ExtractionFailure::Rejected)?;
        let own = self.sends_own(picture.as_ref(), bytes).then_some(bytes);
        if self.options.aligned {
            return self.crop(picture.as_ref(), own);
        }
        let [width, height] = picture.size();
        let quarter = width.max(height) / 4;
        let paddings: &[u32] = if self.pads { &[0] } else { &[0, quarter] };
        for &padding in paddings {
            let png = picture.png(padding).map_err(ExtractionFailure::Rejected)?;
            let own = own.filter(|_| padding == 0);
            let faces = match self.client.send(&png, own)? {
                FaceResponse::Faces(faces) => faces,
                FaceResponse::Rejected(rejection) => return Ok(Extraction::Rejected(rejection)),
                FaceResponse::Crop(_) => Vec::new(),
            };
            let faces = faces.into_iter().map(|face| face.without_padding(padding as f32));
            if let Some((face, found)) = main_face(faces.collect(), [width, height]) {
                return self.face(picture.as_ref(), face, found);
            }
        }
        let detail = format!("the server found no face of score {SCORE_THRESHOLD:.2} or more");
        Ok(Extraction::Rejected(Rejection::new(RejectReason::NoFace, detail)))
    }

    /// Whether the server sees the same picture in the file's own bytes, which are sent where the
    /// PNG is too large for it: facefold decodes it in the same way; others do for JPEG without
    /// EXIF orientation.
    fn sends_own(&self, picture: &dyn Picture, bytes: &[u8]) -> bool {
        let is_crop = picture.size() == [CROP_SIDE; 2];
        let is_upright_jpeg = bytes.starts_with(JPEG) && self.pictures.is_stored_upright(bytes);
        self.pads || (is_upright_jpeg && (is_crop || !self.options.aligned))
    }

    fn face(
        &self,
        picture: &dyn Picture,
        face: DetectedFace,
        found: u32,
    ) -> Result<Extraction, ExtractionFailure> {
        let (longer, least) = (face.longer_side(), self.options.smallest_face);
        if longer < least {
            let detail =
                format!("the face is {longer:.1} pixels high or wide, of at least {least}");
            let rejection = Rejection::new(RejectReason::TooSmall, detail);
            return Err(ExtractionFailure::Rejected(rejection));
        }
        let quality = picture.quality(&face.landmarks).map_err(ExtractionFailure::Rejected)?;
        let embedded = self.embedded(face.embedding)?;
        let (bounding_box, landmarks) = (face.bounding_box, face.landmarks);
        let face = assembled(embedded, bounding_box, landmarks, face.score, quality);
        Ok(Extraction::Embedded { faces: vec![face], found })
    }

    fn crop(
        &self,
        picture: &dyn Picture,
        own: Option<&[u8]>,
    ) -> Result<Extraction, ExtractionFailure> {
        let crop = picture.crop().map_err(ExtractionFailure::Rejected)?;
        let embedded = match self.client.send(&crop.png, own)? {
            FaceResponse::Crop(embedded) => self.embedded(embedded)?,
            FaceResponse::Rejected(rejection) => return Ok(Extraction::Rejected(rejection)),
            FaceResponse::Faces(_) => {
                let found = "expected the embedding of a crop, found faces";
                return Err(self
                    .client
                    .record_failure(RejectReason::BadEmbedding, found.to_owned()));
            }
        };
        let face = assembled(embedded, crop.bounding_box, crop.landmarks, 1.0, crop.quality);
        Ok(Extraction::Embedded { faces: vec![face], found: 1 })
    }

    fn embedded(
        &self,
        embedded: Result<CheckedEmbedding, crate::faces::BadEmbedding>,
    ) -> Result<CheckedEmbedding, ExtractionFailure> {
        match embedded {
            Ok(embedded) => {
                self.client.record_success();
                Ok(embedded)
            }
            Err(bad) => {
                Err(self.client.record_failure(RejectReason::BadEmbedding, bad.to_string()))
            }
        }
    }

    fn outcome(&self, bytes: &[u8]) -> Result<Extraction, ExtractorError> {
        match self.picture(bytes) {
            Ok(extraction) => Ok(extraction),
            Err(ExtractionFailure::Rejected(rejection)) => Ok(Extraction::Rejected(rejection)),
            Err(ExtractionFailure::Failed(error)) => Err(error.into()),
        }
    }
}

impl Extractor for InsightfaceExtractor {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn info(&self) -> &ExtractorInfo {
        &self.info
    }

    /// Waits for servers most of the time: give it as many threads as requests may be under way.
    /// A list is worked through by as many threads as the replicas take requests.
    fn extract(&self, pictures: &[&[u8]]) -> Result<Vec<Extraction>, ExtractorError> {
        let threads = self.options.in_flight * self.options.urls.len();
        if threads.min(pictures.len()) <= 1 {
            return pictures.iter().map(|bytes| self.outcome(bytes)).collect();
        }
        Workers::new(threads).map(pictures, |_, bytes| self.outcome(bytes))
    }
}

fn assembled(
    embedded: CheckedEmbedding,
    bounding_box: BoundingBox,
    landmarks: [[f32; 2]; 5],
    score: f32,
    quality: Quality,
) -> Face {
    Face {
        index: 0,
        variant: FaceVariant::PLAIN,
        embedding: embedded.embedding,
        norm: embedded.norm,
        taps: Vec::new(),
        bounding_box,
        landmarks,
        score,
        luminance: quality.luminance,
        sharpness: quality.sharpness,
    }
}

/// What is known of the embeddings' making: names, where the local extractor hashes tensors.
fn fingerprint(
    options: &Options,
    info: Option<&rest::Info>,
    detector: &str,
    network: &str,
) -> Fingerprint {
    let mut builder = Fingerprint::builder()
        .text("preprocessing", PREPROCESSING)
        .text("dialect", options.dialect.as_str())
        .text("crops", if options.aligned { "whole pictures" } else { "detected" })
        .text("network name", network);
    if !options.aligned {
        builder = builder.text("detector name", detector);
    }
    if let Some(models) = info.map(|info| &info.models) {
        builder = builder.text("half precision", &models.force_fp16.unwrap_or(false).to_string());
        if !options.aligned {
            builder = builder.text("detector input", &format!("{:?}", models.max_size));
        }
    }
    builder.finish()
}
