//! The two interfaces that insightface containers have.

use std::fmt;
use std::str::FromStr;

use facefold_core::Embedding;

use crate::face_detection_recognition as fdr;
use crate::faces::{BadEmbedding, FaceResponse};
use crate::rest::{self, Encoding};
use crate::transport::HttpResponse;

/// How a container is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// InsightFace-REST, and `facefold serve`: see [`rest`].
    #[default]
    Rest,
    /// The container face-detection-recognition: see [`crate::face_detection_recognition`].
    FaceDetectionRecognition,
}

impl Dialect {
    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::FaceDetectionRecognition => "face-detection-recognition",
        }
    }

    /// The embeddings in a container's response about one picture, or about one crop: one for each face,
    /// or why its values are none.
    ///
    /// # Errors
    /// Why the response has none, where it cannot be read or says that the picture failed.
    pub fn embeddings_in(
        self,
        is_crop: bool,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Result<Embedding, BadEmbedding>>, String> {
        let response = HttpResponse { content_type: content_type.to_owned(), body };
        let response = match self {
            Self::Rest => rest::face_response(&response, is_crop),
            Self::FaceDetectionRecognition => fdr::face_response(&response),
        };
        let embeddings: Vec<_> = match response.map_err(|failure| failure.to_string())? {
            FaceResponse::Faces(faces) => faces.into_iter().map(|face| face.embedding).collect(),
            FaceResponse::Crop(embedded) => vec![embedded],
            FaceResponse::Rejected(rejection) => return Err(rejection.detail),
        };
        Ok(embeddings.into_iter().map(|found| found.map(|found| found.embedding)).collect())
    }

    /// How requests may be encoded, the quickest first.
    pub(crate) fn encodings(self) -> &'static [Encoding] {
        match self {
            Self::Rest => &[Encoding::Msgpack, Encoding::Json],
            Self::FaceDetectionRecognition => &[Encoding::Json],
        }
    }

    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Rest => "Check the port, or try --dialect face-detection-recognition",
            Self::FaceDetectionRecognition => "Check the port, or try --dialect rest",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a dialect, `rest` or `face-detection-recognition`, found `{0}`")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        [Self::Rest, Self::FaceDetectionRecognition]
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
            .ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}
