//! The page at `/docs`: every route of the `OpenAPI` document, for people.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;

use crate::app::OPENAPI;

/// The page, written once.
static PAGE: LazyLock<String> =
    LazyLock::new(|| page(&serde_json::from_str(OPENAPI).unwrap_or_default()));

/// `GET /docs`.
pub(crate) async fn html() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE.as_str())
}

fn page(document: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>facefold: routes</title>\n\
         <link rel=\"stylesheet\" href=\"page.css\">\n</head>\n<body>\n<main>\n<h1>Routes</h1>\n\
         <p>{}</p>\n<p>For programs: <a href=\"openapi.json\">openapi.json</a>, from which clients can \
         be generated.</p>\n",
        text(&document["info"]["description"])
    );
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, route) in methods.as_object().into_iter().flatten() {
            let (method, path) = (method.to_uppercase(), escaped(path));
            let summary = [text(&route["summary"]), text(&route["description"])].join(" ");
            section(&mut page, &format!("{method} {path}"), summary.trim(), route);
        }
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// What one route takes and gives.
fn section(page: &mut String, title: &str, summary: &str, route: &Value) {
    let mut items = Vec::new();
    for parameter in route["parameters"].as_array().into_iter().flatten() {
        let word = |name: &str| escaped(parameter[name].as_str().unwrap_or_default());
        items.push(format!(
            "{} <code>{}</code>: {}",
            word("in"),
            word("name"),
            word("description")
        ));
    }
    if let Some(content) = route["requestBody"]["content"].as_object() {
        let kinds = content.keys().map(|kind| format!("<code>{}</code>", escaped(kind)));
        items.push(format!("body: {}", kinds.collect::<Vec<_>>().join(", ")));
    }
    for (status, response) in route["responses"].as_object().into_iter().flatten() {
        let description = escaped(response["description"].as_str().unwrap_or_default());
        items.push(format!("<code>{}</code>: {description}", escaped(status)));
    }
    let items: Vec<String> = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    let items = items.concat();
    // A text takes whatever is written to it.
    let _ = write!(page, "<h2>{title}</h2>\n<p>{summary}</p>\n<ul>\n{items}</ul>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::page;

    #[test]
    fn texts_of_the_document_are_escaped() {
        let document = json!({ "paths": { "/a": { "get": { "summary": "a < b & c" } } } });
        let page = page(&document);
        assert!(page.contains("<h2>GET /a</h2>\n<p>a &lt; b &amp; c</p>"), "{page}");
    }
}
