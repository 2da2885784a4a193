//! `facefold train`: a head trained on the rows of one or several stores becomes a bundle.

use anyhow::Result;
use facefold::{TrainOptions, train};
use facefold_core::files::RUN_FILE;
use facefold_terminal::{Output, Terminal};
use serde_json::json;

use crate::arguments::TrainArguments;
use crate::config;
use crate::outcome::Outcome;

/// Runs `train`.
///
/// # Errors
/// If the store cannot be read or a head cannot be fitted.
pub fn run(arguments: &TrainArguments, output: Output) -> Result<Outcome> {
    let learning = arguments.learning.options()?;
    let options = TrainOptions {
        head: arguments.head.clone(),
        thresholds: arguments.thresholds.ages(&learning.tasks)?,
        max_false_adult: arguments.thresholds.max_false_adult,
        weights: arguments.weights,
        tensorboard: arguments.tensorboard.clone(),
        origin: config::origin(),
        learning,
    };
    let bundle = train(&options, &Terminal::default())?;
    bundle.save(&arguments.out)?;
    if let Some(file) = &options.origin.run_file {
        file.write(&arguments.out.with_extension(RUN_FILE))?;
    }
    let answer = json!({ "bundle": arguments.out, "metrics": bundle.metrics });
    output.answer(&answer, || {
        let measured = facefold::training_summary(&bundle);
        format!("{measured}\n{}\n{}", bundle.licence, arguments.out.display())
    })?;
    Ok(Outcome::Done)
}
