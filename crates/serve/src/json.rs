//! JSON responses.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api_error::ApiError;

/// A value as one JSON document. axum's own of this name would switch on a feature of `serde_json`
/// for the whole workspace, which then builds candle anew.
pub(crate) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => {
                tracing::error!("a response cannot be written as JSON: {error}");
                ApiError::failed().into_response()
            }
        }
    }
}
