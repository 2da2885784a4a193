//! The same work for many inputs, on all cores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use indicatif::ProgressBar;

/// Outcomes for each thread that may wait for an earlier one.
const AHEAD: usize = 64;

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
    let mut all = Vec::with_capacity(inputs.len());
    for_each_outcome(inputs, threads, interrupted, progress, work, |outcome| {
        all.push(outcome);
        Ok(())
    })?;
    Ok(all)
}

/// As [`fan_out`], but each outcome is taken as soon as those before it are: no more than a few wait.
///
/// # Errors
/// The first failure of the work or of the taking; outcomes of inputs before it are taken.
pub fn for_each_outcome<I: Sync, T: Send>(
    inputs: &[I],
    threads: usize,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
    work: impl Fn(usize, &I) -> Result<T> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let threads = threads.clamp(1, inputs.len().max(1));
    let queue = Queue { ahead: AHEAD * threads, state: Mutex::default(), changed: Condvar::new() };
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads);
        for _ in 0..threads {
            let (sender, queue, work) = (sender.clone(), &queue, &work);
            scope.spawn(move || run(inputs, queue, interrupted, progress, work, &sender));
        }
        drop(sender);
        let taken = take_in_order(&receiver, &queue, &mut take);
        queue.end();
        // Dropping the receiver wakes workers that wait to send.
        drop(receiver);
        taken
    })
}

/// Which input is next, and how many outcomes were taken.
struct Queue {
    ahead: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    taken: usize,
    is_over: bool,
}

impl Queue {
    /// The next input's index, once not too many outcomes wait for an earlier one.
    fn next(&self) -> Option<usize> {
        let mut state = locked(&self.state);
        while !state.is_over && state.next >= state.taken + self.ahead {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.next += 1;
        (!state.is_over).then_some(state.next - 1)
    }

    fn took_one(&self) {
        locked(&self.state).taken += 1;
        self.changed.notify_all();
    }

    fn end(&self) {
        locked(&self.state).is_over = true;
        self.changed.notify_all();
    }
}

fn run<I, T>(
    inputs: &[I],
    queue: &Queue,
    interrupted: &AtomicBool,
    progress: &ProgressBar,
    work: impl Fn(usize, &I) -> Result<T>,
    sender: &SyncSender<(usize, Result<T>)>,
) {
    while !interrupted.load(Ordering::Relaxed) {
        let Some(index) = queue.next() else { return };
        let Some(input) = inputs.get(index) else { return };
        let outcome = work(index, input);
        if outcome.is_err() {
            queue.end();
        }
        if sender.send((index, outcome)).is_err() {
            return;
        }
        progress.inc(1);
    }
}

fn take_in_order<T>(
    receiver: &Receiver<(usize, Result<T>)>,
    queue: &Queue,
    take: &mut impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let (mut early, mut next, mut failure) = (BTreeMap::new(), 0, None);
    for (index, outcome) in receiver {
        match outcome {
            Ok(outcome) => {
                early.insert(index, outcome);
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
        while let Some(outcome) = early.remove(&next) {
            take(outcome)?;
            next += 1;
            queue.took_one();
        }
    }
    failure.map_or(Ok(()), Err)
}

/// A mutex whatever happened to who held it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use anyhow::bail;
    use indicatif::ProgressBar;

    use super::{AHEAD, fan_out, for_each_outcome};

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

    #[test]
    fn outcomes_are_taken_in_order_and_few_wait_for_a_slow_one() {
        let inputs: Vec<usize> = (0..1_000).collect();
        let (go, bar, begun) = (AtomicBool::new(false), ProgressBar::hidden(), AtomicUsize::new(0));
        let slow = |_: usize, &input: &usize| {
            if input == 0 {
                std::thread::sleep(Duration::from_millis(100));
                assert!(begun.load(Ordering::Relaxed) <= 4 * AHEAD);
            }
            begun.fetch_add(1, Ordering::Relaxed);
            Ok(input)
        };
        let mut taken = Vec::new();
        let all = for_each_outcome(&inputs, 4, &go, &bar, slow, |one| {
            taken.push(one);
            Ok(())
        });
        assert!(all.is_ok() && taken == inputs);
        let quick = |_: usize, &input: &usize| Ok(input);
        let refused = for_each_outcome(&inputs, 4, &go, &bar, quick, |one| match one {
            20 => bail!("no room for {one}"),
            _ => Ok(()),
        });
        assert_eq!(refused.unwrap_err().to_string(), "no room for 20");
    }
}
