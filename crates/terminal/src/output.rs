//! What goes to stdout: answers for a person, or one JSON document; and notes on stderr. No control
//! character that a file's name may hold reaches the terminal, and none begins a line of a note.

use std::borrow::Cow;
use std::io::{self, Result, Write};

use console::Term;
use facefold_core::text::{printable, printable_lines, wrapped};
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
        if self.json { document(answer) } else { line(text().trim_end()) }
    }

    /// Prints a line for a person; nothing where JSON was asked for.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn say(self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { line(text) }
    }
}

/// Writes a line, or several, to stdout. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// If stdout cannot be written.
pub fn line(text: &str) -> Result<()> {
    write(&fitted(text, &Term::stdout()))
}

/// A text as a terminal shows it: its lines broken between words, not at the edge.
fn fitted(text: &str, to: &Term) -> String {
    let text = printable_lines(text);
    match to.size_checked() {
        Some((_, width)) => wrapped(&text, usize::from(width)),
        None => text.into_owned(),
    }
}

/// Writes a script of our own to stdout, tabs and all.
///
/// # Errors
/// If stdout cannot be written.
pub fn script(text: &str) -> Result<()> {
    write(text.trim_end())
}

/// Writes one JSON document to stdout, for people to read too.
///
/// # Errors
/// If stdout cannot be written.
pub fn document<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    write(&without_controls(&serde_json::to_string_pretty(value)?))
}

/// Writes one JSON document to stdout, on one line.
///
/// # Errors
/// If stdout cannot be written.
pub fn document_line<T: Serialize>(value: &T) -> Result<()> {
    write(&without_controls(&serde_json::to_string(value)?))
}

/// JSON with the characters escaped that it need not escape: the control characters U+007F to U+009F,
/// and the separators of lines and paragraphs. They stand in strings only.
fn without_controls(json: &str) -> Cow<'_, str> {
    let is_left = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    if !json.contains(is_left) {
        return Cow::Borrowed(json);
    }
    let escaped = |c: char| format!("\\u{:04x}", u32::from(c));
    let piece = |c: char| if is_left(c) { escaped(c) } else { c.to_string() };
    Cow::Owned(json.chars().map(piece).collect())
}

fn write(text: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes one line to stderr, above a progress bar if there is one: a line feed in it is a name's,
/// and escaped as other control characters are.
pub fn note(text: &str) {
    say_aside(&printable(text));
}

/// Writes why a command failed to stderr: `error: ` and the reason. Where that has several lines,
/// those after the first are indented, so that no name in it makes a line of its own `error: `.
pub fn failure(reason: &str) {
    say_aside(&failure_lines(reason));
}

fn failure_lines(reason: &str) -> String {
    format!("error: {}", reason.trim_end().replace('\n', "\n  "))
}

fn say_aside(text: &str) {
    // Nothing can be done about a stderr that cannot be written.
    let _ = writeln!(io::stderr().lock(), "{}", fitted(text, &Term::stderr()));
}

#[cfg(test)]
mod tests {
    use super::{failure_lines, without_controls};

    #[test]
    fn json_without_controls_is_the_same_document() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}31m\nö\u{a0}\u{2028}";
        let json = serde_json::to_string(text).unwrap();
        let safe = without_controls(&json);
        assert!(!safe.chars().any(char::is_control), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        assert!(safe.contains("\\u007f\\u009b31m") && safe.ends_with("\\u2028\""), "{safe}");
    }

    #[test]
    fn no_name_in_a_reason_begins_a_line() {
        let said = failure_lines("cannot read `a\nerror: all is lost`:\n  1 | x\n");
        assert_eq!(said, "error: cannot read `a\n  error: all is lost`:\n    1 | x");
    }
}
