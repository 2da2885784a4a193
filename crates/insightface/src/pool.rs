//! The pool of replicas that share the load: the next one, back-off after failures, exclusion.
//!
//! A replica is *healthy* once its models are known and it has processed a probe picture. A
//! connection that breaks makes it unhealthy: it may come back with other models. A replica that
//! cannot be reached backs off, longer each time, and one worker at a time checks whether it is
//! healthy again; so does one that failed three times in a row (a circuit breaker per replica).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::access::Address;
use crate::error::{Failure, InsightfaceError};
use crate::rest::Encoding;
use crate::retry::{Backoff, RetryPolicy};

/// Failures in a row after which a reachable replica backs off.
const FAILURES_BEFORE_REST: u32 = 3;

/// Longest wait without looking at the replicas again.
const LOOK: Duration = Duration::from_millis(500);

/// The replicas.
pub(crate) struct Pool {
    addresses: Vec<Address>,
    states: Mutex<Vec<State>>,
    changed: Condvar,
    in_flight: usize,
    outage: Duration,
    backoff: Backoff,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    failures: u32,
    backs_off_until: Option<Instant>,
    /// Set while the replica is healthy: the encoding that it accepts.
    encoding: Option<Encoding>,
    /// When the check began that found its models to be the same as at the start.
    confirmed: Option<Instant>,
    /// Whether it embedded the reference picture as the others do; not known any more once its
    /// connection broke.
    is_compared: bool,
    out: bool,
    last_failure: Option<String>,
}

impl State {
    fn is_backing_off(&self, now: Instant) -> bool {
        self.backs_off_until.is_some_and(|until| until > now)
    }

    fn is_free(&self, now: Instant, most: usize) -> bool {
        let most = if self.encoding.is_some() { most } else { 1 };
        !self.out && !self.is_backing_off(now) && self.in_flight < most
    }
}

/// A permit for one request to one replica; released when dropped.
pub(crate) struct Permit<'a> {
    pool: &'a Pool,
    pub replica: usize,
    /// The encoding; `None` if the replica needs a health check first.
    pub encoding: Option<Encoding>,
}

impl Pool {
    /// Replicas that are not checked yet, each with at most `in_flight` requests at a time.
    pub(crate) fn new(addresses: Vec<Address>, in_flight: usize, retry: &RetryPolicy) -> Self {
        let states = addresses.iter().map(|_| State::default()).collect();
        Self {
            addresses,
            states: Mutex::new(states),
            changed: Condvar::new(),
            in_flight,
            outage: retry.outage,
            backoff: Backoff::new(retry),
        }
    }

    /// Number of replicas.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// A permit for the given replica, whatever its state: for the first check.
    pub(crate) fn permit(&self, replica: usize) -> Permit<'_> {
        let mut states = self.lock();
        states[replica].in_flight += 1;
        Permit { pool: self, replica, encoding: states[replica].encoding }
    }

    /// Waits for a free replica, not the one to avoid if there is another. Unhealthy ones after
    /// their back-off come first, so that they recover; else the least loaded one.
    ///
    /// `trouble` is since when the caller has had no response; it is set here if all replicas back
    /// off.
    ///
    /// # Errors
    /// [`InsightfaceError::NoReplica`] if that lasts longer than the longest outage.
    pub(crate) fn next(
        &self,
        avoid: Option<usize>,
        trouble: &mut Option<Instant>,
    ) -> Result<Permit<'_>, InsightfaceError> {
        let mut states = self.lock();
        loop {
            let now = Instant::now();
            let outage = trouble.is_some_and(|since| now.duration_since(since) >= self.outage);
            if outage || states.iter().all(|state| state.out) {
                return Err(self.no_replica_error(&states));
            }
            let free = (0..states.len()).filter(|&at| states[at].is_free(now, self.in_flight));
            let best = free.min_by_key(|&at| {
                (Some(at) == avoid, states[at].encoding.is_some(), states[at].in_flight)
            });
            if let Some(replica) = best {
                states[replica].in_flight += 1;
                return Ok(Permit { pool: self, replica, encoding: states[replica].encoding });
            }
            if !states.iter().any(|state| !state.out && !state.is_backing_off(now)) {
                trouble.get_or_insert(now);
            }
            let resting = states.iter().filter(|state| !state.out && state.is_backing_off(now));
            let rested = resting.filter_map(|state| state.backs_off_until).min();
            let wait = rested.map_or(LOOK, |until| until.saturating_duration_since(now)).min(LOOK);
            let wait = wait.max(Duration::from_millis(1));
            // A replica that works to capacity is no outage, however long that takes.
            let is_full = states
                .iter()
                .any(|state| !state.out && state.encoding.is_some() && !state.is_backing_off(now));
            let waited = self.changed.wait_timeout(states, wait);
            states = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(since) = trouble.as_mut().filter(|_| is_full) {
                *since += now.elapsed();
            }
        }
    }

    /// Whether another healthy replica is free now.
    pub(crate) fn has_other(&self, replica: usize) -> bool {
        let now = Instant::now();
        self.lock().iter().enumerate().any(|(at, state)| {
            at != replica && state.encoding.is_some() && state.is_free(now, self.in_flight)
        })
    }

    /// Whether the replica was compared with the others.
    pub(crate) fn is_compared(&self, replica: usize) -> bool {
        self.lock()[replica].is_compared
    }

    /// Whether a check that began at this time or later found the replica's models unchanged.
    pub(crate) fn is_confirmed(&self, replica: usize, since: Instant) -> bool {
        self.lock()[replica].confirmed.is_some_and(|confirmed| confirmed >= since)
    }

    /// The URLs of these replicas, in words.
    pub(crate) fn urls(&self, replicas: impl IntoIterator<Item = usize>) -> String {
        let urls = replicas.into_iter().map(|at| format!("`{}`", self.addresses[at].url()));
        urls.collect::<Vec<_>>().join(" and ")
    }

    /// The pause after this many failures.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        self.backoff.after(failures)
    }

    /// The error that names each replica with its last failure.
    pub(crate) fn no_replica(&self) -> InsightfaceError {
        self.no_replica_error(&self.lock())
    }

    fn no_replica_error(&self, states: &[State]) -> InsightfaceError {
        let tried = self.addresses.iter().zip(states).map(|(address, state)| {
            let failure = state.last_failure.as_deref().unwrap_or("not tried");
            format!("`{}`: {failure}", address.url())
        });
        InsightfaceError::NoReplica { tried: tried.collect::<Vec<_>>().join("; ") }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, replica: usize, change: impl FnOnce(&mut State)) {
        change(&mut self.lock()[replica]);
        self.changed.notify_all();
    }
}

impl Permit<'_> {
    pub(crate) fn address(&self) -> &Address {
        &self.pool.addresses[self.replica]
    }

    /// The replica is healthy, and accepts this encoding.
    pub(crate) fn healthy(&self, encoding: Encoding) {
        self.pool.change(self.replica, |state| {
            state.encoding = Some(encoding);
            state.backs_off_until = None;
        });
    }

    /// A check that began at this time found the replica's models unchanged; it was compared with
    /// the others, if there was something to compare.
    pub(crate) fn confirmed(&self, begun: Instant, is_compared: bool) {
        self.pool.change(self.replica, |state| {
            state.confirmed = Some(begun);
            state.is_compared = is_compared;
        });
    }

    /// The replica gave the embedding that others are compared with.
    pub(crate) fn is_reference(&self) {
        self.pool.change(self.replica, |state| state.is_compared = true);
    }

    /// The replica has to pass the health check again.
    pub(crate) fn lost(&self, failure: &Failure) {
        let pool = self.pool;
        pool.change(self.replica, |state| {
            state.last_failure = Some(failure.to_string());
            state.failures += 1;
            (state.encoding, state.is_compared) = (None, false);
            state.backs_off_until = Some(Instant::now() + pool.pause(state.failures));
        });
    }

    /// The request succeeded.
    pub(crate) fn succeeded(&self) {
        self.pool.change(self.replica, |state| state.failures = 0);
    }

    /// The request failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        let pool = self.pool;
        pool.change(self.replica, |state| {
            state.last_failure = Some(failure.to_string());
            if let Failure::Busy(later) = failure {
                // As long as the server asks for: who is asked sooner refuses again.
                let rest = later.unwrap_or_else(|| pool.pause(1)).min(pool.outage);
                state.backs_off_until = Some(Instant::now() + rest);
                return;
            }
            // It responded: it is as healthy as before.
            if matches!(failure, Failure::Item | Failure::Refused(_)) {
                return;
            }
            state.failures += 1;
            let lost = matches!(failure, Failure::Unreachable(_) | Failure::Broken(_));
            if lost {
                (state.encoding, state.is_compared) = (None, false);
            }
            let unreachable = matches!(failure, Failure::Unreachable(_));
            if unreachable || state.failures >= FAILURES_BEFORE_REST || state.encoding.is_none() {
                state.backs_off_until = Some(Instant::now() + pool.pause(state.failures));
            }
        });
    }

    /// Excludes the replica for good.
    pub(crate) fn exclude(&self, reason: &InsightfaceError) {
        tracing::warn!("{reason}; it gets no more pictures");
        self.pool.change(self.replica, |state| {
            state.out = true;
            state.last_failure = Some(reason.to_string());
        });
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.pool.change(self.replica, |state| state.in_flight -= 1);
    }
}
