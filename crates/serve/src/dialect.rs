//! The dialect of `InsightFace-REST`, so that facefold can replace such a container.
//!
//! Request and reply have the shapes of its version 0.9.5 (`if_rest/schemas.py`,
//! `if_rest/core/face_model.py`), but for three things: a face has its coordinates in `exact` too, in
//! fractions of pixels; a picture without a usable face has the reason in `rejection`; and a picture
//! that cannot be read is `failed` under `embed_only` too, where the container has `ok` around a failed
//! face. What the container leaves out is `null`, as its own client's types ask for. URLs are never
//! fetched: each is a failed picture that says so.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use facefold_core::{BoundingBox, Extraction, Face, FaceVariant, RejectReason, Rejection};
use facefold_predict::{DetectionMarks, ExtractionRequest};
use futures_util::stream;
use multer::Multipart;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::api_error::ApiError;
use crate::base64_forms;
use crate::json::Json;
use crate::queue::{ExtractionResult, Purpose};
use crate::state::{AdmissionPermit, Shared};

/// Why a picture given by its address or path has no faces.
const NOT_FETCHED: &str = "URLs and paths are never fetched: send the picture itself in images.data (the \
                           container's own client: mode='data')";

/// The content type of a reply in `MessagePack`, as the container calls it.
const MSGPACK: &str = "application/x-msgpack";

/// The fields of a request that are used; others are accepted and ignored.
#[derive(Deserialize)]
struct Extract {
    images: Pictures,
    /// Faces of a lower score are left out. Values under 0.5 have no effect.
    threshold: Option<f32>,
    /// The pictures are crops: no detection.
    embed_only: Option<bool>,
    /// Whether the aligned crops are sent back.
    return_face_data: Option<bool>,
    return_landmarks: Option<bool>,
    #[serde(rename = "extract_embedding")]
    with_embedding: Option<bool>,
    /// 0 for no limit.
    limit_faces: Option<usize>,
    /// Faces that are less wide are left out.
    min_face_size: Option<f32>,
    msgpack: Option<bool>,
}

#[derive(Deserialize)]
struct Pictures {
    data: Option<Vec<Encoded>>,
    urls: Option<Vec<String>>,
}

/// A picture: base64 in JSON, bytes in `MessagePack`.
enum Encoded {
    Base64(String),
    Bytes(Vec<u8>),
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a picture, as base64 or as bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Encoded, E> {
                Ok(Encoded::Base64(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Encoded, E> {
                Ok(Encoded::Base64(text))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Encoded, E> {
                Ok(Encoded::Bytes(bytes.to_owned()))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Encoded, E> {
                Ok(Encoded::Bytes(bytes))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Serialize)]
struct ResponseBody<'a> {
    took: Timing,
    data: Vec<Item<'a>>,
    /// With `embed_only` the container has these two in place of `took`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<f64>,
    /// Where every picture failed for one reason; the container's demo client prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<&'static str>,
}

#[derive(Serialize)]
struct Timing {
    total_ms: f64,
}

/// A picture's outcome.
#[derive(Serialize)]
struct Item<'a> {
    /// `ok`, with or without a face, or `failed` where the picture cannot be read.
    status: &'static str,
    took_ms: f64,
    faces: Vec<FaceItem>,
    /// One line without a traceback: the program's internals are not exposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<String>,
    /// Why there is no face.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<RejectionItem<'a>>,
}

#[derive(Serialize)]
struct RejectionItem<'a> {
    reason: RejectReason,
    detail: &'a str,
}

#[derive(Serialize)]
struct FaceItem {
    status: &'static str,
    num_det: u16,
    prob: f32,
    /// Left, top, right and bottom, cut to whole pixels: clients expect whole numbers.
    bbox: [i32; 4],
    /// Width of the box, cut.
    size: i32,
    /// Length of the embedding as the network gives it.
    norm: Option<f32>,
    /// The embedding at unit length.
    vec: Option<Vec<f32>>,
    landmarks: Option<[[i32; 2]; 5]>,
    /// The crop as JPEG in base64.
    facedata: Option<String>,
    exact: Exact,
    /// Mean luma of the crop, 0 to 255.
    luminance: f32,
    /// Variance of the Laplacian of the crop's luma.
    sharpness: f32,
    gender: Option<u8>,
    age: Option<u8>,
    mask_probs: Option<f32>,
}

/// Coordinates in fractions of pixels.
#[derive(Serialize)]
struct Exact {
    bbox: BoundingBox,
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks: Option<[[f32; 2]; 5]>,
}

impl Extract {
    fn face(&self, face: &Face, crop: Option<&Vec<u8>>) -> FaceItem {
        let norm = face.embedding.norm();
        let with_embedding = self.with_embedding.unwrap_or(true);
        let landmarks = self.return_landmarks.unwrap_or(false).then_some(face.landmarks);
        FaceItem {
            status: "ok",
            num_det: face.index,
            prob: face.score,
            // Cut towards zero, as NumPy's `astype(int)` does.
            bbox: <[f32; 4]>::from(face.bounding_box).map(|edge| edge as i32),
            size: face.bounding_box.width() as i32,
            norm: with_embedding.then_some(norm),
            vec: with_embedding
                .then(|| face.embedding.as_slice().iter().map(|value| value / norm).collect()),
            landmarks: landmarks.map(|points| points.map(|point| point.map(|value| value as i32))),
            facedata: crop.map(|file| STANDARD.encode(file)),
            exact: Exact { bbox: face.bounding_box, landmarks },
            luminance: face.luminance,
            sharpness: face.sharpness,
            gender: None,
            age: None,
            mask_probs: None,
        }
    }

    fn item<'a>(&self, results: &'a ExtractionResult, took_ms: f64) -> Item<'a> {
        match &results.extraction {
            Extraction::Embedded { faces, .. } => {
                let wide_enough = |face: &&Face| {
                    face.score >= self.threshold.unwrap_or(0.0)
                        && face.bounding_box.width() >= self.min_face_size.unwrap_or(0.0)
                };
                let plain = faces.iter().filter(|face| face.variant == FaceVariant::PLAIN);
                let shown = plain.enumerate().filter(|(_, face)| wide_enough(face));
                let faces =
                    shown.map(|(at, face)| self.face(face, results.files.get(at))).collect();
                Item { status: "ok", took_ms, faces, traceback: None, rejection: None }
            }
            Extraction::Rejected(rejection) => {
                // In the container's eyes a picture without a face is no failure.
                let is_read = rejection.reason.is_without_face();
                let line = || format!("{}: {}", rejection.reason, rejection.detail);
                Item {
                    status: if is_read { "ok" } else { "failed" },
                    took_ms,
                    faces: Vec::new(),
                    traceback: (!is_read).then(line),
                    rejection: Some(RejectionItem {
                        reason: rejection.reason,
                        detail: &rejection.detail,
                    }),
                }
            }
        }
    }
}

/// `POST /extract`.
pub(crate) async fn extract(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let (permit, head, body) = shared.admit(request).await?;
    let mut extract: Extract = body_of(&head.headers, &body)?;
    drop(body);
    let pictures = extract.images.pictures(&shared)?;
    let request = extract.request(&shared);
    let with_crops = extract.return_face_data.unwrap_or(false);
    let purpose = if with_crops { Purpose::Crops } else { Purpose::Embed };
    let readable = pictures.iter().flatten().map(|picture| (picture.clone(), request));
    let mut results = permit.predict(readable.collect(), purpose).await?.into_iter();
    let mut outcome = |picture: Result<Bytes, Rejection>| match picture {
        Ok(_) => results.next().ok_or_else(ApiError::failed),
        Err(rejection) => Ok(ExtractionResult::rejected(rejection)),
    };
    let results: Vec<ExtractionResult> =
        pictures.into_iter().map(&mut outcome).collect::<Result<_, _>>()?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let each = took / results.len().max(1) as f64;
    let data: Vec<Item<'_>> = results.iter().map(|results| extract.item(results, each)).collect();
    let is_crops = request.aligned;
    let reply = ResponseBody {
        took: Timing { total_ms: took },
        data,
        status: is_crops.then_some("ok"),
        took_ms: is_crops.then_some(took),
        traceback: extract.images.is_by_address().then_some(NOT_FETCHED),
    };
    let wants = head.headers.get_all(header::ACCEPT).iter();
    let mut wants = wants.filter_map(|value| value.to_str().ok());
    if extract.msgpack.unwrap_or(false) || wants.any(|value| value.contains(MSGPACK)) {
        let bytes = rmp_serde::to_vec_named(&reply).map_err(|error| {
            tracing::error!("a reply cannot be written as MessagePack: {error}");
            ApiError::failed()
        })?;
        return Ok(([(header::CONTENT_TYPE, MSGPACK)], bytes).into_response());
    }
    Ok(Json(reply).into_response())
}

/// The body of `POST /draw_detections`, as far as it is used.
#[derive(Deserialize)]
struct DrawRequest {
    images: Pictures,
    threshold: Option<f32>,
    draw_landmarks: Option<bool>,
    draw_scores: Option<bool>,
    draw_sizes: Option<bool>,
    limit_faces: Option<usize>,
    min_face_size: Option<f32>,
}

impl DrawRequest {
    fn marks(&self) -> DetectionMarks {
        DetectionMarks {
            landmarks: self.draw_landmarks.unwrap_or(true),
            scores: self.draw_scores.unwrap_or(true),
            sizes: self.draw_sizes.unwrap_or(true),
            threshold: self.threshold.unwrap_or(0.0),
            min_face_size: self.min_face_size.unwrap_or(0.0),
        }
    }
}

/// `POST /draw_detections`: the first picture with its faces drawn on it.
pub(crate) async fn draw(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (permit, head, body) = shared.admit(request).await?;
    let mut draw: DrawRequest = body_of(&head.headers, &body)?;
    drop(body);
    let picture = draw.images.pictures(&shared)?.into_iter().next();
    let picture = picture.ok_or_else(|| ApiError::unusable("expected a picture in images.data"))?;
    drawn(&shared, &permit, picture.map_err(|rejection| ApiError::from(&rejection))?, &draw).await
}

/// `POST /multipart/draw_detections`: the same for a form with the picture as `file`.
pub(crate) async fn draw_upload(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (permit, head, body) = shared.admit(request).await?;
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|_| ApiError::wrong_type("expected multipart/form-data with a boundary"))?;
    let broken = |_| ApiError::unusable("the form is malformed or incomplete");
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = Multipart::new(whole, boundary);
    let (mut picture, mut fields) = (None, serde_json::Map::new());
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            picture = Some(field.bytes().await.map_err(broken)?);
        } else {
            let text = field.text().await.map_err(broken)?;
            let value = field_value(&text, name.starts_with("draw_"));
            fields.insert(name, value);
        }
    }
    fields.insert("images".to_owned(), json!({}));
    let draw: DrawRequest =
        serde_json::from_value(fields.into()).map_err(|error| unreadable(&error))?;
    let picture = picture.ok_or_else(|| ApiError::unusable("expected a picture as `file`"))?;
    drawn(&shared, &permit, picture, &draw).await
}

/// A form's text as a switch, in the words that pydantic knows, or as a number.
fn field_value(text: &str, is_switch: bool) -> serde_json::Value {
    let word = text.trim().to_ascii_lowercase();
    match word.as_str() {
        "true" | "on" | "yes" | "1" | "t" | "y" if is_switch => json!(true),
        "false" | "off" | "no" | "0" | "f" | "n" if is_switch => json!(false),
        word => serde_json::from_str(word).unwrap_or_else(|_| json!(text)),
    }
}

async fn drawn(
    shared: &Shared,
    permit: &AdmissionPermit<'_>,
    picture: Bytes,
    draw: &DrawRequest,
) -> Result<Response, ApiError> {
    let request = ExtractionRequest {
        faces: most_faces(draw.limit_faces, shared),
        aligned: false,
        mirrored: false,
        augmented: 0,
    };
    let mut results = permit.predict(vec![(picture, request)], Purpose::Draw(draw.marks())).await?;
    let mut result = results.pop().ok_or_else(ApiError::failed)?;
    match (result.files.pop(), &result.extraction) {
        (Some(file), _) => Ok(([(header::CONTENT_TYPE, "image/jpeg")], file).into_response()),
        (None, Extraction::Rejected(rejection)) => Err(rejection.into()),
        (None, Extraction::Embedded { .. }) => Err(ApiError::failed()),
    }
}

/// A body in `MessagePack` or JSON.
fn body_of<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    if is_msgpack(headers)? {
        rmp_serde::from_slice(body).map_err(|error| unreadable(&error))
    } else {
        serde_json::from_slice(body).map_err(|error| unreadable(&error))
    }
}

/// Whether a request is in `MessagePack`; else it is in JSON.
fn is_msgpack(headers: &HeaderMap) -> Result<bool, ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match value.unwrap_or_default().split(';').next().unwrap_or_default().trim() {
        "application/json" => Ok(false),
        "application/msgpack" | MSGPACK => Ok(true),
        _ => Err(ApiError::wrong_type("expected application/json or application/msgpack")),
    }
}

fn unreadable(error: &dyn fmt::Display) -> ApiError {
    ApiError::unusable(format!("the request cannot be read: {error}"))
}

impl Pictures {
    /// Whether the pictures are given by their addresses, which come first in the container too.
    fn is_by_address(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    /// Takes the pictures out of the request, decoded from base64 where they are in it; what is
    /// neither, or stands elsewhere, is rejected.
    fn pictures(&mut self, shared: &Shared) -> Result<Vec<Result<Bytes, Rejection>>, ApiError> {
        let most = shared.limits.pictures;
        let count = |count: usize| {
            if count > most {
                let message = format!("a request has at most {most} pictures");
                return Err(ApiError::too_large(message));
            }
            Ok(())
        };
        if self.is_by_address() {
            let urls = self.urls.as_deref().unwrap_or_default();
            count(urls.len())?;
            let rejection = || Err(Rejection::new(RejectReason::Unreadable, NOT_FETCHED));
            return Ok(urls.iter().map(|_| rejection()).collect());
        }
        let pictures = self.data.take().unwrap_or_default();
        count(pictures.len())?;
        let bytes = |picture| match picture {
            Encoded::Base64(text) => base64_forms::decode(&text).map(Bytes::from),
            Encoded::Bytes(bytes) => Ok(Bytes::from(base64_forms::picture(bytes))),
        };
        Ok(pictures.into_iter().map(bytes).collect())
    }
}

/// 0 for as many as the server allows.
fn most_faces(asked: Option<usize>, shared: &Shared) -> usize {
    match asked.unwrap_or(0) {
        0 => shared.limits.faces,
        asked => asked.min(shared.limits.faces),
    }
}

impl Extract {
    /// What to do with each picture.
    fn request(&self, shared: &Shared) -> ExtractionRequest {
        let faces = most_faces(self.limit_faces, shared);
        let aligned = self.embed_only.unwrap_or(false);
        ExtractionRequest { faces, aligned, mirrored: false, augmented: 0 }
    }
}

/// `GET /info`: the models, in the container's words. The same for every server with the same
/// networks and precision class.
pub(crate) async fn info(State(shared): State<Arc<Shared>>) -> Response {
    let info = shared.predictor.info();
    Json(json!({
        "version": concat!("facefold ", env!("CARGO_PKG_VERSION")),
        "tensorrt_version": null,
        "log_level": "WARNING",
        "models": {
            "inference_backend": "facefold",
            "det_name": info.detector,
            "rec_name": info.network,
            "max_size": [640, 640],
            "rec_batch_size": 1,
            "det_batch_size": 1,
            "force_fp16": false,
            "triton_uri": null,
            "fingerprint": shared.predictor.fingerprint().to_string(),
            "precision": info.precision.to_string(),
        },
        "defaults": {
            "return_face_data": false,
            "return_landmarks": false,
            "extract_embedding": true,
            "extract_ga": false,
            "detect_masks": false,
            "det_thresh": facefold_core::SCORE_THRESHOLD,
        },
    }))
    .into_response()
}
