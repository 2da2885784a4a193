//! The extractor over HTTP: decodes a picture, sends it, checks the response, and chooses the face.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use facefold_core::workers::Workers;
use facefold_core::{
    BoundingBox, Extraction, Extractor, ExtractorError, ExtractorInfo, Face, FaceVariant,
    Fingerprint, Precision, RejectReason, Rejection, SCORE_THRESHOLD,
};

use crate::access::{Address, Header, Token, without_user};
use crate::canvas::{Canvas, canvas};
use crate::client::{Client, ExtractionFailure};
use crate::dialect::Dialect;
use crate::error::InsightfaceError;
use crate::faces::{CheckedEmbedding, DetectedFace, EMBEDDING_LENGTH, FaceResponse, main_face};
use crate::forms::Forms;
use crate::pictures::{Attempt, Format, Picture, Pictures, Quality};
use crate::retry::RetryPolicy;
use crate::{face_detection_recognition as fdr, rest};

/// Part of every fingerprint. To be raised whenever what is sent, or how a response is used,
/// changes what a picture gives.
const PREPROCESSING: &str = "facefold insightface 2";

/// What a JPEG begins with.
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Side of an aligned crop.
const CROP_SIDE: u32 = 112;

/// The largest side of the local extractor's input: a server's input of at least so many pixels has a
/// canvas for every picture.
const LOCAL_INPUT: u32 = 640;

/// How often the pictures of a call are sent where a replica's models cannot be confirmed.
const ROUNDS: u32 = 4;

const LICENCE: &str = "The weights are the container's, with terms of their own; those published by \
                       InsightFace are for non-commercial research only.";

/// What an [`InsightfaceExtractor`] is made from.
#[derive(Clone, PartialEq)]
pub struct Options {
    /// Base URLs of the replicas: `http://127.0.0.1:18081`.
    pub urls: Vec<String>,
    /// Bearer tokens: none, one for all replicas, or one for each in their order.
    pub tokens: Vec<Token>,
    /// Headers of every request, as a gateway may ask for.
    pub headers: Vec<Header>,
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
            headers: Vec::new(),
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

impl fmt::Debug for Options {
    /// Without the passwords that addresses may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.urls.iter().map(|url| without_user(url)).collect();
        f.debug_struct("Options")
            .field("urls", &urls)
            .field("tokens", &self.tokens)
            .field("headers", &self.headers)
            .field("dialect", &self.dialect)
            .field("aligned", &self.aligned)
            .field("in_flight", &self.in_flight)
            .field("retry", &self.retry)
            .field("smallest_face", &self.smallest_face)
            .finish()
    }
}

/// Turns pictures into embeddings by asking insightface containers.
pub struct InsightfaceExtractor {
    client: Client,
    pictures: Box<dyn Pictures>,
    options: Options,
    /// The server is facefold: it pads and scales pictures itself.
    pads: bool,
    /// Width and height of the detector's input, of a server that scales every picture to it.
    input: Option<[u32; 2]>,
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
        let input = models.and_then(rest::Models::detector_input);
        let (pads, is_rest) = (facefold.is_some(), options.dialect == Dialect::Rest);
        if is_rest && !pads && !options.aligned {
            note_input(input);
        }
        Ok(Self { client, pictures, options, pads, input, fingerprint, info })
    }

    fn picture(
        &self,
        bytes: &[u8],
        used: &mut BTreeSet<usize>,
    ) -> Result<Extraction, ExtractionFailure> {
        let picture = self.pictures.open(bytes).map_err(ExtractionFailure::Rejected)?;
        let own = self.sends_own(picture.as_ref(), bytes).then_some(bytes);
        if self.options.aligned {
            return self.crop(picture.as_ref(), own, used);
        }
        let size = picture.size();
        for canvas in self.canvases(size) {
            let png =
                picture.encode(canvas, 1, Format::Png).map_err(ExtractionFailure::Rejected)?;
            let own = own.filter(|_| canvas.is_bare(size));
            let mut forms = Forms::new(png, own);
            if !self.pads {
                forms = forms.or_jpeg(picture.as_ref(), canvas);
            }
            let faces = match self.client.send(&mut forms, used)? {
                FaceResponse::Faces(faces) => faces,
                FaceResponse::Rejected(rejection) => return Ok(Extraction::Rejected(rejection)),
                FaceResponse::Crop(_) => Vec::new(),
            };
            let reduction = forms.reduction();
            let faces = faces.into_iter().map(|face| face.in_picture(reduction, canvas.offset));
            if let Some((face, found)) = main_face(faces.collect(), size) {
                return self.face(picture.as_ref(), face, found);
            }
        }
        let detail = format!("the server found no face of score {SCORE_THRESHOLD:.2} or more");
        Ok(Extraction::Rejected(Rejection::new(RejectReason::NoFace, detail)))
    }

    /// How a picture is shown to the server, until a face is found: as the local extractor shows it to
    /// its own detector, as far as the server's input allows.
    fn canvases(&self, size: [u32; 2]) -> Vec<Canvas> {
        if self.pads {
            return vec![Canvas::padded(size, 0)];
        }
        let shown = |attempt: Attempt| {
            let wanted = self.input.and_then(|input| canvas(size, attempt, input));
            wanted.unwrap_or_else(|| Canvas::padded(size, attempt.padding))
        };
        let mut canvases: Vec<Canvas> = Vec::new();
        for canvas in self.pictures.attempts(size).into_iter().map(shown) {
            // Where the server chooses the size alone, two attempts may be the same.
            if !canvases.contains(&canvas) {
                canvases.push(canvas);
            }
        }
        canvases
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
        used: &mut BTreeSet<usize>,
    ) -> Result<Extraction, ExtractionFailure> {
        let crop = picture.crop().map_err(ExtractionFailure::Rejected)?;
        let mut forms = Forms::new(crop.png, own);
        let embedded = match self.client.send(&mut forms, used)? {
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

    /// What became of a picture, and the replicas that had a part in it.
    fn outcome(&self, bytes: &[u8]) -> Result<(Extraction, BTreeSet<usize>), ExtractorError> {
        let mut used = BTreeSet::new();
        match self.picture(bytes, &mut used) {
            Ok(extraction) => Ok((extraction, used)),
            Err(ExtractionFailure::Rejected(rejection)) => {
                Ok((Extraction::Rejected(rejection), used))
            }
            Err(ExtractionFailure::Failed(error)) => Err(error.into()),
        }
    }

    fn outcomes(
        &self,
        pictures: &[&[u8]],
    ) -> Result<Vec<(Extraction, BTreeSet<usize>)>, ExtractorError> {
        let threads = self.options.in_flight * self.options.urls.len();
        if threads.min(pictures.len()) <= 1 {
            return pictures.iter().map(|bytes| self.outcome(bytes)).collect();
        }
        Workers::new(threads).map(pictures, |_, bytes| self.outcome(bytes))
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
    /// A list is worked through by as many threads as the replicas take requests. What is returned
    /// was given by replicas that reported the same models afterwards as at the start.
    fn extract(&self, pictures: &[&[u8]]) -> Result<Vec<Extraction>, ExtractorError> {
        let mut confirmed: Vec<Option<Extraction>> = vec![None; pictures.len()];
        let mut unconfirmed = BTreeSet::new();
        for _ in 0..ROUNDS {
            let left: Vec<usize> =
                (0..pictures.len()).filter(|&at| confirmed[at].is_none()).collect();
            let sent: Vec<&[u8]> = left.iter().map(|&at| pictures[at]).collect();
            let outcomes = self.outcomes(&sent)?;
            let now = Instant::now();
            let used: BTreeSet<usize> =
                outcomes.iter().flat_map(|(_, used)| used.iter().copied()).collect();
            unconfirmed = used;
            unconfirmed.retain(|&replica| !self.client.confirm(replica, now));
            for (at, (extraction, used)) in left.into_iter().zip(outcomes) {
                if used.is_disjoint(&unconfirmed) {
                    confirmed[at] = Some(extraction);
                }
            }
            if unconfirmed.is_empty() {
                return Ok(confirmed.into_iter().flatten().collect());
            }
        }
        let urls = self.client.urls(unconfirmed);
        Err(InsightfaceError::Unconfirmed { urls, rounds: ROUNDS }.into())
    }
}

/// Says where embeddings will differ from the local extractor's because of the size at which the
/// detector sees pictures.
fn note_input(input: Option<[u32; 2]>) {
    match input {
        Some([width, height]) if width.min(height) < LOCAL_INPUT => tracing::warn!(
            "the container scales pictures to {width}x{height} (MAX_SIZE) before it looks for faces, so it \
             sees large pictures smaller than --backend local does, and embeddings differ: start it with \
             MAX_SIZE={LOCAL_INPUT},{LOCAL_INPUT}, which agrees for pictures of every size"
        ),
        Some([width, height]) => tracing::info!(
            "the container scales pictures to {width}x{height} (MAX_SIZE): each is sent with a black margin \
             with which its detector sees it as that of --backend local does"
        ),
        None => tracing::warn!(
            "the container does not report the size that it scales pictures to (MAX_SIZE): embeddings of \
             small pictures may differ from those of --backend local"
        ),
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
