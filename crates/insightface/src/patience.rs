//! How long to wait, how often to try again, and how much later each time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facefold_core::rng::{Rng, seeded};
use rand::Rng as _;

/// How patient the client is with its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For one whole answer, from the request's first byte to the answer's last.
    pub answer: Duration,
    /// For any server to come back, before the extraction stops.
    pub outage: Duration,
    /// Pause after a first failure; doubled after each further one.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// How often a server may fail on one picture.
    pub attempts: u32,
}

impl Default for Patience {
    /// 5 s to connect, 60 s for an answer, 60 s of outage, pauses of 0.2 to 10 s, 4 attempts.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_mins(1),
            outage: Duration::from_mins(1),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            attempts: 4,
        }
    }
}

/// Draws the pauses: exponential, with jitter, so that many workers that failed together do not
/// come back together.
pub(crate) struct Pauses {
    first: Duration,
    longest: Duration,
    rng: Mutex<Rng>,
}

impl Pauses {
    pub(crate) fn new(patience: &Patience) -> Self {
        // Two clients started together must not pause alike, so the seed is the moment.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = now.as_nanos() as u64 ^ u64::from(std::process::id());
        Self {
            first: patience.first_pause,
            longest: patience.longest_pause,
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
    use super::{Patience, Pauses};
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_the_longest_and_scatter() {
        let pauses = Pauses::new(&Patience::default());
        let [first, longest] = [200, 10_000].map(Duration::from_millis);
        for (failures, whole) in [(1, first), (2, 2 * first), (4, 8 * first), (30, longest)] {
            let drawn: Vec<Duration> = (0..20).map(|_| pauses.after(failures)).collect();
            assert!(drawn.iter().all(|pause| *pause >= whole / 2 && *pause <= whole), "{drawn:?}");
            assert!(drawn.iter().any(|pause| *pause != drawn[0]), "{drawn:?}");
        }
    }
}
