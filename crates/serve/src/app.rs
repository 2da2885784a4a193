//! The routes, and the small ones among their handlers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::api_error::ApiError;
use crate::json::Json;
use crate::state::Shared;
use crate::{dialect, docs, explain, middleware, page, predict, results};

/// Every route: its method, and its path below the base path.
pub const ROUTES: [(&str, &str); 22] = [
    ("get", "/"),
    ("get", "/page.css"),
    ("get", "/page.js"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/v1/models"),
    ("post", "/v1/predict"),
    ("post", "/v1/embed"),
    ("post", "/v1/explain"),
    ("get", "/v1/results"),
    ("get", "/v1/results/{name}"),
    ("get", "/v1/results/{name}/report.html"),
    ("get", "/v1/results/{name}/plots/{file}"),
    ("get", "/v1/compare"),
    ("get", "/info"),
    ("post", "/extract"),
    ("post", "/draw_detections"),
    ("post", "/multipart/draw_detections"),
    ("get", "/docs"),
    ("get", "/favicon.ico"),
];

/// The `OpenAPI` document of [`ROUTES`].
pub const OPENAPI: &str = include_str!("../assets/openapi.json");

/// The service.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let routes = Router::new()
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::script))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/docs", get(docs::html))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/v1/models", get(predict::models))
        .route("/v1/predict", post(predict::predict))
        .route("/v1/embed", post(predict::embed))
        .route("/v1/explain", post(explain::explain))
        .route("/v1/results", get(results::list))
        .route("/v1/results/{name}", get(results::one))
        .route("/v1/results/{name}/report.html", get(results::whole))
        .route("/v1/results/{name}/plots/{file}", get(results::plot))
        .route("/v1/compare", get(results::compare))
        .route("/info", get(dialect::info))
        .route("/extract", post(dialect::extract))
        .route("/draw_detections", post(dialect::draw))
        .route("/multipart/draw_detections", post(dialect::draw_upload));
    let base = shared.base_path.as_str();
    let routes = if base.is_empty() {
        routes
    } else {
        // The page's addresses are relative to itself: it needs the slash.
        let slash = Redirect::permanent(&format!("{}/", base.rsplit('/').next().unwrap_or(base)));
        Router::new().nest(base, routes).route(base, get(move || async { slash }))
    };
    routes
        .route(&format!("{base}/"), get(page::html))
        .method_not_allowed_fallback(|| async {
            let message = "this route has another method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message)
        })
        .fallback(|| async { ApiError::not_found() })
        .layer(from_fn_with_state(Arc::clone(shared), middleware::check))
        .with_state(Arc::clone(shared))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Result<&'static str, ApiError> {
    if shared.is_draining() { Err(ApiError::shutting_down()) } else { Ok("ready\n") }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text(&shared)).into_response()
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
