//! The same work for many inputs, on all cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use indicatif::ProgressBar;

/// Does work for each input, so many at a time. Gives the outcomes in the order of the inputs;
/// fewer where the user asked to stop.
///
/// # Errors
/// The first failure; work that was not begun then is left.
pub fn fan_out<I: Sync, T: Send>(
    inputs: &[I],
    threads: usize,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
    work: impl Fn(usize, &I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(inputs.len()));
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(inputs.len()) {
            scope.spawn(|| {
                while !interrupted.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(index) else { return };
                    match work(index, input) {
                        Ok(outcome) => locked(&done).push((index, outcome)),
                        Err(error) => {
                            locked(&failure).get_or_insert(error);
                            next.store(inputs.len(), Ordering::Relaxed);
                            return;
                        }
                    }
                    progress.inc(1);
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

/// A mutex whatever happened to who held it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use anyhow::bail;
    use indicatif::ProgressBar;

    use super::fan_out;

    #[test]
    fn outcomes_keep_their_order_and_a_failure_ends_it() {
        let inputs: Vec<usize> = (0..200).collect();
        let (go, bar) = (AtomicBool::new(false), ProgressBar::hidden());
        let doubled = fan_out(&inputs, 4, &go, &bar, |index, input| Ok(index + input)).unwrap();
        assert_eq!(doubled, inputs.iter().map(|n| 2 * n).collect::<Vec<_>>());
        let failed = fan_out(&inputs, 4, &go, &bar, |_, &input| {
            if input == 50 {
                bail!("no {input}");
            }
            Ok(())
        });
        assert_eq!(failed.unwrap_err().to_string(), "no 50");
        let some = fan_out(&inputs, 1, &go, &bar, |_, &input| {
            go.store(input == 9, Ordering::Relaxed);
            Ok(input)
        });
        assert_eq!(some.unwrap().len(), 10);
    }
}
