//! The web page: three small files of our own, part of the program.

use axum::http::header;
use axum::response::IntoResponse;

/// The page.
pub(crate) async fn html() -> impl IntoResponse {
    asset("text/html; charset=utf-8", include_str!("../assets/page.html"))
}

/// How it looks.
pub(crate) async fn css() -> impl IntoResponse {
    asset("text/css; charset=utf-8", include_str!("../assets/page.css"))
}

/// What it does.
pub(crate) async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", include_str!("../assets/page.js"))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text)
}
