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

/// Wrong usage that clap cannot see, in the words of the error: exit code 2.
pub fn usage(error: impl fmt::Display) -> anyhow::Error {
    facefold::Error::options(error).into()
}
