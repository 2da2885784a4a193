//! Error responses: problem details as of RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use facefold_core::{RejectReason, Rejection};
use serde_json::json;

use crate::json::Json;

/// An error response, for programs and people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    /// One word for programs: `too-many-requests`, or a rejection's reason.
    pub code: &'static str,
    /// For a person: what was expected and what was found.
    pub message: String,
    /// Seconds after which a client may try again.
    pub retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    }

    pub fn wrong_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-type", message)
    }

    pub fn unusable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", message)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "no such resource")
    }

    /// Refused because of other requests.
    pub fn busy(message: impl Into<String>, retry_after: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", message);
        Self { retry_after: Some(retry_after), ..problem }
    }

    pub fn shutting_down() -> Self {
        let message = "this server is stopping; retry later";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting-down", message);
        Self { retry_after: Some(5), ..problem }
    }

    pub fn request_timeout() -> Self {
        let message = "the request's body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", message)
    }

    pub fn timeout(retry_after: u64) -> Self {
        let message = "the request was not processed in time; retry later";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// An internal error; the details are in the log, not in the response.
    pub fn failed() -> Self {
        let message = "the server failed on this request; see its log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
    }
}

/// A request for one picture has the status of its rejection.
impl From<&Rejection> for ApiError {
    fn from(rejection: &Rejection) -> Self {
        let status = match rejection.reason {
            RejectReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RejectReason::NotAPicture => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, rejection.reason.as_str(), rejection.detail.clone())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // `about:blank` means that the title is the status' own phrase; `code` is an extension.
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.message,
            "code": self.code,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
