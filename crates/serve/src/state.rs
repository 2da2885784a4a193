//! The shared state, admission control, and the path of a request with pictures.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::{Bytes, BytesMut};
use facefold_predict::{BundleCard, ExtractionRequest, FaceExplained, FaceSelector, Predictor};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::api_error::ApiError;
use crate::connections::Connections;
use crate::cors::Origins;
use crate::metrics::Metrics;
use crate::options::{BasePath, Limits};
use crate::queue::{ExtractionResult, Job, Purpose, Queue};
use crate::report_cache::ReportCache;
use crate::tokens::Tokens;

/// Bodies are counted against the memory of all in pieces of this many bytes.
const PIECE: usize = 16 << 10;
/// Grace period: a refused body is read and dropped for so long, so that a client that sends first
/// and reads then gets the error. A stopping server waits as long for the rest of a body.
const GRACE: Duration = Duration::from_secs(1);

/// The state that all requests share.
pub(crate) struct Shared {
    pub predictor: Predictor,
    pub cards: Vec<BundleCard>,
    pub queue: Queue,
    pub limits: Limits,
    pub threads: usize,
    pub tokens: Tokens,
    pub origins: Origins,
    pub results: Option<ReportCache>,
    pub metrics: Metrics,
    pub connections: Arc<Connections>,
    pub base_path: BasePath,
    /// Whether only this machine can reach the server.
    pub loopback: bool,
    /// Since when.
    draining: watch::Sender<Option<Instant>>,
    requests: Semaphore,
    memory: Semaphore,
    places: Arc<Semaphore>,
    /// Comparisons of results take seconds on a core: one at a time.
    pub comparisons: Arc<Semaphore>,
    /// An explanation takes as long as a hundred pictures: one at a time.
    explanations: Arc<Semaphore>,
}

/// Admission permit of a request with pictures.
pub(crate) struct AdmissionPermit<'a> {
    shared: &'a Arc<Shared>,
    memory: Option<SemaphorePermit<'a>>,
    counted: usize,
    deadline: Instant,
}

impl Shared {
    pub fn new(
        predictor: Predictor,
        options: &crate::Options,
        results: Option<ReportCache>,
        loopback: bool,
    ) -> Self {
        let limits = options.limits;
        Self {
            cards: predictor.cards(),
            predictor,
            queue: Queue::default(),
            limits,
            threads: options.threads.max(1),
            tokens: Tokens::new(&options.tokens),
            origins: Origins::new(&options.allowed_origins),
            results,
            metrics: Metrics::default(),
            connections: Arc::new(Connections::new(limits.connections)),
            base_path: options.base_path.clone(),
            loopback,
            draining: watch::Sender::new(None),
            requests: Semaphore::new(limits.requests),
            memory: Semaphore::new(limits.memory.div_ceil(PIECE)),
            places: Arc::new(Semaphore::new(limits.waiting.max(1))),
            comparisons: Arc::new(Semaphore::new(1)),
            explanations: Arc::new(Semaphore::new(1)),
        }
    }

    /// Refuses requests with pictures from now on (503).
    pub fn drain(&self) {
        self.draining.send_replace(Some(Instant::now()));
    }

    pub fn is_draining(&self) -> bool {
        self.draining.borrow().is_some()
    }

    /// Whether the server stops and its grace period is over.
    fn is_grace_period_over(&self) -> bool {
        self.draining.borrow().is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Waits until that is so.
    async fn grace_period_over(&self) {
        // The sender is part of `self`.
        let _ = self.draining.subscribe().wait_for(Option::is_some).await;
        sleep(GRACE).await;
    }

    /// Number of requests with pictures in work.
    pub fn in_work(&self) -> usize {
        self.limits.requests.saturating_sub(self.requests.available_permits())
    }

    /// Reads a request's body within the limits, or gives the error.
    pub async fn admit(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<(AdmissionPermit<'_>, Parts, Bytes), ApiError> {
        let mut permit = AdmissionPermit {
            shared: self,
            memory: None,
            counted: 0,
            deadline: Instant::now() + self.limits.time,
        };
        let (head, mut body) = request.into_parts();
        match permit.read(&head.headers, &mut body).await {
            Ok(bytes) => Ok((permit, head, bytes)),
            Err(problem) => {
                let was_waited_for = problem.status == StatusCode::REQUEST_TIMEOUT;
                if !was_waited_for && !self.is_grace_period_over() {
                    discard(body, self.limits.body).await;
                }
                Err(problem)
            }
        }
    }

    /// A place among the requests in work.
    fn place(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if self.is_draining() {
            return Err(ApiError::shutting_down());
        }
        self.requests.try_acquire().map_err(|_| {
            self.busy(&format!("{} requests are in work already", self.limits.requests))
        })
    }

    fn busy(&self, message: &str) -> ApiError {
        ApiError::busy(format!("{message}: try again later"), self.retry_after())
    }

    /// Whole seconds until what waits now should be done, from the time that pictures took so far.
    fn retry_after(&self) -> u64 {
        let waiting = (self.queue.len() + self.in_work()) as f64;
        let seconds = waiting * self.metrics.seconds_a_picture() / self.threads as f64;
        (seconds.ceil() as u64).clamp(1, 60)
    }
}

impl AdmissionPermit<'_> {
    /// Counts more bytes against the memory of all requests.
    fn count(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.counted += bytes;
        let held = self.memory.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = self.counted.div_ceil(PIECE).saturating_sub(held);
        let permit = self.shared.memory.try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX));
        let permit =
            permit.map_err(|_| self.shared.busy("other requests hold all memory for pictures"))?;
        match &mut self.memory {
            Some(memory) => memory.merge(permit),
            None => self.memory = Some(permit),
        }
        Ok(())
    }

    async fn read(&mut self, headers: &HeaderMap, body: &mut Body) -> Result<Bytes, ApiError> {
        // Given back at once: a client that sends slowly must not hold a place in work.
        drop(self.shared.place()?);
        let most = self.shared.limits.body;
        let too_large =
            || ApiError::too_large(format!("a request's body has at most {most} bytes"));
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        let mut grace_period_over = pin!(self.shared.grace_period_over());
        loop {
            let frame = tokio::select! {
                frame = timeout_at(self.deadline, body.frame()) => frame,
                () = &mut grace_period_over => return Err(ApiError::shutting_down()),
            };
            let frame = frame.map_err(|_| ApiError::request_timeout())?;
            let Some(frame) = frame else { return Ok(bytes.freeze()) };
            let frame = frame.map_err(|_| ApiError::unusable("the request's body broke off"))?;
            if let Ok(piece) = frame.into_data() {
                if bytes.len() + piece.len() > most {
                    return Err(too_large());
                }
                self.count(piece.len())?;
                bytes.extend_from_slice(&piece);
            }
        }
    }

    /// Takes a place in work, puts pictures on the queue and waits for what becomes of them, in
    /// order.
    pub async fn predict(
        &self,
        pictures: Vec<(Bytes, ExtractionRequest)>,
        purpose: Purpose,
    ) -> Result<Vec<ExtractionResult>, ApiError> {
        let _place = self.shared.place()?;
        let work = async {
            let mut waiting = Vec::with_capacity(pictures.len());
            for (picture, request) in pictures {
                let place = Arc::clone(&self.shared.places).acquire_owned().await;
                let place = place.map_err(|_| ApiError::shutting_down())?;
                let (reply, outcome) = oneshot::channel();
                self.shared.queue.put(Job { picture, request, purpose, reply }, place);
                waiting.push(outcome);
            }
            let mut results = Vec::with_capacity(waiting.len());
            for outcome in waiting {
                results.push(outcome.await.ok().flatten().ok_or_else(ApiError::failed)?);
            }
            Ok(results)
        };
        timeout_at(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(ApiError::timeout(self.shared.retry_after())))
    }
}

impl AdmissionPermit<'_> {
    /// Takes a place in work and explains a face. Another explanation in work is 429.
    pub async fn explain(
        &self,
        picture: Bytes,
        which: FaceSelector,
    ) -> Result<FaceExplained, ApiError> {
        let _place = self.shared.place()?;
        let turn = Arc::clone(&self.shared.explanations).try_acquire_owned();
        let turn = turn.map_err(|_| self.shared.busy("another face is being explained"))?;
        let shared = Arc::clone(self.shared);
        let work = tokio::task::spawn_blocking(move || {
            // Also held where the client gives up: the work goes on to its end.
            let _turn = turn;
            shared.predictor.explain(&picture, which)
        });
        match timeout_at(self.deadline, work).await {
            Ok(Ok(explained)) => Ok(explained?),
            Ok(Err(_)) => Err(ApiError::failed()),
            Err(_) => Err(ApiError::timeout(self.shared.retry_after())),
        }
    }
}

/// Reads on for a moment without keeping anything.
pub(crate) async fn discard(mut body: Body, most: usize) {
    let read = async {
        let mut left = most;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                return;
            }
        }
    };
    // Whether all of it was read does not change the response.
    let _ = tokio::time::timeout(GRACE, read).await;
}
