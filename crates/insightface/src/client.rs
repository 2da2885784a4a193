//! Questions about pictures, put to whichever replica can answer, until one does or it is clear
//! whose fault it is that none can.

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
use crate::faces::{BadEmbedding, Reply};
use crate::patience::Patience;
use crate::pool::Pool;
use crate::rest::{self, Encoding, Info};
use crate::transport::{Answer, Transport};

/// A grey picture of 112 x 112, which every working server can look for faces in and can embed:
/// `PIL.Image.new("RGB", (112, 112), (128, 128, 128)).save("probe.png")`.
const PROBE: &[u8] = include_bytes!("probe.png");

/// Pictures in a row that may fail on a server that works otherwise.
const FAILED_PICTURES: u32 = 8;

/// Statuses of refusal that may be about what a request says of one picture; all others are about
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

    /// The embeddings in a container's answer about one picture, or about one crop: one for each face,
    /// or why its values are none.
    ///
    /// # Errors
    /// Why the answer has none, where it cannot be read or says that the picture failed.
    pub fn embeddings_in(
        self,
        is_crop: bool,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Vec<Result<Embedding, BadEmbedding>>, String> {
        let answer = Answer { content_type: content_type.to_owned(), body };
        let reply = match self {
            Self::Rest => rest::reply(&answer, is_crop),
            Self::FaceDetectionRecognition => fdr::reply(&answer),
        };
        let embeddings: Vec<_> = match reply.map_err(|failure| failure.to_string())? {
            Reply::Faces(faces) => faces.into_iter().map(|face| face.embedding).collect(),
            Reply::Crop(embedded) => vec![embedded],
            Reply::Rejected(rejection) => return Err(rejection.detail),
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

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The picture is at fault.
    Rejected(Rejection),
    /// The servers are, or it cannot be told.
    Failed(InsightfaceError),
}

impl From<InsightfaceError> for NoAnswer {
    fn from(error: InsightfaceError) -> Self {
        Self::Failed(error)
    }
}

/// Why a replica is not fit.
enum Unfit {
    /// Perhaps later.
    Now(Failure),
    /// Never.
    Ever(InsightfaceError),
}

/// Asks the replicas.
pub(crate) struct Client {
    dialect: Dialect,
    aligned: bool,
    patience: Patience,
    transport: Transport,
    pool: Pool,
    /// The first fit replica, with what all others must say too.
    reference: OnceLock<(String, Info)>,
    failed_pictures: AtomicU32,
}

impl Client {
    /// A client of the replicas that are fit now; those that cannot be reached may come later.
    ///
    /// # Errors
    /// A URL that is none, no replica that is fit, or one that never will be.
    pub(crate) fn connect(options: &Options) -> Result<Self, InsightfaceError> {
        let client = Self {
            dialect: options.dialect,
            aligned: options.aligned,
            patience: options.patience,
            transport: Transport::new(&options.patience)?,
            pool: Pool::new(options.addresses()?, options.in_flight.max(1), &options.patience),
            reference: OnceLock::new(),
            failed_pictures: AtomicU32::new(0),
        };
        let mut fit = 0;
        for replica in 0..client.pool.len() {
            let turn = client.pool.turn(replica);
            match client.examine(turn.address()) {
                Ok(encoding) => {
                    turn.fit(encoding);
                    fit += 1;
                }
                Err(Unfit::Now(failure)) => {
                    tracing::warn!(
                        "`{}`: {failure}; it is tried again later",
                        turn.address().url()
                    );
                    turn.failed(&failure);
                }
                Err(Unfit::Ever(error)) => return Err(error),
            }
        }
        if fit == 0 { Err(client.pool.nobody()) } else { Ok(client) }
    }

    /// What the replicas say of themselves; nothing in the dialect without `/info`.
    pub(crate) fn info(&self) -> Option<&Info> {
        self.reference.get().map(|(_, info)| info)
    }

    /// What is asked, and of how many, for reports.
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

    /// Asks about one picture: a PNG, which is a crop if the client was made for crops, and the bytes
    /// of its own file where a server that refuses the PNG as too large may have those.
    pub(crate) fn ask(&self, png: &[u8], own: Option<&[u8]>) -> Result<Reply, NoAnswer> {
        let own = own.filter(|own| own.len() < png.len());
        let (mut picture, mut attempts, mut trouble, mut avoid) = (png, 0, None, None);
        loop {
            let turn = self.pool.next(avoid, &mut trouble)?;
            let address = turn.address();
            let outcome = match turn.encoding.map_or_else(|| self.examine(address), Ok) {
                Ok(encoding) => {
                    if turn.encoding.is_none() {
                        turn.fit(encoding);
                    }
                    self.question(address, picture, encoding).map_err(|failure| (failure, true))
                }
                Err(Unfit::Now(failure)) => Err((failure, false)),
                Err(Unfit::Ever(error)) => {
                    turn.refuse(&error);
                    continue;
                }
            };
            let (failure, asked) = match outcome {
                Ok(reply) => {
                    turn.succeeded();
                    return Ok(reply);
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
                    turn.refuse(&unauthorised(address, status));
                    continue;
                }
                Err(failed) => failed,
            };
            tracing::debug!("`{}`: {failure}", address.url());
            turn.failed(&failure);
            if asked && !matches!(failure, Failure::Unreachable(_) | Failure::Busy(_)) {
                attempts += 1;
                // Attempts that reach a server are counted; those that reach none are timed.
                trouble = None;
                if attempts >= self.patience.attempts {
                    return Err(self.verdict(address, &failure, attempts));
                }
            } else {
                trouble.get_or_insert_with(Instant::now);
            }
            avoid = Some(turn.replica);
            drop(turn);
            if !avoid.is_some_and(|replica| self.pool.has_other(replica)) {
                std::thread::sleep(self.pool.pause(attempts.max(1)));
            }
        }
    }

    /// A picture gave a good embedding: what failed before was no failure of the server.
    pub(crate) fn praise(&self) {
        self.failed_pictures.store(0, Ordering::Relaxed);
    }

    /// A picture failed on a server in good health: the picture is at fault, unless that was so of
    /// too many in a row.
    pub(crate) fn blame(&self, reason: RejectReason, found: String) -> NoAnswer {
        let pictures = self.failed_pictures.fetch_add(1, Ordering::Relaxed) + 1;
        if pictures >= FAILED_PICTURES {
            NoAnswer::Failed(InsightfaceError::TooManyFailures { pictures, found })
        } else {
            NoAnswer::Rejected(Rejection::new(reason, found))
        }
    }

    /// Whose fault it was, after the last attempt.
    fn verdict(&self, address: &Address, failure: &Failure, attempts: u32) -> NoAnswer {
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
        self.blame(reason, detail)
    }

    fn question(
        &self,
        address: &Address,
        picture: &[u8],
        encoding: Encoding,
    ) -> Result<Reply, Failure> {
        match self.dialect {
            Dialect::Rest => {
                let question = rest::question(picture, self.aligned, encoding);
                rest::reply(&self.transport.post(address, question)?, self.aligned)
            }
            Dialect::FaceDetectionRecognition => {
                fdr::reply(&self.transport.post(address, fdr::question(picture))?)
            }
        }
    }

    /// Whether a replica runs the models that the others run, and answers about a picture that
    /// every server can answer about; and how it wants to be asked.
    fn examine(&self, address: &Address) -> Result<Encoding, Unfit> {
        if self.dialect == Dialect::Rest {
            let answer = self.transport.get(address, "/info");
            let info = answer.and_then(|answer| rest::info(&answer));
            let info = info.map_err(|failure| self.unfit(address, failure))?;
            let (reference, expected) =
                self.reference.get_or_init(|| (address.url().to_owned(), info.clone()));
            if let Some(differences) = info.differences(expected) {
                let (url, reference) = (address.url().to_owned(), reference.clone());
                let error = InsightfaceError::DifferentReplica { url, reference, differences };
                return Err(Unfit::Ever(error));
            }
        }
        let encodings: &[Encoding] = match self.dialect {
            Dialect::Rest => &[Encoding::Msgpack, Encoding::Json],
            Dialect::FaceDetectionRecognition => &[Encoding::Json],
        };
        let mut last = Failure::Item;
        for &encoding in encodings {
            last = match self.question(address, PROBE, encoding) {
                Ok(Reply::Crop(Err(bad))) => Failure::Unreadable(bad.to_string()),
                Ok(_) => return Ok(encoding),
                Err(
                    failure @ (Failure::Unreachable(_) | Failure::Broken(_) | Failure::Busy(_)),
                ) => {
                    return Err(Unfit::Now(failure));
                }
                Err(failure) => failure,
            };
        }
        Err(self.unfit(address, last))
    }

    fn unfit(&self, address: &Address, failure: Failure) -> Unfit {
        let url = address.url().to_owned();
        match failure {
            Failure::Unauthorised(status) => Unfit::Ever(unauthorised(address, status)),
            Failure::TooLarge(bytes) => Unfit::Ever(InsightfaceError::BodyTooLarge { url, bytes }),
            Failure::Refused(_) | Failure::Unreadable(_) => {
                Unfit::Ever(InsightfaceError::WrongDialect {
                    url,
                    dialect: self.dialect.as_str(),
                    found: failure.to_string(),
                    advice: self.dialect.advice(),
                })
            }
            failure => Unfit::Now(failure),
        }
    }
}

fn unauthorised(address: &Address, status: u16) -> InsightfaceError {
    let (url, given) = (address.url().to_owned(), address.given());
    InsightfaceError::Unauthorised { url, status, given }
}
