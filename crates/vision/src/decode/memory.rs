//! The memory that all decoders of this process may hold together.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static RESERVED: Mutex<u64> = Mutex::new(0);
static RELEASED: Condvar = Condvar::new();
/// Held by the thread that waits for memory, so that a large picture is not starved.
static TURN: Mutex<()> = Mutex::new(());

/// Memory that a picture holds, given back when dropped.
///
/// A thread that holds one must not ask for another.
#[derive(Debug)]
pub(super) struct Reservation(u64);

impl Reservation {
    /// Waits until so many bytes more are within `most`, which one picture alone always is.
    pub fn wait(bytes: u64, most: u64) -> Self {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reserved = RELEASED
            .wait_while(lock(), |reserved| *reserved > 0 && *reserved + bytes > most)
            .unwrap_or_else(PoisonError::into_inner);
        *reserved += bytes;
        Self(bytes)
    }

    /// Gives back all but so many bytes.
    pub fn keep(&mut self, bytes: u64) {
        let given = self.0.saturating_sub(bytes);
        self.0 -= given;
        *lock() -= given;
        RELEASED.notify_all();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.keep(0);
    }
}

fn lock() -> MutexGuard<'static, u64> {
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Reservation;

    #[test]
    fn holders_stay_within_the_limit_together() {
        // Units far above what other tests of this process reserve at the same time.
        const UNIT: u64 = 1 << 50;
        let (held, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for units in [1, 2, 3, 1, 2, 3, 1, 2] {
                let (held, peak) = (&held, &peak);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let reserved = Reservation::wait(units * UNIT, 4 * UNIT);
                        let now = held.fetch_add(units, Ordering::SeqCst) + units;
                        peak.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(units, Ordering::SeqCst);
                        drop(reserved);
                    }
                });
            }
        });
        assert!((3..=4).contains(&peak.into_inner()));
    }
}
