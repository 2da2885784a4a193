//! `/v1/explain`: which parts of a face moved the bundles' answers.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facefold_predict::occlusion::{self, MapSummary, overlay};
use facefold_predict::{ExplainError, Explanation, Which};
use image::ImageFormat;
use serde::Serialize;

use crate::json::Json;
use crate::problem::Problem;
use crate::state::Shared;
use crate::upload::uploads;

#[derive(Serialize)]
struct Reply {
    face: usize,
    /// Left, top, right, bottom in pixels of the upright picture.
    #[serde(rename = "box")]
    bounding_box: [f32; 4],
    /// Side of a patch and the step to the next, in pixels of the crop of 112 x 112.
    patch: usize,
    step: usize,
    /// One a head of every bundle.
    explanations: Vec<One>,
    took_ms: f64,
}

#[derive(Serialize)]
struct One {
    bundle: String,
    task: String,
    /// The told class; none for years.
    label: Option<String>,
    /// Its probability, or years.
    answer: f32,
    #[serde(flatten)]
    map: MapSummary,
    /// `gender: female 97 %`.
    words: String,
    /// What orange and blue mean, with the most that each reached.
    legend: [String; 2],
    /// The crop under the map, as a PNG file in a data URL.
    overlay: String,
}

/// `POST /v1/explain`: occlusion maps of one face of one picture.
pub(crate) async fn explain(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let (admitted, head, body) = shared.admit(request).await?;
    if shared.cards.is_empty() {
        return Err(Problem::unusable("this server has no bundle: it can only embed"));
    }
    let which = which(&head.uri, shared.limits.faces)?;
    let mut uploads = uploads(&head.headers, body, 1).await?;
    let Some(upload) = uploads.pop() else {
        return Err(Problem::unusable("expected a picture"));
    };
    let explained = admitted.explain(upload.picture, which).await?;
    let reply = Reply {
        face: which.face,
        bounding_box: explained.bounding_box,
        patch: occlusion::PATCH,
        step: occlusion::STEP,
        explanations: explained.explanations.iter().map(one).collect::<Result<_, _>>()?,
        took_ms: start.elapsed().as_secs_f64() * 1000.0,
    };
    Ok(Json(reply).into_response())
}

fn one(explanation: &Explanation) -> Result<One, Problem> {
    let mut png = Cursor::new(Vec::new());
    overlay(&explanation.map).write_to(&mut png, ImageFormat::Png).map_err(|error| {
        tracing::error!("an overlay cannot be written: {error}");
        Problem::failed()
    })?;
    Ok(One {
        bundle: explanation.bundle.clone(),
        task: explanation.task.to_string(),
        label: explanation.label.clone(),
        answer: explanation.answer,
        map: explanation.map.summary(),
        words: explanation.words(),
        legend: explanation.legend(),
        overlay: format!("data:image/png;base64,{}", STANDARD.encode(png.get_ref())),
    })
}

/// What the query asks for.
fn which(uri: &Uri, most: usize) -> Result<Which, Problem> {
    let mut which = Which::default();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("face", number)) => match number.parse::<usize>() {
                Ok(face) if face < most => which.face = face,
                _ => {
                    let last = most - 1;
                    return Err(Problem::unusable(format!("expected `face` from 0 to {last}")));
                }
            },
            Some(("aligned", "false")) => which.aligned = false,
            Some(("aligned", "true")) => which.aligned = true,
            _ => {
                return Err(Problem::unusable(
                    "expected `face=NUMBER`, `aligned=true` or `aligned=false` in the query",
                ));
            }
        }
    }
    Ok(which)
}

/// A picture that cannot be explained is answered as one that cannot be told about.
impl From<ExplainError> for Problem {
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
