//! Why the library could not do what it was asked.

use std::error::Error as _;
use std::fmt;

use facefold_core::pictures::ListError;
use facefold_core::{ExtractorError, HeadError};
use facefold_datasets::DatasetError;
use facefold_evaluate::EvaluateError;
use facefold_heads::BundleError;
use facefold_insightface::InsightfaceError;
use facefold_predict::{PredictError, VideoError};
use facefold_report::ReportError;
use facefold_store::{ImportError, StoreError};
use facefold_synthetic::SyntheticError;
use facefold_vision::models::ModelsError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
///
/// Its message says what failed, what was expected and what was found; the messages of its sources,
/// where it has any, are not part of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that are wrong, whatever the data are.
    #[error("{0}")]
    Options(String),
    /// Data that cannot serve as asked.
    #[error("{0}")]
    Data(String),
    /// What failed, and why in [`std::error::Error::source`].
    #[error("{context}")]
    Context {
        /// What failed.
        context: String,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// Files.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Labels of a data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Drawing of synthetic pictures.
    #[error(transparent)]
    Draw(#[from] SyntheticError),
    /// Weights that cannot be had.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The extractor.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
    /// Insightface containers.
    #[error(transparent)]
    Insightface(#[from] InsightfaceError),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store on object storage.
    #[cfg(feature = "object-storage")]
    #[error(transparent)]
    Remote(Box<facefold_remote::RemoteError>),
    /// Embeddings that another program made.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Cross-validation and statistics.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A report's files.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A bundle.
    #[error(transparent)]
    Bundle(Box<BundleError>),
    /// Prediction.
    #[error(transparent)]
    Predict(Box<PredictError>),
    /// A video.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// A document that cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A list of pictures that cannot be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// A picture that cannot be drawn or written.
    #[error(transparent)]
    Image(#[from] image::ImageError),
}

// Boxed, as they are large: every result of this crate would be.
#[cfg(feature = "object-storage")]
impl From<facefold_remote::RemoteError> for Error {
    fn from(error: facefold_remote::RemoteError) -> Self {
        Self::Remote(Box::new(error))
    }
}

impl From<BundleError> for Error {
    fn from(error: BundleError) -> Self {
        Self::Bundle(Box::new(error))
    }
}

impl From<PredictError> for Error {
    fn from(error: PredictError) -> Self {
        Self::Predict(Box::new(error))
    }
}

impl Error {
    /// [`Error::Options`] from whatever says what is wrong.
    pub fn options(message: impl fmt::Display) -> Self {
        Self::Options(message.to_string())
    }

    /// The message with those of its sources behind it, each said once.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut words = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            let message = cause.to_string();
            if !words.contains(&message) {
                words = format!("{words}: {message}");
            }
            source = cause.source();
        }
        words
    }

    /// Whether it comes from a file or directory that is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        if matches!(self, Self::Bundle(error) if matches!(**error, BundleError::Absent { .. })) {
            return true;
        }
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        std::iter::from_fn(|| {
            let error = source?;
            source = error.source();
            Some(error)
        })
        .any(|error| {
            let io = error.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound)
        })
    }

    /// [`Error::Data`] from whatever says what is wrong.
    pub(crate) fn data(message: impl fmt::Display) -> Self {
        Self::Data(message.to_string())
    }
}

/// Puts what failed before why.
pub(crate) trait Context<T> {
    /// The same, with what failed where it failed.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Context { context: what(), source: Box::new(error.into()) })
    }
}
