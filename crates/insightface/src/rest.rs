//! The wire types of the dialect of InsightFace-REST: `POST /extract` and `GET /info`.
//!
//! Taken from InsightFace-REST 0.9.5 (`if_rest/schemas.py`, `core/face_model.py`,
//! `api/routes/v1`). Fields of the responses that facefold does not use are left out.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use facefold_core::{Fingerprint, Precision, RejectReason, Rejection, SCORE_THRESHOLD};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::Failure;
use crate::faces::{BadEmbedding, CheckedEmbedding, DetectedFace, FaceResponse, embedded};
use crate::nan;
use crate::transport::{HttpResponse, RequestBody};

/// Most bytes of a text from a server that is shown or kept.
const LONGEST_TEXT: usize = 200;

/// Sides that a detector's input can have, in pixels.
const SIDES: (u32, u32) = (32, 8192);

/// How bodies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON with pictures in base64: every server reads it.
    Json,
    /// `MessagePack` with pictures as they are: a third smaller, and quicker to write and read.
    Msgpack,
}

impl Encoding {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/msgpack",
        }
    }

    /// The server compares this header with the one text, so nothing may be added to it.
    fn accept(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/x-msgpack",
        }
    }
}

/// The body of `POST /extract`.
#[derive(Debug, Clone, Serialize)]
// Switches of someone else's interface.
#[allow(clippy::struct_excessive_bools)]
pub struct ExtractRequest<'a> {
    /// The pictures; its other form, `urls`, makes the server fetch them, and is never used.
    pub images: Images<'a>,
    /// Least detector score.
    pub threshold: f32,
    /// The pictures are aligned crops of 112 x 112.
    pub embed_only: bool,
    /// Whether to send crops back.
    pub return_face_data: bool,
    /// Whether to send landmarks back.
    pub return_landmarks: bool,
    /// Whether to embed.
    pub extract_embedding: bool,
    /// Whether to predict gender and age with the server's own model.
    pub extract_ga: bool,
    /// Whether to look for medical masks.
    pub detect_masks: bool,
    /// Most faces a picture, by area alone; 0 for all, so that the choice is made here.
    pub limit_faces: u32,
    /// Always 0: above 0 the server mixes up the faces of a batch. Small faces are left out here.
    pub min_face_size: u32,
    /// Whether to report how long each step took.
    pub verbose_timings: bool,
    /// Whether the response is `MessagePack`.
    pub msgpack: bool,
    /// Headers for the `urls` form; empty.
    pub img_req_headers: BTreeMap<String, String>,
}

/// The pictures of a request.
#[derive(Debug, Clone, Serialize)]
pub struct Images<'a> {
    /// Each picture's file.
    pub data: Vec<ImageBytes<'a>>,
}

/// The bytes of a picture's file, as the encoding wants them.
#[derive(Debug, Clone)]
pub enum ImageBytes<'a> {
    /// For JSON.
    Base64(&'a [u8]),
    /// For `MessagePack`.
    Raw(&'a [u8]),
}

impl Serialize for ImageBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Base64(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Self::Raw(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'a> ExtractRequest<'a> {
    /// The request for one picture: all its faces, with landmarks and embeddings only.
    #[must_use]
    pub fn of(picture: &'a [u8], embed_only: bool, encoding: Encoding) -> Self {
        let image = match encoding {
            Encoding::Json => ImageBytes::Base64(picture),
            Encoding::Msgpack => ImageBytes::Raw(picture),
        };
        Self {
            images: Images { data: vec![image] },
            threshold: SCORE_THRESHOLD,
            embed_only,
            return_face_data: false,
            return_landmarks: true,
            extract_embedding: true,
            extract_ga: false,
            detect_masks: false,
            limit_faces: 0,
            min_face_size: 0,
            verbose_timings: false,
            msgpack: encoding == Encoding::Msgpack,
            img_req_headers: BTreeMap::new(),
        }
    }
}

/// The response of `POST /extract`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ExtractReply {
    /// Only with `embed_only`: `ok`, or `failed` where even the items cannot be relied on.
    #[serde(default)]
    pub status: Option<String>,
    /// One item a picture, in order.
    pub data: Vec<Item>,
}

/// What became of one picture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Item {
    /// `ok` or `failed`. What else a failed item holds, such as a traceback, is not read.
    pub status: String,
    /// The faces.
    #[serde(default)]
    pub faces: Vec<Face>,
    /// Why there is no face: an extension of `facefold serve`.
    #[serde(default)]
    pub rejection: Option<Rejection>,
    /// With `embed_only`, before version 0.9.5: the norm of the crop's embedding, and the embedding;
    /// an item was the face itself.
    #[serde(default)]
    pub norm: Option<f64>,
    /// See [`Self::norm`].
    #[serde(default)]
    pub vec: Option<Values>,
}

/// One face.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Face {
    /// Only with `embed_only`, where a failure hides here under an item that is `ok`.
    #[serde(default)]
    pub status: Option<String>,
    /// Detector score in [0, 1].
    #[serde(default)]
    pub prob: Option<f64>,
    /// Left, top, right, bottom, cut to whole pixels.
    #[serde(default)]
    pub bbox: Option<[f64; 4]>,
    /// Left eye, right eye, nose, left and right mouth corner; cut to whole pixels too.
    #[serde(default)]
    pub landmarks: Option<[[f64; 2]; 5]>,
    /// Box and landmarks in fractions of pixels: an extension of `facefold serve`.
    #[serde(default)]
    pub exact: Option<Exact>,
    /// Norm of the embedding.
    #[serde(default)]
    pub norm: Option<f64>,
    /// The embedding divided by its norm.
    #[serde(default)]
    pub vec: Option<Values>,
}

/// Coordinates in fractions of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Exact {
    /// As [`Face::bbox`].
    pub bbox: [f64; 4],
    /// As [`Face::landmarks`].
    #[serde(default)]
    pub landmarks: Option<[[f64; 2]; 5]>,
}

/// The values of an embedding, or anything else in their place.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// Numbers; none for what is no number.
    Numbers(Vec<Option<f64>>),
    /// Anything else.
    Other(Anything),
}

/// Any value, not kept.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "IgnoredAny")]
pub struct Anything;

impl From<IgnoredAny> for Anything {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

/// The response of `GET /info`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Version of the container.
    #[serde(default)]
    pub version: Option<String>,
    /// Which models run, and how.
    pub models: Models,
}

/// What of a container's settings can change an embedding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Models {
    /// Name of the detector.
    pub det_name: String,
    /// Name of the embedding network.
    pub rec_name: String,
    /// Width and height of the detector's input.
    #[serde(default)]
    pub max_size: Option<Vec<u32>>,
    /// `onnx`, `trt` or `triton`.
    #[serde(default)]
    pub inference_backend: Option<String>,
    /// Whether networks run in half precision.
    #[serde(default)]
    pub force_fp16: Option<bool>,
    /// The fingerprint of its extractor with detection: an extension of `facefold serve`, whose
    /// embeddings are those of the local extractor.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
    /// The precision class of its extractor: an extension of `facefold serve`.
    #[serde(default)]
    pub precision: Option<Precision>,
}

impl Models {
    /// Width and height of the detector's input, where they are reported and can be such.
    #[must_use]
    pub fn detector_input(&self) -> Option<[u32; 2]> {
        let sides = <[u32; 2]>::try_from(self.max_size.as_deref()?).ok()?;
        sides.iter().all(|side| (SIDES.0..=SIDES.1).contains(side)).then_some(sides)
    }
}

impl Info {
    /// The differences in a sentence; `None` between equal replicas.
    #[must_use]
    pub fn differences(&self, reference: &Self) -> Option<String> {
        let texts = |info: &Self| {
            let models = &info.models;
            [
                ("det_name", models.det_name.clone()),
                ("rec_name", models.rec_name.clone()),
                ("max_size", format!("{:?}", models.max_size)),
                ("inference_backend", format!("{:?}", models.inference_backend)),
                ("force_fp16", format!("{:?}", models.force_fp16)),
                ("version", format!("{:?}", info.version)),
                ("fingerprint", format!("{:?}", models.fingerprint)),
                ("precision", format!("{:?}", models.precision)),
            ]
        };
        let pairs = texts(self).into_iter().zip(texts(reference));
        let differing: Vec<String> = pairs
            .filter(|(ours, theirs)| ours.1 != theirs.1)
            .map(|((name, ours), (_, theirs))| format!("{name} is {ours}, there {theirs}"))
            .collect();
        (!differing.is_empty()).then(|| differing.join("; "))
    }
}

pub(crate) fn request_body(picture: &[u8], aligned: bool, encoding: Encoding) -> RequestBody {
    let request = ExtractRequest::of(picture, aligned, encoding);
    // Neither format can fail on these types: no maps with other keys than texts, no writer.
    let body = match encoding {
        Encoding::Json => serde_json::to_vec(&request).unwrap_or_default(),
        Encoding::Msgpack => rmp_serde::to_vec_named(&request).unwrap_or_default(),
    };
    let (content_type, accept) = (encoding.content_type(), encoding.accept());
    RequestBody { path: "/extract", content_type, accept, body }
}

pub(crate) fn info(response: &HttpResponse) -> Result<Info, Failure> {
    let info: Info = serde_json::from_slice(&response.body).map_err(|error| other_json(&error))?;
    let printable = |name: &str| {
        !name.is_empty() && name.len() <= LONGEST_TEXT && !name.chars().any(char::is_control)
    };
    if printable(&info.models.det_name) && printable(&info.models.rec_name) {
        Ok(info)
    } else {
        Err(Failure::Unreadable("names of models that are no names".to_owned()))
    }
}

/// Parses the response for one picture.
pub(crate) fn face_response(
    response: &HttpResponse,
    aligned: bool,
) -> Result<FaceResponse, Failure> {
    let face_response: ExtractReply = if response.content_type.contains("msgpack") {
        let other = |_| Failure::Unreadable("MessagePack of another form, or none".to_owned());
        rmp_serde::from_slice(&response.body).map_err(other)?
    } else {
        let read = serde_json::from_slice(&nan::to_null(&response.body));
        read.map_err(|error| other_json(&error))?
    };
    if face_response.status.is_some_and(|status| status != "ok") {
        return Err(Failure::Item);
    }
    let count = face_response.data.len();
    let Ok([item]) = <[Item; 1]>::try_from(face_response.data) else {
        return Err(Failure::Unreadable(format!("{count} items for one picture")));
    };
    if let Some(rejection) = &item.rejection {
        return Ok(trusted(rejection));
    }
    if item.status != "ok" {
        return Err(Failure::Item);
    }
    if aligned {
        if item.faces.is_empty() && item.vec.is_some() {
            return Ok(FaceResponse::Crop(embedding(item.vec.as_ref(), item.norm)));
        }
        let count = item.faces.len();
        let Ok([face]) = <[Face; 1]>::try_from(item.faces) else {
            return Err(Failure::Unreadable(format!("{count} embeddings of one crop")));
        };
        return if face.failed() {
            Err(Failure::Item)
        } else {
            Ok(FaceResponse::Crop(face.embedded()))
        };
    }
    if item.faces.iter().any(Face::failed) {
        return Err(Failure::Item);
    }
    item.faces.iter().map(Face::found).collect::<Result<_, _>>().map(FaceResponse::Faces)
}

fn embedding(values: Option<&Values>, norm: Option<f64>) -> Result<CheckedEmbedding, BadEmbedding> {
    let Some(Values::Numbers(values)) = values else { return Err(BadEmbedding::NoList) };
    let values: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    embedded(&values, norm)
}

impl Face {
    fn failed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status != "ok")
    }

    fn embedded(&self) -> Result<CheckedEmbedding, BadEmbedding> {
        embedding(self.vec.as_ref(), self.norm)
    }

    fn found(&self) -> Result<DetectedFace, Failure> {
        let lacks = |what: &str| Failure::Unreadable(format!("a face without {what}"));
        let score = self.prob.ok_or_else(|| lacks("prob"))?;
        if !(0.0..=1.0).contains(&score) {
            return Err(Failure::Unreadable(format!("a face with prob {score}")));
        }
        let exact = self.exact;
        let landmarks = exact.and_then(|exact| exact.landmarks).or(self.landmarks);
        let landmarks = landmarks.ok_or_else(|| lacks("landmarks"))?;
        let bbox = exact.map(|exact| exact.bbox).or(self.bbox);
        Ok(DetectedFace {
            bounding_box: bbox.ok_or_else(|| lacks("bbox"))?.map(|value| value as f32).into(),
            landmarks: landmarks.map(|point| point.map(|value| value as f32)),
            score: score as f32,
            embedding: self.embedded(),
        })
    }
}

/// A rejection from another facefold, its words kept short in case it is none.
fn trusted(rejection: &Rejection) -> FaceResponse {
    let detail = rejection.detail.chars().filter(|c| !c.is_control());
    let detail: String = detail.take(LONGEST_TEXT).collect();
    match rejection.reason {
        // Only a reader of files can determine this.
        RejectReason::Unreadable => {
            FaceResponse::Rejected(Rejection::new(RejectReason::Undecodable, detail))
        }
        reason => FaceResponse::Rejected(Rejection::new(reason, detail)),
    }
}

/// Where the JSON goes wrong. The parser's own words may quote what the server wrote.
fn other_json(error: &serde_json::Error) -> Failure {
    let what = if error.is_data() { "JSON of another form" } else { "no JSON" };
    let (line, column) = (error.line(), error.column());
    Failure::Unreadable(format!("{what}, at line {line}, column {column}"))
}

#[cfg(test)]
mod tests;
