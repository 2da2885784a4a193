//! The arguments of this run, with options from a `--config` file, and where its results come from.

use std::process::exit;
use std::sync::OnceLock;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches};
use facefold::Origin;
use facefold::run_file::RunFile;
use facefold_config::ConfigError;
use facefold_terminal::note;

use crate::arguments::Arguments;
use crate::outcome::usage;

/// The commit that the binary was built from, or `unknown`.
const COMMIT: &str = env!("FACEFOLD_COMMIT");

static RUN: OnceLock<RunFile> = OnceLock::new();

/// Where the results of this run come from.
pub fn origin() -> Origin {
    let run_file = RUN.get().cloned();
    Origin {
        command: run_file.as_ref().map_or_else(String::new, RunFile::command_line),
        commit: (COMMIT != "unknown").then(|| COMMIT.to_owned()),
        run_file,
    }
}

/// The arguments, those of a `--config` among them.
///
/// # Errors
/// A file that cannot be read, or an option in it that the command does not have.
pub fn arguments() -> Result<Arguments> {
    let words = std::env::args_os().collect();
    let (matches, run) = match facefold_config::parse(&Arguments::command(), words) {
        Ok(parsed) => parsed,
        Err(ConfigError::File(error)) => return Err(error.into()),
        Err(ConfigError::Words { error, note: place }) => {
            // Nothing can be done about a stderr that cannot be written.
            let _ = error.print();
            if let Some(place) = place {
                note(&place);
            }
            exit(error.exit_code())
        }
        Err(error) => return Err(usage(error)),
    };
    if let Some(run) = run {
        let _ = RUN.set(run);
    }
    Arguments::from_arg_matches(&matches).map_err(usage)
}
