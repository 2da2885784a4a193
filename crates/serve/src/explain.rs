//! `/v1/explain`: occlusion maps, which parts of a face the bundles' predictions depend on.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facefold_core::BoundingBox;
use facefold_predict::occlusion::{self, MapSummary, overlay};
use facefold_predict::{ExplainError, Explanation, FaceSelector};
use image::ImageFormat;
use serde::Serialize;

use crate::api_error::ApiError;
use crate::json::Json;
use crate::state::Shared;
use crate::upload::uploads;

#[derive(Serialize)]
struct ResponseBody {
    face_index: usize,
    /// Left, top, right, bottom in pixels of the upright picture.
    bounding_box: BoundingBox,
    /// Side of a patch and the step to the next, in pixels of the crop of 112 x 112.
    patch: usize,
    step: usize,
    /// One a head of every bundle.
    explanations: Vec<TaskExplanation>,
    took_ms: f64,
}

#[derive(Serialize)]
struct TaskExplanation {
    bundle: String,
    task: String,
    /// The predicted class; `null` for age.
    label: Option<String>,
    /// Its probability, or years.
    prediction: f32,
    #[serde(flatten)]
    map: MapSummary,
    /// `gender: female 97 %`.
    summary: String,
    /// The meaning of orange and blue, with the extreme of each.
    legend: [String; 2],
    /// The crop under the map, as a PNG file in a data URL.
    overlay: String,
}

/// `POST /v1/explain`: occlusion maps of one face of one picture.
pub(crate) async fn explain(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let (permit, head, body) = shared.admit(request).await?;
    if shared.cards.is_empty() {
        return Err(ApiError::unusable("this server has no bundle: it can only embed"));
    }
    let which = which(&head.uri, shared.limits.faces)?;
    let mut uploads = uploads(&head.headers, body, 1).await?;
    let Some(upload) = uploads.pop() else {
        return Err(ApiError::unusable("expected a picture"));
    };
    let explained = permit.explain(upload.picture, which).await?;
    let body = ResponseBody {
        face_index: which.face_index,
        bounding_box: explained.bounding_box,
        patch: occlusion::PATCH,
        step: occlusion::STEP,
        explanations: explained.explanations.iter().map(one).collect::<Result<_, _>>()?,
        took_ms: start.elapsed().as_secs_f64() * 1000.0,
    };
    Ok(Json(body).into_response())
}

fn one(explanation: &Explanation) -> Result<TaskExplanation, ApiError> {
    let mut png = Cursor::new(Vec::new());
    overlay(&explanation.map).write_to(&mut png, ImageFormat::Png).map_err(|error| {
        tracing::error!("an overlay cannot be written: {error}");
        ApiError::failed()
    })?;
    Ok(TaskExplanation {
        bundle: explanation.bundle.clone(),
        task: explanation.task.to_string(),
        label: explanation.label.clone(),
        prediction: explanation.prediction,
        map: explanation.map.summary(),
        summary: explanation.words(),
        legend: explanation.legend(),
        overlay: format!("data:image/png;base64,{}", STANDARD.encode(png.get_ref())),
    })
}

/// Parses the query.
fn which(uri: &Uri, most: usize) -> Result<FaceSelector, ApiError> {
    let mut which = FaceSelector::default();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("face_index", number)) => match number.parse::<usize>() {
                Ok(index) if index < most => which.face_index = index,
                _ => {
                    let last = most - 1;
                    let message = format!("expected `face_index` from 0 to {last}");
                    return Err(ApiError::unusable(message));
                }
            },
            Some(("aligned", "false")) => which.aligned = false,
            Some(("aligned", "true")) => which.aligned = true,
            _ => {
                return Err(ApiError::unusable(
                    "expected `face_index=NUMBER`, `aligned=true` or `aligned=false` in the query",
                ));
            }
        }
    }
    Ok(which)
}

/// A picture that cannot be explained has the error of one that cannot be predicted.
impl From<ExplainError> for ApiError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Rejected(rejection) => Self::from(&rejection),
            ExplainError::Failed(error) => {
                tracing::error!("an explanation failed: {error}");
                Self::failed()
            }
        }
    }
}
