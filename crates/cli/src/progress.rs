//! Progress bars with rate and remaining time on a terminal; silence elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `length` items of work.
#[must_use]
pub fn bar(length: u64, what: &'static str) -> ProgressBar {
    styled(
        length,
        what,
        "{prefix:>12} [{bar:32}] {human_pos}/{human_len} {per_sec} {eta} left {msg}",
    )
}

/// A bar over `length` bytes.
#[must_use]
pub fn bytes(length: u64, what: &'static str) -> ProgressBar {
    styled(length, what, "{prefix:>12} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
}

/// A count of work whose end is not known.
#[must_use]
pub fn counter(what: &'static str) -> ProgressBar {
    styled(0, what, "{prefix:>12} {human_pos} {per_sec}")
}

fn styled(length: u64, what: &'static str, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(5)
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(length), target).with_style(style).with_prefix(what)
}
