//! `facefold cv`: cross-validates heads on a store and writes a report.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use facefold_report::Report;

use super::evaluation::{Evaluation, evaluate};
use crate::arguments::CvArguments;
use crate::output::Output;
use crate::settings::Settings;
use crate::{Outcome, interrupt};

/// Runs `cv`.
///
/// # Errors
/// If the store cannot be read, a subject leaks, or a head fails; finished fits are kept.
pub fn run(arguments: &CvArguments, output: Output) -> Result<Outcome> {
    let interrupted = interrupt::listen()?;
    let Some(report) = cross_validate(arguments, &[], &interrupted)? else {
        return Ok(Outcome::Interrupted);
    };
    output.answer(&report, || {
        let path = arguments.evaluation.out.join("report.md");
        format!("{}\n{}", facefold_report::terminal(&report), path.display())
    })?;
    Ok(Outcome::Done)
}

/// Cross-validates, and writes the report into the directory that the arguments name; none if the
/// user stopped it. `warnings` come first in the report.
///
/// # Errors
/// As [`run`].
pub fn cross_validate(
    arguments: &CvArguments,
    warnings: &[String],
    interrupted: &AtomicBool,
) -> Result<Option<Report>> {
    let settings = Settings::check(&arguments.evaluation.learning)?;
    let heads = &arguments.head;
    let evaluation = Evaluation { settings: &settings, heads, warnings, interrupted };
    evaluate(&arguments.evaluation, &evaluation, |plan, run| {
        Ok((facefold_evaluate::cross_validate(plan, run)?, Vec::new()))
    })
}
