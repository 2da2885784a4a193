//! Progress on a terminal: bars with rate and remaining time, and notes above them; elsewhere notes
//! alone. Ctrl-C asks the work to stop; a second one ends the program at once.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use facefold::{Pace, Progress, Stage, Step};
use facefold_core::text::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::note;

/// Shows the library's progress.
#[derive(Default)]
pub struct Terminal {
    interrupted: Arc<AtomicBool>,
    bar: Mutex<Option<(Stage, ProgressBar, Pace)>>,
}

impl Terminal {
    /// One that listens for Ctrl-C and SIGTERM from now on.
    ///
    /// # Errors
    /// As [`Self::listen`].
    pub fn listening() -> io::Result<Self> {
        let terminal = Self::default();
        terminal.listen()?;
        Ok(terminal)
    }

    /// Listens for Ctrl-C and SIGTERM from now on.
    ///
    /// # Errors
    /// If a listener is installed already.
    pub fn listen(&self) -> io::Result<()> {
        let flag = Arc::clone(&self.interrupted);
        on_interrupt("what is done is kept", move || flag.store(true, Ordering::SeqCst))
    }

    /// Does something that writes to the terminal, while no bar is shown.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        match &*self.bar() {
            Some((_, bar, _)) => bar.suspend(work),
            None => work(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some((_, bar, _)) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<(Stage, ProgressBar, Pace)>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Terminal {
    fn step(&self, step: Step<'_>) {
        let mut shown = self.bar();
        if shown.as_ref().is_none_or(|(stage, ..)| *stage != step.stage) {
            if let Some((_, bar, _)) = shown.take() {
                bar.finish_and_clear();
            }
            *shown = Some((step.stage, bar(step.stage), Pace::default()));
        }
        if let Some((_, bar, pace)) = &mut *shown {
            bar.set_length(step.total.unwrap_or(step.done));
            bar.set_position(step.done);
            bar.set_message(format!("{} {}", pace.after(step), printable(step.item)));
        }
        if step.total == Some(step.done)
            && let Some((_, bar, _)) = shown.take()
        {
            bar.finish_and_clear();
        }
    }

    fn note(&self, message: &str) {
        self.suspend(|| note(message));
    }

    fn is_cancelled(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Does something at the first Ctrl-C or SIGTERM, and says what becomes of the work; the second ends the program.
///
/// # Errors
/// If a listener is installed already.
pub fn on_interrupt(becomes: &'static str, act: impl Fn() + Send + 'static) -> io::Result<()> {
    let asked = AtomicBool::new(false);
    let listen = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note(&format!("stopping; {becomes} (press Ctrl-C again to stop at once)"));
        act();
    });
    listen.map_err(io::Error::other)
}

fn bar(stage: Stage) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    };
    let template = match stage {
        Stage::Fetching => {
            "{prefix:>12} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
        }
        Stage::Frames => "{prefix:>12} {human_pos} {wide_msg}",
        _ => "{prefix:>12} [{bar:24}] {human_pos}/{human_len} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), target).with_style(style).with_prefix(stage.as_str())
}
