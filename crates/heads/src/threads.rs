//! Keeps a fit on one thread, whatever pool the caller runs in.

use std::panic::resume_unwind;
use std::thread;

use facefold_core::HeadError;
use rayon::ThreadPoolBuilder;

/// Runs `work` on a fresh thread that is a rayon pool of its own, of one thread.
///
/// The matrix products inside candle ask rayon for as many threads as the machine has cores; in
/// a pool of one they run in place. The thread must be fresh, and be joined rather than be
/// installed into: a rayon worker that waits inside `install` takes up another fold's fit, and
/// all of them would run at once.
pub(crate) fn on_one_thread<T: Send>(
    work: impl FnOnce() -> Result<T, HeadError> + Send,
) -> Result<T, HeadError> {
    let pooled = || {
        let _pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().map_err(
            |error| HeadError::Backend {
                context: "starting a thread for a head".to_owned(),
                message: error.to_string(),
            },
        )?;
        work()
    };
    thread::scope(|scope| scope.spawn(pooled).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

#[cfg(test)]
mod tests {
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
