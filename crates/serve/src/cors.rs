//! Cross-origin requests (CORS): which pages of other sites may call the service, and what their
//! browsers are answered.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What a page may send: the bodies and tokens that the routes take.
const ALLOWED_HEADERS: &str = "authorization, content-type, accept";
const ALLOWED_METHODS: &str = "GET, POST";
/// What a page may read of a response, other than its body.
const EXPOSED_HEADERS: &str = "retry-after";
/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "600";
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The origins whose pages may call the service.
#[derive(Debug)]
pub(crate) struct Origins {
    all: bool,
    listed: Vec<String>,
}

impl Origins {
    /// Origins such as `https://app.example.org`, or `*`.
    pub fn new(origins: &[String]) -> Self {
        let listed = origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        Self { all: origins.iter().any(|origin| origin == "*"), listed: listed.collect() }
    }

    /// The origin of a request, where its pages may call the service.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        (self.all || self.listed.contains(&text)).then(|| origin.clone())
    }

    /// Whether there are none: then responses do not depend on the origin of a request.
    pub fn is_empty(&self) -> bool {
        !self.all && self.listed.is_empty()
    }
}

/// Whether a browser asks what it may send, before it sends it.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that.
pub(crate) fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Lets pages of this origin read a response.
pub(crate) fn open(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
}
