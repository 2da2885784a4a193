//! How a command ends: done, stopped, or asked wrongly.

use std::fmt;

/// How a command ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// Done, but inputs were rejected and `--strict` was given.
    Rejected,
    /// The user asked to stop; what was done is kept.
    Interrupted,
}

/// Wrong usage that clap cannot see: exit code 2.
#[derive(Debug)]
pub struct Usage(String);

impl Usage {
    /// Wrong usage, from the words of whoever parsed it.
    pub fn error(error: impl fmt::Display) -> anyhow::Error {
        Self(error.to_string()).into()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
