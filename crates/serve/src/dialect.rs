//! The dialect of `InsightFace-REST`, so that facefold can replace such a container.
//!
//! Request and reply have the shapes of its version 0.9.5 (`if_rest/schemas.py`,
//! `if_rest/core/face_model.py`), but for three things: coordinates are not truncated to whole
//! pixels, a picture without a usable face has the reason in `rejection`, and a picture that cannot
//! be read is `failed` under `embed_only` too, where the container has `ok` around a failed face.
//! URLs are never fetched.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use facefold_core::{BoundingBox, Extraction, Face, FaceVariant, RejectReason, Rejection};
use facefold_predict::ExtractionRequest;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::api_error::ApiError;
use crate::base64_forms;
use crate::json::Json;
use crate::queue::ExtractionResult;
use crate::state::Shared;

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
struct Reply<'a> {
    took: Timing,
    data: Vec<Item<'a>>,
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
    bbox: BoundingBox,
    /// Width of the box.
    size: f32,
    /// Length of the embedding as the network gives it.
    norm: Option<f32>,
    /// The embedding at unit length.
    vec: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landmarks: Option<[[f32; 2]; 5]>,
    /// Mean luma of the crop, 0 to 255.
    luminance: f32,
    /// Variance of the Laplacian of the crop's luma.
    sharpness: f32,
    gender: Option<u8>,
    age: Option<u8>,
    mask_probs: Option<f32>,
}

impl Extract {
    fn face(&self, face: &Face) -> FaceItem {
        let norm = face.embedding.norm();
        let with_embedding = self.with_embedding.unwrap_or(true);
        FaceItem {
            status: "ok",
            num_det: face.index,
            prob: face.score,
            bbox: face.bounding_box,
            size: face.bounding_box.width(),
            norm: with_embedding.then_some(norm),
            vec: with_embedding
                .then(|| face.embedding.as_slice().iter().map(|value| value / norm).collect()),
            landmarks: self.return_landmarks.unwrap_or(false).then_some(face.landmarks),
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
                let faces = plain.filter(wide_enough).map(|face| self.face(face)).collect();
                Item { status: "ok", took_ms, faces, traceback: None, rejection: None }
            }
            Extraction::Rejected(rejection) => {
                // In the container's eyes a picture without a face is no failure.
                let is_read = matches!(
                    rejection.reason,
                    RejectReason::NoFace
                        | RejectReason::LowScore
                        | RejectReason::TooSmall
                        | RejectReason::BadLandmarks
                );
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
    let mut extract: Extract = if is_msgpack(&head.headers)? {
        rmp_serde::from_slice(&body).map_err(|error| unreadable(&error))?
    } else {
        serde_json::from_slice(&body).map_err(|error| unreadable(&error))?
    };
    drop(body);
    let pictures = extract.pictures(&shared)?;
    let request = extract.request(&shared);
    let readable = pictures.iter().flatten().map(|picture| (picture.clone(), request));
    let mut results = permit.predict(readable.collect(), false).await?.into_iter();
    let mut outcome = |picture: Result<Bytes, Rejection>| match picture {
        Ok(_) => results.next().ok_or_else(ApiError::failed),
        Err(rejection) => Ok(ExtractionResult::rejected(rejection)),
    };
    let results: Vec<ExtractionResult> =
        pictures.into_iter().map(&mut outcome).collect::<Result<_, _>>()?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let each = took / results.len().max(1) as f64;
    let data = results.iter().map(|results| extract.item(results, each)).collect();
    let reply = Reply { took: Timing { total_ms: took }, data };
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

impl Extract {
    /// Takes the pictures out of the request, decoded from base64 where they are in it; what is
    /// neither is rejected.
    fn pictures(&mut self, shared: &Shared) -> Result<Vec<Result<Bytes, Rejection>>, ApiError> {
        if self.images.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
            return Err(ApiError::unusable("send pictures in images.data: URLs are never fetched"));
        }
        let pictures = self.images.data.take().unwrap_or_default();
        let most = shared.limits.pictures;
        if pictures.len() > most {
            return Err(ApiError::too_large(format!("a request has at most {most} pictures")));
        }
        let bytes = |picture| match picture {
            Encoded::Base64(text) => base64_forms::decode(&text).map(Bytes::from),
            Encoded::Bytes(bytes) => Ok(Bytes::from(base64_forms::picture(bytes))),
        };
        Ok(pictures.into_iter().map(bytes).collect())
    }

    /// What to do with each picture.
    fn request(&self, shared: &Shared) -> ExtractionRequest {
        let faces = match self.limit_faces.unwrap_or(0) {
            0 => shared.limits.faces,
            asked => asked.min(shared.limits.faces),
        };
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
            "det_thresh": 0.5,
        },
    }))
    .into_response()
}
