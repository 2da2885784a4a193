//! What goes to stdout: answers for a person, or one JSON document.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON if asked for, else text.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer: as JSON if that was asked for, else as the text that `text` makes.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn answer<T: Serialize>(self, answer: &T, text: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            line(&serde_json::to_string_pretty(answer)?)
        } else {
            line(text().trim_end())
        }
    }

    /// Prints a line for a person; nothing where JSON was asked for.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn say(self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { line(text) }
    }
}

/// Writes a line to stdout. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// If stdout cannot be written.
pub fn line(text: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Writes a line to stderr, above a progress bar if there is one.
pub fn note(text: &str) {
    // Nothing can be done about a stderr that cannot be written.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
