//! The client: sends pictures to whichever replica is free, and retries until one has a result or
//! it is clear whether the picture or the servers are at fault.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use facefold_core::{Embedding, RejectReason, Rejection};

use crate::access::{Address, headers};
use crate::dialect::Dialect;
use crate::error::{Failure, InsightfaceError};
use crate::extractor::Options;
use crate::face_detection_recognition as fdr;
use crate::faces::FaceResponse;
use crate::forms::Forms;
use crate::pool::{Permit, Pool};
use crate::rest::{self, Encoding, Info};
use crate::retry::RetryPolicy;
use crate::transport::{HttpResponse, RequestBody, Transport};

/// A grey picture of 112 x 112, which every working server can look for faces in and can embed:
/// `PIL.Image.new("RGB", (112, 112), (128, 128, 128)).save("probe.png")`.
const PROBE: &[u8] = include_bytes!("probe.png");

/// Pictures in a row that may fail on a server that works otherwise.
const FAILED_PICTURES: u32 = 8;

/// Statuses of refusal that may be due to one picture; all others are about
/// the server: where it is, what it takes, and from whom.
const ABOUT_A_PICTURE: [u16; 2] = [400, 422];

/// Least cosine of the embeddings that two replicas give of one picture. Other processors and
/// batches change 1e-5; other networks, detectors or input sizes 1e-2 or more.
const SAME_EMBEDDING: f64 = 0.999;

/// How long a container that does not report its models counts as confirmed: it has to embed a
/// picture again for that.
const FACE_CHECK: Duration = Duration::from_mins(1);

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
    /// The first picture with an embedding, which all others must embed alike.
    reference_face: OnceLock<ReferenceFace>,
    /// One check at a time of each replica.
    checks: Vec<Mutex<()>>,
    failed_pictures: AtomicU32,
    /// Fewest bytes of a picture that a server refused as too many.
    refused: AtomicUsize,
    has_noted_refusal: AtomicBool,
}

/// A picture as it was sent, and its embedding.
struct ReferenceFace {
    url: String,
    picture: Vec<u8>,
    embedding: Embedding,
}

impl Client {
    /// A client of the replicas that are healthy; those that cannot be reached may come later. Where
    /// none is healthy, as long as they start, they are asked again until the longest outage is over.
    ///
    /// # Errors
    /// An invalid URL, no healthy replica, or one that will not recover.
    pub(crate) fn connect(options: &Options) -> Result<Self, InsightfaceError> {
        let addresses = options.addresses()?;
        let client = Self {
            dialect: options.dialect,
            aligned: options.aligned,
            retry: options.retry,
            transport: Transport::new(&options.retry, &headers(&options.headers))?,
            checks: addresses.iter().map(|_| Mutex::default()).collect(),
            pool: Pool::new(addresses, options.in_flight.max(1), &options.retry),
            reference: OnceLock::new(),
            reference_face: OnceLock::new(),
            failed_pictures: AtomicU32::new(0),
            refused: AtomicUsize::new(usize::MAX),
            has_noted_refusal: AtomicBool::new(false),
        };
        let start = Instant::now();
        for round in 1.. {
            if client.examine_all(round == 1)? > 0 {
                break;
            }
            let left = client.retry.outage.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(client.pool.no_replica());
            }
            if round == 1 {
                tracing::warn!(
                    "no container is ready; they are asked again for {} s (--patience)",
                    client.retry.outage.as_secs_f64()
                );
            }
            std::thread::sleep(client.pool.pause(round).min(left));
        }
        Ok(client)
    }

    /// Examines every replica; gives the number of healthy ones.
    fn examine_all(&self, says: bool) -> Result<usize, InsightfaceError> {
        let mut healthy = 0;
        for replica in 0..self.pool.len() {
            let permit = self.pool.permit(replica);
            match self.examine(permit.address()) {
                Ok(encoding) => {
                    permit.healthy(encoding);
                    healthy += 1;
                }
                Err(UnhealthyReplica::Now(failure)) => {
                    if says {
                        let url = permit.address().url();
                        tracing::warn!("`{url}`: {failure}; it is tried again later");
                    }
                    permit.failed(&failure);
                }
                Err(UnhealthyReplica::Ever(error)) => return Err(error),
            }
        }
        Ok(healthy)
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
        let input = self.info().and_then(|info| info.models.detector_input());
        let input = match input {
            Some([width, height]) if !self.aligned => {
                format!(", detector input {width}x{height}")
            }
            _ => String::new(),
        };
        format!("{name} over HTTP, {replicas} {plural}{input}")
    }

    /// Sends one picture, which is a crop if the client was made for crops, in a shorter form where
    /// a server refuses a longer one; adds the replica that responded to those `used`.
    pub(crate) fn send(
        &self,
        forms: &mut Forms<'_>,
        used: &mut BTreeSet<usize>,
    ) -> Result<FaceResponse, ExtractionFailure> {
        // What was refused before is not sent again.
        while forms.bytes().len() >= self.refused.load(Ordering::Relaxed) && shorten(forms)? {}
        let (mut attempts, mut trouble, mut avoid) = (0, None, None);
        loop {
            let permit = self.pool.next(avoid, &mut trouble)?;
            let address = permit.address();
            let outcome = match permit.encoding.map_or_else(|| self.examine(address), Ok) {
                Ok(encoding) => {
                    if permit.encoding.is_none() {
                        permit.healthy(encoding);
                    }
                    let body = self.request_body(forms.bytes(), encoding);
                    let response = self.transport.post(address, body);
                    response
                        .and_then(|response| self.face_response(&response))
                        .map_err(|failure| (failure, true))
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
                    self.keep_reference(&permit, forms.bytes(), &face_response);
                    used.insert(permit.replica);
                    return Ok(face_response);
                }
                Err((Failure::TooLarge(bytes), true)) => {
                    self.note_refusal(address, forms.bytes().len());
                    if shorten(forms)? {
                        continue;
                    }
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

    /// Says once that pictures are sent in other forms.
    fn note_refusal(&self, address: &Address, bytes: usize) {
        self.refused.fetch_min(bytes, Ordering::Relaxed);
        if !self.has_noted_refusal.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "`{}` refuses a picture of {bytes} bytes (status 413): such pictures are sent as the bytes \
                 of their own files, as JPEG of quality 98, or halved, whichever it takes first",
                address.url()
            );
        }
    }

    /// Keeps the first picture with an embedding: replicas are compared by it.
    fn keep_reference(&self, permit: &Permit<'_>, picture: &[u8], response: &FaceResponse) {
        if self.reference_face.get().is_some() {
            return;
        }
        let embedding = match response {
            FaceResponse::Faces(faces) => {
                let mut embedded = faces.iter().filter_map(|face| face.embedding.as_ref().ok());
                embedded.next()
            }
            FaceResponse::Crop(embedded) => embedded.as_ref().ok(),
            FaceResponse::Rejected(_) => None,
        };
        let Some(embedding) = embedding.map(|embedded| embedded.embedding.clone()) else { return };
        let url = permit.address().url().to_owned();
        let face = ReferenceFace { url, picture: picture.to_vec(), embedding };
        if self.reference_face.set(face).is_ok() {
            permit.is_reference();
        }
    }

    /// Whether a replica, asked at this time or later, runs the same models as at the start, and
    /// embeds the reference picture as the others do. One that does not is excluded; one that does not
    /// respond has to pass the health check again.
    pub(crate) fn confirm(&self, replica: usize, since: Instant) -> bool {
        let _check = self.checks[replica].lock().unwrap_or_else(PoisonError::into_inner);
        let reports_models = self.dialect == Dialect::Rest;
        let since = if reports_models { Some(since) } else { since.checked_sub(FACE_CHECK) };
        let is_compared = || self.reference_face.get().is_none() || self.pool.is_compared(replica);
        if is_compared() && since.is_some_and(|since| self.pool.is_confirmed(replica, since)) {
            return true;
        }
        let mut attempt = 1;
        loop {
            let permit = self.pool.permit(replica);
            let (begun, face) = (Instant::now(), self.reference_face.get());
            let skips_face = reports_models && self.pool.is_compared(replica);
            match self.check(&permit, face.filter(|_| !skips_face)) {
                Ok(()) => {
                    permit.confirmed(begun, face.is_some());
                    return true;
                }
                Err(UnhealthyReplica::Ever(error)) => {
                    permit.exclude(&error);
                    return false;
                }
                Err(UnhealthyReplica::Now(failure)) => {
                    let is_gone = matches!(failure, Failure::Unreachable(_));
                    if is_gone || attempt >= self.retry.attempts {
                        permit.lost(&failure);
                        return false;
                    }
                }
            }
            drop(permit);
            std::thread::sleep(self.pool.pause(attempt));
            attempt += 1;
        }
    }

    /// The check of [`Self::confirm`], with a picture to embed where there is one.
    fn check(
        &self,
        permit: &Permit<'_>,
        face: Option<&ReferenceFace>,
    ) -> Result<(), UnhealthyReplica> {
        let address = permit.address();
        let encoding = if let Some(encoding) = permit.encoding {
            self.compare_models(address)?;
            encoding
        } else {
            let encoding = self.examine(address)?;
            permit.healthy(encoding);
            encoding
        };
        face.map_or(Ok(()), |face| self.compare_faces(address, encoding, face))
    }

    /// Whether a replica embeds the reference picture as it was embedded before.
    fn compare_faces(
        &self,
        address: &Address,
        encoding: Encoding,
        face: &ReferenceFace,
    ) -> Result<(), UnhealthyReplica> {
        let body = self.request_body(&face.picture, encoding);
        let response = self.transport.post_anew(address, body);
        let response = response.and_then(|response| self.face_response(&response));
        let embeddings: Vec<Embedding> = match response {
            Ok(FaceResponse::Faces(faces)) => {
                let embedded = faces.into_iter().filter_map(|face| face.embedding.ok());
                embedded.map(|embedded| embedded.embedding).collect()
            }
            Ok(FaceResponse::Crop(embedded)) => {
                embedded.ok().map(|embedded| embedded.embedding).into_iter().collect()
            }
            Ok(FaceResponse::Rejected(_)) => Vec::new(),
            Err(Failure::Unauthorised(status)) => {
                return Err(UnhealthyReplica::Ever(unauthorised(address, status)));
            }
            Err(failure) => return Err(UnhealthyReplica::Now(failure)),
        };
        let cosines = embeddings.iter().map(|embedding| embedding.cosine(&face.embedding));
        let cosine = cosines.fold(0.0, f64::max);
        if cosine >= SAME_EMBEDDING {
            return Ok(());
        }
        Err(UnhealthyReplica::Ever(InsightfaceError::DifferentEmbedding {
            url: address.url().to_owned(),
            reference: face.url.clone(),
            cosine,
            least: SAME_EMBEDDING,
        }))
    }

    /// The URLs of these replicas, in words.
    pub(crate) fn urls(&self, replicas: impl IntoIterator<Item = usize>) -> String {
        self.pool.urls(replicas)
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

    fn request_body(&self, picture: &[u8], encoding: Encoding) -> RequestBody {
        match self.dialect {
            Dialect::Rest => rest::request_body(picture, self.aligned, encoding),
            Dialect::FaceDetectionRecognition => fdr::request_body(picture),
        }
    }

    fn face_response(&self, response: &HttpResponse) -> Result<FaceResponse, Failure> {
        match self.dialect {
            Dialect::Rest => rest::face_response(response, self.aligned),
            Dialect::FaceDetectionRecognition => fdr::face_response(response),
        }
    }

    /// Whether a replica reports the same models as the first one did.
    fn compare_models(&self, address: &Address) -> Result<(), UnhealthyReplica> {
        if self.dialect != Dialect::Rest {
            return Ok(());
        }
        let response = self.transport.get(address, "/info");
        let info = response.and_then(|response| rest::info(&response));
        let info = info.map_err(|failure| self.unhealthy(address, failure))?;
        let (reference, expected) =
            self.reference.get_or_init(|| (address.url().to_owned(), info.clone()));
        let Some(differences) = info.differences(expected) else { return Ok(()) };
        let (url, reference) = (address.url().to_owned(), reference.clone());
        Err(UnhealthyReplica::Ever(if url == reference {
            InsightfaceError::ChangedModels { url, differences }
        } else {
            InsightfaceError::DifferentReplica { url, reference, differences }
        }))
    }

    /// Health check: whether a replica runs the same models as the others, and processes a probe
    /// picture; gives the encoding that it accepts. Each request has a connection of its own: one that
    /// refuses `MessagePack` may close it.
    fn examine(&self, address: &Address) -> Result<Encoding, UnhealthyReplica> {
        self.compare_models(address)?;
        let mut last = Failure::Item;
        for &encoding in self.dialect.encodings() {
            let response = self.transport.post_anew(address, self.request_body(PROBE, encoding));
            last = match response.and_then(|response| self.face_response(&response)) {
                Ok(FaceResponse::Crop(Err(bad))) => Failure::Unreadable(bad.to_string()),
                Ok(_) => return Ok(encoding),
                Err(failure @ (Failure::Unreachable(_) | Failure::Busy(_))) => {
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

fn shorten(forms: &mut Forms<'_>) -> Result<bool, ExtractionFailure> {
    forms.shorten().map_err(ExtractionFailure::Rejected)
}

fn unauthorised(address: &Address, status: u16) -> InsightfaceError {
    let (url, given) = (address.url().to_owned(), address.given());
    InsightfaceError::Unauthorised { url, status, given }
}
