//! Inputs that could not be opened: the others are answered, and the command ends as failed.

use anyhow::{Result, bail};
use facefold_core::{RejectReason, Rejection};

use crate::output;

/// How many are named.
const SHOWN: usize = 20;

/// The inputs that could not be opened so far.
#[derive(Debug, Default)]
pub struct Unreadable {
    named: Vec<String>,
    count: usize,
}

impl Unreadable {
    /// Takes note of an input that was rejected because it could not be opened or read.
    pub fn see(&mut self, name: &str, rejection: &Rejection) {
        if rejection.reason != RejectReason::Unreadable {
            return;
        }
        self.count += 1;
        if self.count <= SHOWN {
            self.named.push(format!("cannot read `{name}`: {}", rejection.detail));
        }
    }

    /// Names them on stderr.
    ///
    /// # Errors
    /// Where there are any.
    pub fn finish(self, inputs: usize) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        for line in &self.named {
            output::note(line);
        }
        if self.count > self.named.len() {
            output::note(&format!("and {} more", self.count - self.named.len()));
        }
        bail!(
            "{} of {inputs} pictures could not be read: expected files that can be opened",
            self.count
        )
    }
}
