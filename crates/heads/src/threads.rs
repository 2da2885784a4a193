//! Keeps a fit or a prediction on one thread, whatever pool the caller runs in.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use facefold_core::HeadError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Idle pools of one thread: as many are made as there were concurrent callers.
///
/// They are never ended. A pool for each call would cost a thread's start a prediction, and rayon
/// gives the memory of a pool that takes over its caller's thread (`use_current_thread`) back
/// never.
static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());

/// A pool of one thread, given back when dropped.
struct Lease(Option<ThreadPool>);

impl Lease {
    fn take() -> Result<Self, HeadError> {
        if let Some(pool) = idle().pop() {
            return Ok(Self(Some(pool)));
        }
        let built = ThreadPoolBuilder::new()
            .num_threads(1)
            .thread_name(|_| "head".to_owned())
            .build()
            .map_err(|error| HeadError::Backend {
                context: "starting a thread for a head".to_owned(),
                message: error.to_string(),
            })?;
        Ok(Self(Some(built)))
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            // Only while it is dropped.
            None => work(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        idle().extend(self.0.take());
    }
}

fn idle() -> std::sync::MutexGuard<'static, Vec<ThreadPool>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` in a pool of one thread.
///
/// The matrix products inside candle ask rayon for as many threads as the machine has cores; in
/// a pool of one they run one after another. A rayon worker that waits inside `install` takes up
/// another fold's fit meanwhile, and all of them would run at once: such a caller waits on a thread
/// of its own instead, or works in place if its pool has no other thread either.
pub(crate) fn on_one_thread<T: Send>(
    work: impl FnOnce() -> Result<T, HeadError> + Send,
) -> Result<T, HeadError> {
    let is_worker = rayon::current_thread_index().is_some();
    if is_worker && rayon::current_num_threads() == 1 {
        return work();
    }
    let lease = Lease::take()?;
    if !is_worker {
        return lease.run(work);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lease.run(work));
        waiting.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::on_one_thread;
    use rayon::prelude::*;

    #[test]
    fn rayon_inside_sees_one_thread() {
        let seen = on_one_thread(|| {
            let here = std::thread::current().id();
            let elsewhere =
                (0..64).into_par_iter().filter(|_| std::thread::current().id() != here).count();
            Ok((rayon::current_num_threads(), elsewhere))
        });
        assert_eq!(seen.unwrap(), (1, 0));
    }

    #[test]
    fn idle_threads_are_reused() {
        let mut threads = HashSet::new();
        for _ in 0..200 {
            threads.insert(on_one_thread(|| Ok(std::thread::current().id())).unwrap());
        }
        // Tests that run at the same time borrow some too.
        assert!(threads.len() <= 16, "{} threads for 200 calls", threads.len());
        let nested = on_one_thread(|| {
            let outer = std::thread::current().id();
            Ok((outer, on_one_thread(|| Ok(std::thread::current().id()))?))
        });
        let (outer, inner) = nested.unwrap();
        assert_eq!(outer, inner);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_gives_the_thread_back() {
        let panics = || std::panic::catch_unwind(|| on_one_thread::<()>(|| panic!("inside")));
        for _ in 0..3 {
            assert!(panics().is_err());
        }
        assert_eq!(on_one_thread(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_pool_of_two_runs_two_fits_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            (0..8).into_par_iter().for_each(|_| {
                on_one_thread(|| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                })
                .unwrap();
            });
        });
        assert!(most.into_inner() <= 2);
    }
}
