//! The pictures of a request: its body as it is, or the files of a form.

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;

use crate::api_error::ApiError;

/// The longest name of a picture that is given back, in characters.
const NAME: usize = 200;

/// A picture with the name that its sender gave it.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Empty for a body without a form.
    pub name: String,
    pub picture: Bytes,
}

/// The pictures of a request to `/v1/predict` or `/v1/embed`, each with the name that its sender gave
/// it: of a form its files, at most so many, else the body itself under an empty name.
///
/// # Errors
/// The sentence that a client is answered with.
pub async fn pictures_in(
    content_type: &str,
    body: Bytes,
    most: usize,
) -> Result<Vec<(String, Bytes)>, String> {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_str(content_type).map_err(|error| error.to_string())?;
    headers.insert(header::CONTENT_TYPE, content_type);
    let uploads = uploads(&headers, body, most).await.map_err(|problem| problem.message)?;
    Ok(uploads.into_iter().map(|upload| (upload.name, upload.picture)).collect())
}

/// Takes the pictures out of a body.
pub(crate) async fn uploads(
    headers: &HeaderMap,
    body: Bytes,
    most: usize,
) -> Result<Vec<Upload>, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content_type.unwrap_or("none").to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.starts_with("image/") || essence == "application/octet-stream" {
        return Ok(vec![Upload { name: String::new(), picture: body }]);
    }
    if essence != "multipart/form-data" {
        return Err(ApiError::wrong_type(
            "expected the content type image/…, application/octet-stream or multipart/form-data",
        ));
    }
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|_| ApiError::wrong_type("expected a form with a boundary"))?;
    files(body, boundary, most).await
}

async fn files(body: Bytes, boundary: String, most: usize) -> Result<Vec<Upload>, ApiError> {
    let broken = |_| ApiError::unusable("the form is malformed or incomplete");
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = Multipart::new(whole, boundary);
    let mut uploads = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if uploads.len() == most {
            return Err(ApiError::too_large(format!("a request has at most {most} pictures")));
        }
        let name = field.file_name().or(field.name()).unwrap_or_default();
        let name = name.chars().take(NAME).collect();
        uploads.push(Upload { name, picture: field.bytes().await.map_err(broken)? });
    }
    if uploads.is_empty() {
        return Err(ApiError::unusable("expected at least one picture in the form"));
    }
    Ok(uploads)
}
