//! The client: sends pictures to whichever replica is free, and retries until one has a result or
//! it is clear whether the picture or the servers are at fault.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use facefold_core::{Embedding, RejectReason, Rejection};

use crate::access::Address;
use crate::error::{Failure, InsightfaceError};
use crate::extractor::Options;
use crate::face_detection_recognition as fdr;
use crate::faces::{BadEmbedding, FaceResponse};
use crate::pool::Pool;
use crate::rest::{self, Encoding, Info};
use crate::retry::RetryPolicy;
use crate::transport::{HttpResponse, Transport};

/// A grey picture of 112 x 112, which every working server can look for faces in and can embed:
/// `PIL.Image.new("RGB", (112, 112), (128, 128, 128)).save("probe.png")`.
const PROBE: &[u8] = include_bytes!("probe.png");

/// Pictures in a row that may fail on a server that works otherwise.
const FAILED_PICTURES: u32 = 8;

/// Statuses of refusal that may be due to one picture; all others are about
/// the server: where it is, what it takes, and from whom.
const ABOUT_A_PICTURE: [u16; 2] = [400, 422];

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

    fn advice(self) -> &'static str {
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

/// Why a request has no result.
#[derive(Debug)]
pub(crate) enum ExtractionFailure {
    /// The picture is at fault.
    Rejected(Rejection),
    /// The servers are at fault, or it is unknown.
    Failed(InsightfaceError),
}

impl From<InsightfaceError> for ExtractionFailure {
    fn from(error: InsightfaceError) -> Self {
        Self::Failed(error)
    }
}

/// Why a replica is unhealthy.
enum UnhealthyReplica {
    /// May recover.
    Now(Failure),
    /// Will not recover.
    Ever(InsightfaceError),
}

/// Sends requests to the replicas.
pub(crate) struct Client {
    dialect: Dialect,
    aligned: bool,
    retry: RetryPolicy,
    transport: Transport,
    pool: Pool,
    /// The first healthy replica and its models, which all others must have too.
    reference: OnceLock<(String, Info)>,
    failed_pictures: AtomicU32,
}

impl Client {
    /// A client of the replicas that are healthy now; those that cannot be reached may come later.
    ///
    /// # Errors
    /// An invalid URL, no healthy replica, or one that will not recover.
    pub(crate) fn connect(options: &Options) -> Result<Self, InsightfaceError> {
        let client = Self {
            dialect: options.dialect,
            aligned: options.aligned,
            retry: options.retry,
            transport: Transport::new(&options.retry)?,
            pool: Pool::new(options.addresses()?, options.in_flight.max(1), &options.retry),
            reference: OnceLock::new(),
            failed_pictures: AtomicU32::new(0),
        };
        let mut healthy = 0;
        for replica in 0..client.pool.len() {
            let permit = client.pool.permit(replica);
            match client.examine(permit.address()) {
                Ok(encoding) => {
                    permit.healthy(encoding);
                    healthy += 1;
                }
                Err(UnhealthyReplica::Now(failure)) => {
                    tracing::warn!(
                        "`{}`: {failure}; it is tried again later",
                        permit.address().url()
                    );
                    permit.failed(&failure);
                }
                Err(UnhealthyReplica::Ever(error)) => return Err(error),
            }
        }
        if healthy == 0 { Err(client.pool.no_replica()) } else { Ok(client) }
    }

    /// What the replicas report about themselves; `None` in the dialect without `/info`.
    pub(crate) fn info(&self) -> Option<&Info> {
        self.reference.get().map(|(_, info)| info)
    }

    /// The kind and number of the servers, for reports.
    pub(crate) fn describe(&self) -> String {
        let name = match (self.dialect, self.info().and_then(|info| info.version.as_deref())) {
            (Dialect::Rest, Some(version)) => format!("InsightFace-REST {version}"),
            (Dialect::Rest, None) => "InsightFace-REST".to_owned(),
            (Dialect::FaceDetectionRecognition, _) => "face-detection-recognition".to_owned(),
        };
        let replicas = self.pool.len();
        let plural = if replicas == 1 { "replica" } else { "replicas" };
        format!("{name} over HTTP, {replicas} {plural}")
    }

    /// Sends one picture: a PNG, which is a crop if the client was made for crops, and the bytes
    /// of its own file for a server that refuses the PNG as too large.
    pub(crate) fn send(
        &self,
        png: &[u8],
        own: Option<&[u8]>,
    ) -> Result<FaceResponse, ExtractionFailure> {
        let own = own.filter(|own| own.len() < png.len());
        let (mut picture, mut attempts, mut trouble, mut avoid) = (png, 0, None, None);
        loop {
            let permit = self.pool.next(avoid, &mut trouble)?;
            let address = permit.address();
            let outcome = match permit.encoding.map_or_else(|| self.examine(address), Ok) {
                Ok(encoding) => {
                    if permit.encoding.is_none() {
                        permit.healthy(encoding);
                    }
                    self.request_body(address, picture, encoding).map_err(|failure| (failure, true))
                }
                Err(UnhealthyReplica::Now(failure)) => Err((failure, false)),
                Err(UnhealthyReplica::Ever(error)) => {
                    permit.exclude(&error);
                    continue;
                }
            };
            let (failure, asked) = match outcome {
                Ok(face_response) => {
                    permit.succeeded();
                    return Ok(face_response);
                }
                Err((Failure::TooLarge(_), true)) if own.is_some_and(|own| picture != own) => {
                    picture = own.unwrap_or(png);
                    continue;
                }
                Err((Failure::TooLarge(bytes), true)) => {
                    let url = address.url().to_owned();
                    return Err(InsightfaceError::BodyTooLarge { url, bytes }.into());
                }
                Err((Failure::Unauthorised(status), true)) => {
                    permit.exclude(&unauthorised(address, status));
                    continue;
                }
                Err(failed) => failed,
            };
            tracing::debug!("`{}`: {failure}", address.url());
            permit.failed(&failure);
            if asked && !matches!(failure, Failure::Unreachable(_) | Failure::Busy(_)) {
                attempts += 1;
                // Attempts that reach a server are counted; those that reach none are timed.
                trouble = None;
                if attempts >= self.retry.attempts {
                    return Err(self.outcome(address, &failure, attempts));
                }
            } else {
                trouble.get_or_insert_with(Instant::now);
            }
            avoid = Some(permit.replica);
            drop(permit);
            if !avoid.is_some_and(|replica| self.pool.has_other(replica)) {
                std::thread::sleep(self.pool.pause(attempts.max(1)));
            }
        }
    }

    /// Records a success: the failures before it were not the server's.
    pub(crate) fn record_success(&self) {
        self.failed_pictures.store(0, Ordering::Relaxed);
    }

    /// Records a failure on a healthy server: the picture is at fault, unless too many failed in a
    /// row.
    pub(crate) fn record_failure(&self, reason: RejectReason, found: String) -> ExtractionFailure {
        let pictures = self.failed_pictures.fetch_add(1, Ordering::Relaxed) + 1;
        if pictures >= FAILED_PICTURES {
            ExtractionFailure::Failed(InsightfaceError::TooManyFailures { pictures, found })
        } else {
            ExtractionFailure::Rejected(Rejection::new(reason, found))
        }
    }

    /// The error after the last attempt: the picture's or the server's.
    fn outcome(&self, address: &Address, failure: &Failure, attempts: u32) -> ExtractionFailure {
        let reason = match failure {
            Failure::Item | Failure::Refused(_) => RejectReason::Undecodable,
            _ => RejectReason::BadEmbedding,
        };
        let of_server = match failure {
            Failure::Broken(_) => true,
            Failure::Refused(status) => !ABOUT_A_PICTURE.contains(status),
            _ => false,
        };
        let found = failure.to_string();
        if of_server || self.examine(address).is_err() {
            let url = address.url().to_owned();
            return InsightfaceError::GaveUp { url, attempts, found }.into();
        }
        let detail = format!("the server failed {attempts} times on this picture alone: {found}");
        self.record_failure(reason, detail)
    }

    fn request_body(
        &self,
        address: &Address,
        picture: &[u8],
        encoding: Encoding,
    ) -> Result<FaceResponse, Failure> {
        match self.dialect {
            Dialect::Rest => {
                let request_body = rest::request_body(picture, self.aligned, encoding);
                rest::face_response(&self.transport.post(address, request_body)?, self.aligned)
            }
            Dialect::FaceDetectionRecognition => {
                fdr::face_response(&self.transport.post(address, fdr::request_body(picture))?)
            }
        }
    }

    /// Health check: whether a replica runs the same models as the others, and processes a probe
    /// picture; gives the encoding that it accepts.
    fn examine(&self, address: &Address) -> Result<Encoding, UnhealthyReplica> {
        if self.dialect == Dialect::Rest {
            let response = self.transport.get(address, "/info");
            let info = response.and_then(|response| rest::info(&response));
            let info = info.map_err(|failure| self.unhealthy(address, failure))?;
            let (reference, expected) =
                self.reference.get_or_init(|| (address.url().to_owned(), info.clone()));
            if let Some(differences) = info.differences(expected) {
                let (url, reference) = (address.url().to_owned(), reference.clone());
                let error = InsightfaceError::DifferentReplica { url, reference, differences };
                return Err(UnhealthyReplica::Ever(error));
            }
        }
        let encodings: &[Encoding] = match self.dialect {
            Dialect::Rest => &[Encoding::Msgpack, Encoding::Json],
            Dialect::FaceDetectionRecognition => &[Encoding::Json],
        };
        let mut last = Failure::Item;
        for &encoding in encodings {
            last = match self.request_body(address, PROBE, encoding) {
                Ok(FaceResponse::Crop(Err(bad))) => Failure::Unreadable(bad.to_string()),
                Ok(_) => return Ok(encoding),
                Err(
                    failure @ (Failure::Unreachable(_) | Failure::Broken(_) | Failure::Busy(_)),
                ) => {
                    return Err(UnhealthyReplica::Now(failure));
                }
                Err(failure) => failure,
            };
        }
        Err(self.unhealthy(address, last))
    }

    fn unhealthy(&self, address: &Address, failure: Failure) -> UnhealthyReplica {
        let url = address.url().to_owned();
        match failure {
            Failure::Unauthorised(status) => UnhealthyReplica::Ever(unauthorised(address, status)),
            Failure::TooLarge(bytes) => {
                UnhealthyReplica::Ever(InsightfaceError::BodyTooLarge { url, bytes })
            }
            Failure::Refused(_) | Failure::Unreadable(_) => {
                UnhealthyReplica::Ever(InsightfaceError::WrongDialect {
                    url,
                    dialect: self.dialect.as_str(),
                    found: failure.to_string(),
                    advice: self.dialect.advice(),
                })
            }
            failure => UnhealthyReplica::Now(failure),
        }
    }
}

fn unauthorised(address: &Address, status: u16) -> InsightfaceError {
    let (url, given) = (address.url().to_owned(), address.given());
    InsightfaceError::Unauthorised { url, status, given }
}
