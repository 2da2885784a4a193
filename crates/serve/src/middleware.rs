//! The middleware of every route: request counting, authorisation, and response headers.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::api_error::ApiError;
use crate::cors;
use crate::state::{Shared, discard};

/// No external resource is loaded, and the page must not be framed.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// On every response.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(), geolocation=()"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Routes without a token: health checks, and the empty page, which asks for the token itself and
/// to which the base path without its slash leads.
const OPEN: [&str; 8] =
    ["/health", "/ready", "", "/", "/page.css", "/page.js", "/openapi.json", "/docs"];

/// Checks token, host and origin of a request, runs it, and counts it.
pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let route = route.strip_prefix(shared.base_path.as_str()).unwrap_or(route);
    let origin = shared.origins.allowed(request.headers());
    let is_preflight = origin.is_some() && cors::is_preflight(request.method(), request.headers());
    let mut response = match admit(&shared, route, request.method(), request.headers()) {
        // A preflight has no token, and lets a page of an allowed origin know that it may send one.
        Ok(()) | Err(_) if is_preflight => cors::preflight(),
        // A panic is a fault of ours, and ends one request, not a connection.
        Ok(()) => std::panic::AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| ApiError::failed().into_response()),
        Err(problem) => {
            discard(request.into_body(), shared.limits.body).await;
            problem.into_response()
        }
    };
    if !shared.origins.is_empty() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        cors::open(response.headers_mut(), origin);
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    let caching = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(caching);
    let (status, time) = (response.status(), start.elapsed());
    shared.metrics.request(route, status.as_u16(), time);
    tracing::debug!("{route} {} in {:.1} ms", status.as_u16(), time.as_secs_f64() * 1000.0);
    response
}

fn admit(
    shared: &Shared,
    route: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    // A page elsewhere that got its name to point here would be of the same origin to a browser.
    if shared.loopback && shared.tokens.is_open() && !is_local(headers.get(header::HOST)) {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong-host",
            "this server accepts requests to localhost only; with --token it accepts any host name",
        ));
    }
    let is_allowed = shared.origins.allowed(headers).is_some();
    if *method != Method::GET && !is_allowed && is_from_elsewhere(headers) {
        let message = "pages of other sites may not send pictures here, but for those named with \
                       --allow-origin";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "cross-site", message));
    }
    if !OPEN.contains(&route) && !shared.tokens.admit(headers) {
        let message = "expected the header `Authorization: Bearer TOKEN` with a known token";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "no-token", message));
    }
    Ok(())
}

/// Whether a request is cross-site by the browser's headers: old browsers send `Origin` alone, with
/// forms too. Behind a proxy the name that the page was loaded by stands in `X-Forwarded-Host`,
/// which no page can have a form send.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, Some(b"cross-site" | b"same-site")) {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let ours = [header::HOST, HeaderName::from_static("x-forwarded-host")];
    let is_ours = |name: &HeaderName| {
        let host = headers.get(name).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| origin.to_str().is_ok_and(|origin| is_of(origin, host)))
    };
    !ours.iter().any(is_ours)
}

/// Whether an origin such as `http://localhost:8080` is of this host and port.
fn is_of(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let without = |name: &str| name.strip_suffix(default).unwrap_or(name).to_ascii_lowercase();
    without(authority) == without(host)
}

/// Whether a Host header names this machine; a request without one is not of a browser.
fn is_local(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{is_local, is_of};

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        assert!(is_of("http://localhost:8080", "localhost:8080"));
        assert!(is_of("http://Example.org", "example.org:80"));
        assert!(is_of("https://example.org:443", "example.org"));
        for (origin, host) in [
            ("http://example.org", "localhost:8080"),
            ("http://localhost:8081", "localhost:8080"),
            ("http://localhost:8080.example.org", "localhost:8080"),
            ("http://example.org:443", "example.org"),
            ("null", "localhost"),
            ("", ""),
        ] {
            assert!(!is_of(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        let local = |host| is_local(Some(&HeaderValue::from_static(host)));
        assert!(local("localhost:8080") && local("127.0.0.1") && local("[::1]:80"));
        assert!(!local("example.org") && !local("localhost.example.org") && !local("10.0.0.1:80"));
        assert!(!local("") && !local("[") && is_local(None));
    }
}
