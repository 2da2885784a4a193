//! `facefold data`: check label files, draw faces.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use facefold_core::files::write_atomic;
use facefold_datasets::check::{CheckOptions, check};
use facefold_datasets::synthetic::{self, SyntheticError, SyntheticOptions, SyntheticSummary};

use super::extract::load_source;
use crate::arguments::{DataCommand, SourceArguments};
use crate::interrupt::Interrupted;
use crate::output::{self, Output};
use crate::{Outcome, interrupt, progress};

/// Runs `data`.
///
/// # Errors
/// If label files cannot be read, a subject stands in two folds, or a picture cannot be drawn.
pub fn run(command: DataCommand, output: Output) -> Result<Outcome> {
    match command {
        DataCommand::Check { source, images, plot } => {
            check_source(&source, images, plot.as_deref(), output)
        }
        DataCommand::Draw { out, subjects, pictures, seed } => {
            let options =
                SyntheticOptions { subjects, pictures, seed, ..SyntheticOptions::default() };
            let summary = draw(&out, &options, &interrupt::listen()?)?;
            let Some(summary) = summary else { return Ok(Outcome::Interrupted) };
            output.answer(&summary, || {
                format!(
                    "{} pictures of {} subjects who do not exist, in Adience's layout, in {}",
                    summary.pictures,
                    summary.subjects,
                    summary.root.display()
                )
            })?;
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
    let dataset = load_source(source)?;
    let found = check(&dataset, &CheckOptions { images, ..CheckOptions::default() });
    if let Some(path) = plot {
        write_atomic(path, found.plot()?.as_bytes())?;
        output::note(&format!("drew the distributions in {}", path.display()));
    }
    output.answer(&found, || found.to_string())?;
    let errors = found.errors();
    if errors.is_empty() { Ok(Outcome::Done) } else { bail!("{}", errors.join("; ")) }
}

/// Draws a set, or goes on with one; none if the user stopped it.
///
/// # Errors
/// As [`synthetic::generate`].
pub fn draw(
    out: &Path,
    options: &SyntheticOptions,
    interrupted: &Interrupted,
) -> Result<Option<SyntheticSummary>> {
    let bar = progress::bar(options.pictures as u64, "drawing");
    let drawn = synthetic::generate(out, options, &|done, _| {
        bar.set_position(done as u64);
        if interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    bar.finish_and_clear();
    match drawn {
        Ok(summary) => Ok(Some(summary)),
        Err(SyntheticError::Interrupted { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
