//! The `facefold` command: reads the arguments, runs one command, gives the exit code.

mod arguments;
mod commands;
mod config;
mod containers;
mod outcome;

use std::process::ExitCode;

use facefold_core::{files, text::with_causes};
use facefold_terminal::{self as terminal, Output};

use crate::outcome::Outcome;

/// What libraries say, by the number of `-v`.
const LEVELS: [&str; 4] = ["warn", "info", "debug", "trace"];

/// The program; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let ran = config::arguments().and_then(|arguments| {
        terminal::log(LEVELS[usize::from(arguments.verbose).min(LEVELS.len() - 1)]);
        commands::run(arguments.command, Output::new(arguments.json))
    });
    match ran {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Rejected) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            terminal::failure(&files::in_words(&with_causes(error.as_ref())));
            let wrong_usage = matches!(error.downcast_ref(), Some(facefold::Error::Options(_)));
            ExitCode::from(if wrong_usage { 2 } else { 1 })
        }
    }
}
