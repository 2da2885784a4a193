//! Defines the `facefold` command: reads the arguments, runs one command, gives the exit code.

mod arguments;
mod columns;
mod commands;
mod containers;
mod output;
mod progress;
mod provenance;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::output::Output;

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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    listen_to_libraries(arguments.verbose);
    let output = Output::new(arguments.json);
    match commands::run(arguments.command, output) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Rejected) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            let wrong_usage = error.downcast_ref::<commands::Usage>().is_some()
                || matches!(error.downcast_ref(), Some(facefold::Error::Options(_)));
            ExitCode::from(if wrong_usage { 2 } else { 1 })
        }
    }
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
