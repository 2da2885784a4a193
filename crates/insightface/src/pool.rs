//! The replicas that share the load: who is next, who rests after failures, who is out for good.
//!
//! A replica is *fit* once it has shown the models it runs and has answered a trial question. A
//! connection that breaks makes it unfit: it may come back as something else. A replica that
//! cannot be reached rests, longer each time, and one worker at a time tries whether it is fit
//! again; so does one that failed three times in a row (a circuit breaker per replica).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::access::Address;
use crate::error::{Failure, InsightfaceError};
use crate::patience::{Patience, Pauses};
use crate::rest::Encoding;

/// Failures in a row after which a replica that can be reached rests.
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
    longest_rest: Duration,
    pauses: Pauses,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    failures: u32,
    rests_until: Option<Instant>,
    /// Set while the replica is fit: how it wants to be asked.
    encoding: Option<Encoding>,
    out: bool,
    last_failure: Option<String>,
}

impl State {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    fn is_free(&self, now: Instant, most: usize) -> bool {
        let most = if self.encoding.is_some() { most } else { 1 };
        !self.out && !self.rests(now) && self.in_flight < most
    }
}

/// The right to ask one replica one question; given back when dropped.
pub(crate) struct Turn<'a> {
    pool: &'a Pool,
    pub replica: usize,
    /// How to ask; none if the replica must first show that it is fit.
    pub encoding: Option<Encoding>,
}

impl Pool {
    /// Replicas of which none is fit yet, each with at most `in_flight` questions at a time.
    pub(crate) fn new(addresses: Vec<Address>, in_flight: usize, patience: &Patience) -> Self {
        let states = addresses.iter().map(|_| State::default()).collect();
        Self {
            addresses,
            states: Mutex::new(states),
            changed: Condvar::new(),
            in_flight,
            outage: patience.outage,
            longest_rest: patience.longest_pause,
            pauses: Pauses::new(patience),
        }
    }

    /// Number of replicas.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// A turn at the named replica, whatever its state: for the first round.
    pub(crate) fn turn(&self, replica: usize) -> Turn<'_> {
        let mut states = self.lock();
        states[replica].in_flight += 1;
        Turn { pool: self, replica, encoding: states[replica].encoding }
    }

    /// Waits for a free replica, not the one to avoid if there is another. Unfit ones whose rest
    /// is over come first, so that they return to work; else the one with the least to do.
    ///
    /// `trouble` is since when the asker has had no answer; it is set here if all replicas rest.
    ///
    /// # Errors
    /// [`InsightfaceError::NoReplica`] if that lasts longer than the patience for an outage.
    pub(crate) fn next(
        &self,
        avoid: Option<usize>,
        trouble: &mut Option<Instant>,
    ) -> Result<Turn<'_>, InsightfaceError> {
        let mut states = self.lock();
        loop {
            let now = Instant::now();
            let outage = trouble.is_some_and(|since| now.duration_since(since) >= self.outage);
            if outage || states.iter().all(|state| state.out) {
                return Err(self.no_replica(&states));
            }
            let free = (0..states.len()).filter(|&at| states[at].is_free(now, self.in_flight));
            let best = free.min_by_key(|&at| {
                (Some(at) == avoid, states[at].encoding.is_some(), states[at].in_flight)
            });
            if let Some(replica) = best {
                states[replica].in_flight += 1;
                return Ok(Turn { pool: self, replica, encoding: states[replica].encoding });
            }
            if !states.iter().any(|state| !state.out && !state.rests(now)) {
                trouble.get_or_insert(now);
            }
            let rested = states.iter().filter_map(|state| state.rests_until).min();
            let wait = rested.map_or(LOOK, |until| until.saturating_duration_since(now)).min(LOOK);
            let wait = wait.max(Duration::from_millis(1));
            let waited = self.changed.wait_timeout(states, wait);
            states = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a fit replica other than this one could be asked at once.
    pub(crate) fn has_other(&self, replica: usize) -> bool {
        let now = Instant::now();
        self.lock().iter().enumerate().any(|(at, state)| {
            at != replica && state.encoding.is_some() && state.is_free(now, self.in_flight)
        })
    }

    /// The pause after this many failures.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        self.pauses.after(failures)
    }

    /// The error that names each replica with its last failure.
    pub(crate) fn nobody(&self) -> InsightfaceError {
        self.no_replica(&self.lock())
    }

    fn no_replica(&self, states: &[State]) -> InsightfaceError {
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

impl Turn<'_> {
    pub(crate) fn address(&self) -> &Address {
        &self.pool.addresses[self.replica]
    }

    /// The replica showed that it is fit, and wants to be asked so.
    pub(crate) fn fit(&self, encoding: Encoding) {
        self.pool.change(self.replica, |state| {
            state.encoding = Some(encoding);
            state.rests_until = None;
        });
    }

    /// The replica answered.
    pub(crate) fn succeeded(&self) {
        self.pool.change(self.replica, |state| state.failures = 0);
    }

    /// The replica did not answer.
    pub(crate) fn failed(&self, failure: &Failure) {
        let pool = self.pool;
        pool.change(self.replica, |state| {
            state.last_failure = Some(failure.to_string());
            if let Failure::Busy(later) = failure {
                let rest = later.unwrap_or_else(|| pool.pause(1)).min(pool.longest_rest);
                state.rests_until = Some(Instant::now() + rest);
                return;
            }
            // It answered, and promptly: it is as fit as before.
            if matches!(failure, Failure::Item | Failure::Refused(_)) {
                return;
            }
            state.failures += 1;
            let lost = matches!(failure, Failure::Unreachable(_) | Failure::Broken(_));
            if lost {
                state.encoding = None;
            }
            let unreachable = matches!(failure, Failure::Unreachable(_));
            if unreachable || state.failures >= FAILURES_BEFORE_REST || state.encoding.is_none() {
                state.rests_until = Some(Instant::now() + pool.pause(state.failures));
            }
        });
    }

    /// The replica is no replica: it gets no more questions.
    pub(crate) fn refuse(&self, reason: &InsightfaceError) {
        tracing::warn!("{reason}; it gets no more pictures");
        self.pool.change(self.replica, |state| {
            state.out = true;
            state.last_failure = Some(reason.to_string());
        });
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pool.change(self.replica, |state| state.in_flight -= 1);
    }
}
