//! The same work for many items on several threads, with progress and cancellation.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use facefold_core::workers::threads;

use facefold_core::workers::Workers;

use crate::progress::{Progress, Stage, Step};

/// Work for many items.
#[derive(Clone, Copy)]
pub struct Parallel<'a> {
    /// Threads; at least one is taken.
    pub threads: usize,
    /// What the work is, for the progress.
    pub stage: Stage,
    /// Hears of every item, and may stop the work before the next one.
    pub progress: &'a dyn Progress,
}

impl Parallel<'_> {
    /// As [`Workers::map`].
    ///
    /// # Errors
    /// The first failure; work that was not begun then is left.
    pub fn map<I: Sync, T: Send, E: Send>(
        &self,
        items: &[I],
        work: impl Fn(usize, &I) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        self.with_workers(items.len(), |workers| workers.map(items, work))
    }

    /// As [`Workers::for_each`].
    ///
    /// # Errors
    /// The first failure of `work` or of `take`; outcomes of items before it are taken.
    pub fn for_each<I: Sync, T: Send, E: Send>(
        &self,
        items: &[I],
        work: impl Fn(usize, &I) -> Result<T, E> + Sync,
        take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        self.with_workers(items.len(), |workers| workers.for_each(items, work, take))
    }

    fn with_workers<R>(&self, items: usize, run: impl FnOnce(Workers<'_>) -> R) -> R {
        let (stage, total) = (self.stage, Some(items as u64));
        run(Workers {
            threads: self.threads,
            is_cancelled: &|| self.progress.is_cancelled(),
            progress: &|done| {
                self.progress.step(Step::new(stage, done as u64, total));
            },
        })
    }
}

/// A mutex, also where a thread panicked that held it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
