//! The same work for many items, on several threads, with the results in the items' order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Outcomes for each thread that may wait for an earlier one.
const AHEAD: usize = 64;

/// The number of threads asked for; 0 means all cores.
#[must_use]
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}

/// A pool of threads that lives as long as its work.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// Threads; at least one is taken.
    pub threads: usize,
    /// Asked before every item: whether no further one is begun.
    pub is_cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Called after every item, from any thread, with the number of items that are done.
    pub progress: &'a (dyn Fn(usize) + Sync),
}

impl Workers<'static> {
    /// So many threads that nothing stops but a failure.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, is_cancelled: &|| false, progress: &|_| {} }
    }
}

impl Workers<'_> {
    /// The outcome of the work on each item, in the order of the items; fewer where it was cancelled.
    ///
    /// # Errors
    /// The first failure; work that was not begun then is left.
    pub fn map<I: Sync, T: Send, E: Send>(
        &self,
        items: &[I],
        work: impl Fn(usize, &I) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        let mut all = Vec::with_capacity(items.len());
        self.for_each(items, work, |outcome| {
            all.push(outcome);
            Ok(())
        })?;
        Ok(all)
    }

    /// As [`Self::map`], but each outcome is given to `take` as soon as those before it are: no more
    /// than a few wait.
    ///
    /// # Errors
    /// The first failure of `work` or of `take`; outcomes of items before it are taken.
    pub fn for_each<I: Sync, T: Send, E: Send>(
        &self,
        items: &[I],
        work: impl Fn(usize, &I) -> Result<T, E> + Sync,
        mut take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let threads = self.threads.clamp(1, items.len().max(1));
        let queue = Queue {
            ahead: AHEAD * threads,
            state: Mutex::default(),
            changed: Condvar::new(),
            done: AtomicUsize::new(0),
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(threads);
            for _ in 0..threads {
                let (sender, queue, work) = (sender.clone(), &queue, &work);
                scope.spawn(move || self.run(items, queue, work, &sender));
            }
            drop(sender);
            let taken = take_in_order(&receiver, &queue, &mut take);
            queue.end();
            // Dropping the receiver wakes workers that wait to send.
            drop(receiver);
            taken
        })
    }

    fn run<I, T, E>(
        &self,
        items: &[I],
        queue: &Queue,
        work: impl Fn(usize, &I) -> Result<T, E>,
        sender: &SyncSender<(usize, Result<T, E>)>,
    ) {
        while !(self.is_cancelled)() {
            let Some(index) = queue.next() else { return };
            let Some(item) = items.get(index) else { return };
            let outcome = work(index, item);
            if outcome.is_err() {
                queue.end();
            }
            if sender.send((index, outcome)).is_err() {
                return;
            }
            (self.progress)(queue.done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    }
}

/// Which input is next, and how many outcomes were taken.
struct Queue {
    ahead: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Items whose work is done.
    done: AtomicUsize,
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

fn take_in_order<T, E>(
    receiver: &Receiver<(usize, Result<T, E>)>,
    queue: &Queue,
    take: &mut impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{AHEAD, Workers};

    #[test]
    fn outcomes_keep_their_order_and_a_failure_ends_it() {
        let items: Vec<usize> = (0..200).collect();
        let doubled = Workers::new(4).map(&items, |index, item| Ok::<_, String>(index + item));
        assert_eq!(doubled.unwrap(), items.iter().map(|n| 2 * n).collect::<Vec<_>>());
        let failed = Workers::new(4)
            .map(&items, |_, &item| if item == 50 { Err(format!("no {item}")) } else { Ok(()) });
        assert_eq!(failed.unwrap_err(), "no 50");
        let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        let workers = Workers {
            threads: 1,
            is_cancelled: &|| stop.load(Ordering::Relaxed),
            progress: &|count| done.store(count, Ordering::Relaxed),
        };
        let some = workers.map(&items, |_, &item| {
            stop.store(item == 9, Ordering::Relaxed);
            Ok::<_, String>(item)
        });
        assert_eq!((some.unwrap().len(), done.into_inner()), (10, 10));
    }

    #[test]
    fn outcomes_are_taken_in_order_and_few_wait_for_a_slow_one() {
        let items: Vec<usize> = (0..1_000).collect();
        let begun = AtomicUsize::new(0);
        let slow = |_: usize, &item: &usize| {
            if item == 0 {
                std::thread::sleep(Duration::from_millis(100));
                assert!(begun.load(Ordering::Relaxed) <= 4 * AHEAD);
            }
            begun.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(item)
        };
        let mut taken = Vec::new();
        let all = Workers::new(4).for_each(&items, slow, |one| {
            taken.push(one);
            Ok(())
        });
        assert!(all.is_ok() && taken == items);
        let quick = |_: usize, &item: &usize| Ok(item);
        let refused = Workers::new(4).for_each(&items, quick, |one| match one {
            20 => Err(format!("no room for {one}")),
            _ => Ok(()),
        });
        assert_eq!(refused.unwrap_err(), "no room for 20");
    }
}
