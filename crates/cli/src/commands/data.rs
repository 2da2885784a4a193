//! `facefold data`: check label files, draw faces.

use std::path::Path;

use anyhow::{Result, bail};
use facefold::data::distributions;
use facefold::synthetic::{self, SyntheticOptions};
use facefold_core::files::write_atomic;
use facefold_datasets::check::{CheckOptions, check};
use facefold_terminal::{self as terminal, Output, Terminal};

use crate::arguments::{DataCommand, SourceArguments};
use crate::outcome::Outcome;

/// Runs `data`.
///
/// # Errors
/// If label files cannot be read, a subject stands in two folds, or a picture cannot be drawn.
pub fn run(command: DataCommand, output: Output) -> Result<Outcome> {
    match command {
        DataCommand::Check { source, images, plot } => {
            check_source(&source, images, plot.as_deref(), output)
        }
        DataCommand::Generate { out, subjects, pictures, seed } => {
            let options =
                SyntheticOptions { subjects, pictures, seed, ..SyntheticOptions::default() };
            let summary = synthetic::generate(&out, &options, &Terminal::listening()?)?;
            let Some(summary) = summary else { return Ok(Outcome::Interrupted) };
            output.answer(&summary, || summary.to_string())?;
            Ok(Outcome::Done)
        }
    }
}

fn check_source(
    source: &SourceArguments,
    images: bool,
    plot: Option<&Path>,
    output: Output,
) -> Result<Outcome> {
    let dataset = source.source(&())?.load(&())?;
    let found = check(&dataset, &CheckOptions { images, ..CheckOptions::default() });
    if let Some(path) = plot {
        write_atomic(path, distributions(&found).svg().as_bytes())?;
        terminal::note(&format!("drew the distributions in {}", path.display()));
    }
    output.answer(&found, || found.to_string())?;
    let errors = found.errors();
    match errors.len() {
        0 => Ok(Outcome::Done),
        _ if output.is_json() => bail!("{}", errors.join("; ")),
        count => bail!("the data set cannot be used as it is: {count} errors, named above"),
    }
}
