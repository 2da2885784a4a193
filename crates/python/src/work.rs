//! Long work without the interpreter's lock, which Ctrl-C stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use facefold::{Progress, Result};
use pyo3::prelude::*;

use crate::errors::raised;

/// How long a signal may wait.
const SIGNALS: Duration = Duration::from_millis(50);

/// Listens to work for the thread that waits for it.
struct Listener<'a> {
    notes: Mutex<Sender<String>>,
    is_cancelled: &'a AtomicBool,
}

impl Progress for Listener<'_> {
    fn note(&self, message: &str) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a receiver the work is being stopped.
        let _ = notes.send(message.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// Does work on a thread of its own, while this one waits without the interpreter's lock, passes notes on to
/// the logger `facefold`, and handles signals.
///
/// # Errors
/// What the work fails with; `KeyboardInterrupt`, or what else a signal's handler or the logger raises, once
/// the work has stopped.
pub fn run<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&dyn Progress) -> Result<T> + Send,
) -> PyResult<T> {
    let cancelled = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let is_cancelled = &cancelled;
        let worker =
            scope.spawn(move || work(&Listener { notes: Mutex::new(sender), is_cancelled }));
        let mut failure = None;
        loop {
            let heard = match py.detach(|| next(&receiver)) {
                Ok(note) => log(py, &note),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                // The work has ended.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = heard.and_then(|()| py.check_signals()) {
                cancelled.store(true, Ordering::Relaxed);
                failure.get_or_insert(error);
            }
        }
        let outcome = py.detach(|| worker.join());
        match (failure, outcome) {
            (_, Err(panic)) => std::panic::resume_unwind(panic),
            (Some(error), Ok(_)) => Err(error),
            (None, Ok(outcome)) => outcome.map_err(raised),
        }
    })
}

fn next(receiver: &Mutex<Receiver<String>>) -> Result<String, RecvTimeoutError> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SIGNALS)
}

fn log(py: Python<'_>, message: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("facefold",))?;
    // Not as the format: a message may have a per cent sign.
    logger.call_method1("info", ("%s", message))?;
    Ok(())
}
