//! Defines the `facefold` command: reads the arguments, runs one command, gives the exit code.

mod arguments;
mod commands;
mod config;
mod containers;
mod outcome;
mod output;
mod progress;

use std::process::ExitCode;

use facefold_core::files;
use tracing_subscriber::EnvFilter;

use crate::outcome::{Outcome, Usage};
use crate::output::Output;

fn main() -> ExitCode {
    let ran = config::arguments().and_then(|arguments| {
        listen_to_libraries(arguments.verbose);
        commands::run(arguments.command, Output::new(arguments.json))
    });
    match ran {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Rejected) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            output::note(&format!("error: {}", files::in_words(&with_causes(&error))));
            let wrong_usage = error.downcast_ref::<Usage>().is_some()
                || matches!(error.downcast_ref(), Some(facefold::Error::Options(_)));
            ExitCode::from(if wrong_usage { 2 } else { 1 })
        }
    }
}

/// An error and its causes, without those that are already said.
fn with_causes(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

fn listen_to_libraries(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("FACEFOLD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}
