//! The retry policy: timeouts, number of attempts, and exponential back-off.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facefold_core::rng::{Rng, seeded};
use rand::Rng as _;

/// Timeouts and retries of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// For a connection.
    pub connect: Duration,
    /// For one complete response, from the request's first byte to the response's last.
    pub response: Duration,
    /// For any server to come back, before the extraction stops.
    pub outage: Duration,
    /// Pause after a first failure; doubled after each further one.
    pub first_delay: Duration,
    /// Longest pause.
    pub longest_delay: Duration,
    /// How often a server may fail on one picture.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    /// 5 s to connect, 60 s for a response, 60 s of outage, delays of 0.2 to 10 s, 4 attempts.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_mins(1),
            outage: Duration::from_mins(1),
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(10),
            attempts: 4,
        }
    }
}

/// Exponential back-off with jitter, so that workers that failed together do not retry together.
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    rng: Mutex<Rng>,
}

impl Backoff {
    pub(crate) fn new(retry: &RetryPolicy) -> Self {
        // Two clients started together need different delays, so the seed is the time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos() as u64 ^ u64::from(std::process::id());
        Self {
            first: retry.first_delay,
            longest: retry.longest_delay,
            rng: Mutex::new(seeded(seed, "pauses between attempts")),
        }
    }

    /// The pause after this many failures in a row: between half and all of
    /// `first * 2^(failures - 1)`, cut at the longest.
    pub(crate) fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let whole = doubled.min(self.longest);
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        whole.mul_f64(rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, RetryPolicy};
    use std::time::Duration;

    #[test]
    fn backoff_doubles_up_to_the_limit_with_jitter() {
        let backoff = Backoff::new(&RetryPolicy::default());
        let [first, longest] = [200, 10_000].map(Duration::from_millis);
        for (failures, whole) in [(1, first), (2, 2 * first), (4, 8 * first), (30, longest)] {
            let drawn: Vec<Duration> = (0..20).map(|_| backoff.after(failures)).collect();
            assert!(drawn.iter().all(|pause| *pause >= whole / 2 && *pause <= whole), "{drawn:?}");
            assert!(drawn.iter().any(|pause| *pause != drawn[0]), "{drawn:?}");
        }
    }
}
