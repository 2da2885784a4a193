//! Our own routes: `/v1/predict`, `/v1/embed` and `/v1/models`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use facefold_core::{BoundingBox, Extraction, Face, FaceVariant, Familiarity};
use facefold_predict::{
    BundleCard, ClassPrediction, ExtractionRequest, FacePrediction, ThresholdDecision,
};
use serde::Serialize;

use crate::api_error::ApiError;
use crate::json::Json;
use crate::queue::{ExtractionResult, Purpose};
use crate::state::Shared;
use crate::upload::{Upload, uploads};

/// The response to a request with pictures.
#[derive(Serialize)]
struct ResponseBody<'a> {
    /// Model pack.
    model: &'a str,
    /// What the embeddings are made with.
    fingerprint: String,
    pictures: Vec<PictureResponse<'a>>,
    took_ms: f64,
}

#[derive(Serialize)]
struct PictureResponse<'a> {
    /// As the sender called it.
    path: &'a str,
    /// `ok`, or the reason of the rejection.
    status: &'static str,
    detail: Option<&'a str>,
    /// Number of faces that the detector found, of which at most the requested number follow.
    faces_found: u32,
    faces: Vec<FaceResponse<'a>>,
}

/// Coordinates are pixels of the upright picture. The fields of picture, face and prediction together
/// are those of [`FacePrediction`].
#[derive(Serialize)]
struct FaceResponse<'a> {
    face_index: u16,
    /// Left, top, right, bottom.
    bounding_box: BoundingBox,
    /// Left eye, right eye, nose, left and right mouth corner, as the viewer sees them.
    landmarks: [[f32; 2]; 5],
    score: f32,
    /// One a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<Vec<BundlePrediction<'a>>>,
    /// Not normalised: divided by the norm it is of unit length.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    norm: f32,
}

#[derive(Serialize)]
struct BundlePrediction<'a> {
    bundle: &'a str,
    /// How similar the face is to the training faces, where the bundle estimates it.
    familiarity: Option<Familiarity>,
    gender: Option<&'a ClassPrediction>,
    age_group: Option<&'a ClassPrediction>,
    age: Option<f32>,
    /// Ends of the interval in which eight of ten true ages lie, where the bundle has one.
    age_low: Option<f32>,
    age_high: Option<f32>,
    /// Standard deviation by Monte-Carlo dropout, in years, for heads that estimate it.
    age_mc_dropout_uncertainty: Option<f32>,
    /// Standard deviation of the predicted age distribution, in years.
    age_uncertainty: Option<f32>,
    /// Predicted probabilities of the ages 0, 1, 2, … years
    age_distribution: Option<&'a [f32]>,
    /// Decisions at the age thresholds of the bundle.
    thresholds: &'a [ThresholdDecision],
    class: Option<&'a ClassPrediction>,
}

impl<'a> From<&'a FacePrediction> for BundlePrediction<'a> {
    fn from(prediction: &'a FacePrediction) -> Self {
        Self {
            bundle: &prediction.bundle,
            familiarity: prediction.familiarity,
            gender: prediction.gender.as_ref(),
            age_group: prediction.age_group.as_ref(),
            age: prediction.age,
            age_low: prediction.age_low,
            age_high: prediction.age_high,
            age_mc_dropout_uncertainty: prediction.age_mc_dropout_uncertainty,
            age_uncertainty: prediction.age_uncertainty,
            age_distribution: prediction.age_distribution.as_deref(),
            thresholds: &prediction.thresholds,
            class: prediction.class.as_ref(),
        }
    }
}

impl<'a> PictureResponse<'a> {
    fn new(upload: &'a Upload, results: &'a ExtractionResult, predict: bool) -> Self {
        let path = upload.name.as_str();
        match &results.extraction {
            Extraction::Rejected(rejection) => Self {
                path,
                status: rejection.reason.as_str(),
                detail: Some(&rejection.detail),
                faces_found: 0,
                faces: Vec::new(),
            },
            Extraction::Embedded { faces, found } => {
                let plain = faces.iter().filter(|face| face.variant == FaceVariant::PLAIN);
                let faces = if predict {
                    let results = results.predictions.iter();
                    let response =
                        |(face, results): (&'a Face, &'a Vec<FacePrediction>)| FaceResponse {
                            predictions: Some(results.iter().map(BundlePrediction::from).collect()),
                            ..FaceResponse::from(face)
                        };
                    plain.zip(results).map(response).collect()
                } else {
                    let response = |face: &'a Face| FaceResponse {
                        embedding: Some(face.embedding.as_slice()),
                        ..FaceResponse::from(face)
                    };
                    plain.map(response).collect()
                };
                Self { path, status: "ok", detail: None, faces_found: *found, faces }
            }
        }
    }
}

impl From<&Face> for FaceResponse<'_> {
    fn from(face: &Face) -> Self {
        Self {
            face_index: face.index,
            bounding_box: face.bounding_box,
            landmarks: face.landmarks,
            score: face.score,
            predictions: None,
            embedding: None,
            norm: face.embedding.norm(),
        }
    }
}

/// `POST /v1/predict`: predictions of the bundles for the faces of one or many pictures.
pub(crate) async fn predict(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    respond(&shared, request, true).await
}

/// `POST /v1/embed`: the embeddings of the faces of one or many pictures.
pub(crate) async fn embed(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    respond(&shared, request, false).await
}

async fn respond(
    shared: &Arc<Shared>,
    request: Request<Body>,
    predict: bool,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let (permit, head, body) = shared.admit(request).await?;
    if predict && shared.cards.is_empty() {
        return Err(ApiError::unusable("this server has no bundle: it can only embed"));
    }
    let request = extraction_request(&head.uri, shared, predict)?;
    let uploads = uploads(&head.headers, body, shared.limits.pictures).await?;
    let pictures = uploads.iter().map(|upload| (upload.picture.clone(), request)).collect();
    let purpose = if predict { Purpose::Predict } else { Purpose::Embed };
    let results = permit.predict(pictures, purpose).await?;
    if let [ExtractionResult { extraction: Extraction::Rejected(rejection), .. }] =
        results.as_slice()
    {
        return Err(rejection.into());
    }
    let pictures = uploads.iter().zip(&results);
    let response = ResponseBody {
        model: &shared.predictor.info().model,
        fingerprint: shared.predictor.fingerprint().to_string(),
        pictures: pictures
            .map(|(upload, results)| PictureResponse::new(upload, results, predict))
            .collect(),
        took_ms: start.elapsed().as_secs_f64() * 1000.0,
    };
    Ok(Json(response).into_response())
}

/// Parses the query.
fn extraction_request(
    uri: &Uri,
    shared: &Shared,
    predict: bool,
) -> Result<ExtractionRequest, ApiError> {
    let mirrored = predict && shared.predictor.wants_mirrored();
    let mut request = ExtractionRequest { faces: 1, aligned: false, mirrored, augmented: 0 };
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair {
            "faces=main" => request.faces = 1,
            "faces=all" => request.faces = shared.limits.faces,
            "aligned=false" => request.aligned = false,
            "aligned=true" => request.aligned = true,
            _ => {
                return Err(ApiError::unusable(
                    "expected `faces=main`, `faces=all`, `aligned=true` or `aligned=false` in the \
                     query",
                ));
            }
        }
    }
    Ok(request)
}

/// The extractor, the bundles with their metrics, and the limits.
#[derive(Serialize)]
struct Models<'a> {
    model: &'a str,
    detector: &'a str,
    network: &'a str,
    precision: String,
    execution: &'a str,
    fingerprint: String,
    licence: &'a str,
    bundles: &'a [BundleCard],
    limits: PublicLimits,
}

#[derive(Serialize)]
struct PublicLimits {
    body_bytes: usize,
    pictures: usize,
    faces: usize,
}

/// `GET /v1/models`.
pub(crate) async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let info = shared.predictor.info();
    let models = Models {
        model: &info.model,
        detector: &info.detector,
        network: &info.network,
        precision: info.precision.to_string(),
        execution: &info.execution,
        fingerprint: shared.predictor.fingerprint().to_string(),
        licence: &info.licence,
        bundles: &shared.cards,
        limits: PublicLimits {
            body_bytes: shared.limits.body,
            pictures: shared.limits.pictures,
            faces: shared.limits.faces,
        },
    };
    Json(models).into_response()
}
