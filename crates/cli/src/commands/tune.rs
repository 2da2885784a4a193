//! `facefold tune`: like `cv`, with a search for the settings of heads.

use anyhow::Result;
use facefold::{EvaluationOptions, TuneOptions, tune_stores};
use facefold_evaluate::InnerValidation;
use facefold_terminal::{Output, Terminal};

use super::cv;
use crate::arguments::TuneArguments;
use crate::outcome::Outcome;

/// Runs `tune`.
///
/// # Errors
/// If a setting cannot be searched, or as `cv`; finished trials and fits are kept.
pub fn run(arguments: &TuneArguments, output: Output) -> Result<Outcome> {
    let progress = Terminal::listening()?;
    let options =
        EvaluationOptions { heads: arguments.head.clone(), ..arguments.evaluation.options()? };
    let tuning = TuneOptions {
        grid: arguments.grid.clone(),
        space: arguments.space.clone(),
        random: arguments.random,
        halving: arguments.halving,
        inner: arguments.inner_folds.map_or(InnerValidation::HoldOut, InnerValidation::Folds),
    };
    let report = tune_stores(&options, &tuning, &progress)?;
    progress.finish();
    cv::show(report, &options.out, output)
}
