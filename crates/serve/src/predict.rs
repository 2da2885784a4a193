//! Our own routes: `/v1/predict`, `/v1/embed` and `/v1/models`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use facefold_core::{Extraction, Face, FaceVariant, Familiarity};
use facefold_predict::{Answer, BundleCard, ClassAnswer, ThresholdAnswer, Wanted};
use serde::Serialize;

use crate::json::Json;
use crate::problem::Problem;
use crate::queue::Told;
use crate::state::Shared;
use crate::upload::{Upload, uploads};

/// The answer to a request with pictures.
#[derive(Serialize)]
struct Reply<'a> {
    /// Model pack.
    model: &'a str,
    /// What the embeddings are made with.
    fingerprint: String,
    pictures: Vec<PictureReply<'a>>,
    took_ms: f64,
}

#[derive(Serialize)]
struct PictureReply<'a> {
    /// As the sender called it.
    name: &'a str,
    /// `ok`, or the reason of the rejection.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// How many faces the detector found, of which at most as many as asked for follow.
    faces_found: u32,
    faces: Vec<FaceReply<'a>>,
}

/// Coordinates are pixels of the upright picture.
#[derive(Serialize)]
struct FaceReply<'a> {
    index: u16,
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    bounding_box: [f32; 4],
    /// Left eye, right eye, nose, left and right mouth corner, as the viewer sees them.
    landmarks: [[f32; 2]; 5],
    score: f32,
    /// One a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<BundleAnswer<'a>>>,
    /// Not normalised: divided by the norm it is of unit length.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    norm: f32,
}

#[derive(Serialize)]
struct BundleAnswer<'a> {
    bundle: &'a str,
    /// How like the training faces the face is, where the bundle says.
    familiarity: Option<Familiarity>,
    gender: Option<&'a ClassAnswer>,
    age_group: Option<&'a ClassAnswer>,
    age: Option<f32>,
    /// Ends of the interval in which eight of ten true ages lie, where the bundle has one.
    age_low: Option<f32>,
    age_high: Option<f32>,
    /// Standard deviation of the belief, in years.
    age_uncertainty: Option<f32>,
    /// How the belief is spread over the ages 0, 1, 2, …
    #[serde(skip_serializing_if = "Option::is_none")]
    age_distribution: Option<&'a [f32]>,
    /// Decisions at the age thresholds of the bundle.
    thresholds: &'a [ThresholdAnswer],
    class: Option<&'a ClassAnswer>,
}

impl<'a> From<&'a Answer> for BundleAnswer<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self {
            bundle: &answer.bundle,
            familiarity: answer.familiarity,
            gender: answer.gender.as_ref(),
            age_group: answer.age_group.as_ref(),
            age: answer.age,
            age_low: answer.age_low,
            age_high: answer.age_high,
            age_uncertainty: answer.age_uncertainty,
            age_distribution: answer.age_distribution.as_deref(),
            thresholds: &answer.thresholds,
            class: answer.class.as_ref(),
        }
    }
}

impl<'a> PictureReply<'a> {
    fn new(upload: &'a Upload, told: &'a Told, answers: bool) -> Self {
        let name = upload.name.as_str();
        match &told.extraction {
            Extraction::Rejected(rejection) => Self {
                name,
                status: rejection.reason.as_str(),
                detail: Some(&rejection.detail),
                faces_found: 0,
                faces: Vec::new(),
            },
            Extraction::Embedded { faces, found } => {
                let plain = faces.iter().filter(|face| face.variant == FaceVariant::PLAIN);
                let faces = if answers {
                    let told = told.answers.iter();
                    let reply = |(face, told): (&'a Face, &'a Vec<Answer>)| FaceReply {
                        answers: Some(told.iter().map(BundleAnswer::from).collect()),
                        ..FaceReply::from(face)
                    };
                    plain.zip(told).map(reply).collect()
                } else {
                    let reply = |face: &'a Face| FaceReply {
                        embedding: Some(face.embedding.as_slice()),
                        ..FaceReply::from(face)
                    };
                    plain.map(reply).collect()
                };
                Self { name, status: "ok", detail: None, faces_found: *found, faces }
            }
        }
    }
}

impl From<&Face> for FaceReply<'_> {
    fn from(face: &Face) -> Self {
        Self {
            index: face.index,
            bounding_box: face.bounding_box,
            landmarks: face.landmarks,
            score: face.score,
            answers: None,
            embedding: None,
            norm: face.embedding.norm(),
        }
    }
}

/// `POST /v1/predict`: what the bundles tell about the faces of one or many pictures.
pub(crate) async fn predict(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    reply(&shared, request, true).await
}

/// `POST /v1/embed`: the embeddings of the faces of one or many pictures.
pub(crate) async fn embed(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    reply(&shared, request, false).await
}

async fn reply(
    shared: &Arc<Shared>,
    request: Request<Body>,
    answers: bool,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let (admitted, head, body) = shared.admit(request).await?;
    if answers && shared.cards.is_empty() {
        return Err(Problem::unusable("this server has no bundle: it can only embed"));
    }
    let wanted = wanted(&head.uri, shared, answers)?;
    let uploads = uploads(&head.headers, body, shared.limits.pictures).await?;
    let pictures = uploads.iter().map(|upload| (upload.picture.clone(), wanted)).collect();
    let told = admitted.tell(pictures, answers).await?;
    if let [Told { extraction: Extraction::Rejected(rejection), .. }] = told.as_slice() {
        return Err(rejection.into());
    }
    let pictures = uploads.iter().zip(&told);
    let reply = Reply {
        model: &shared.predictor.info().model,
        fingerprint: shared.predictor.fingerprint().to_string(),
        pictures: pictures.map(|(upload, told)| PictureReply::new(upload, told, answers)).collect(),
        took_ms: start.elapsed().as_secs_f64() * 1000.0,
    };
    Ok(Json(reply).into_response())
}

/// What the query asks of each picture.
fn wanted(uri: &Uri, shared: &Shared, answers: bool) -> Result<Wanted, Problem> {
    let mirrored = answers && shared.predictor.wants_mirrored();
    let mut wanted = Wanted { faces: 1, aligned: false, mirrored, augmented: 0 };
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair {
            "faces=main" => wanted.faces = 1,
            "faces=all" => wanted.faces = shared.limits.faces,
            "aligned=false" => wanted.aligned = false,
            "aligned=true" => wanted.aligned = true,
            _ => {
                return Err(Problem::unusable(
                    "expected `faces=main`, `faces=all`, `aligned=true` or `aligned=false` in the \
                     query",
                ));
            }
        }
    }
    Ok(wanted)
}

/// What answers here: the extractor, the bundles with what they scored, and the limits.
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
