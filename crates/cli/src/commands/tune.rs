//! `facefold tune`: like `cv`, with a search for the settings of heads.

use anyhow::Result;
use facefold_evaluate::{InnerValidation, Search, cross_validate_with};

use super::Usage;
use super::evaluation::{Evaluation, evaluate};
use crate::arguments::TuneArguments;
use crate::output::Output;
use crate::settings::Settings;
use crate::trials::{Space, Trials, head_with};
use crate::{Outcome, interrupt};

/// Runs `tune`.
///
/// # Errors
/// If a setting cannot be searched, or as `cv`; finished trials and fits are kept.
pub fn run(arguments: &TuneArguments, output: Output) -> Result<Outcome> {
    let interrupted = interrupt::listen()?;
    let evaluation = &arguments.evaluation;
    let settings = Settings::check(&evaluation.learning)?;
    let inner = match arguments.inner_folds {
        None => InnerValidation::HoldOut,
        Some(folds) if folds >= 2 => InnerValidation::Folds(folds),
        Some(folds) => {
            return Err(Usage::error(format!("--inner-folds must be at least 2, found {folds}")));
        }
    };
    if arguments.halving == 0 {
        return Err(Usage::error("--halving must be at least 1, found 0"));
    }
    let space = Space {
        given: &arguments.grid,
        named: &arguments.space,
        random: arguments.random,
        seed: evaluation.learning.seed,
    };
    let trials = space.of_heads(&arguments.head, &settings.heads)?;
    let given = Evaluation {
        settings: &settings,
        heads: &arguments.head,
        warnings: &[],
        interrupted: &interrupted,
    };
    let report = evaluate(evaluation, &given, |plan, run| {
        let (mut heads, mut results) = (Vec::new(), Vec::new());
        for Trials { head, configurations, budget } in &trials {
            let found = facefold_evaluate::search(
                plan,
                &Search {
                    head: head.clone(),
                    name: format!("{head}-tuned"),
                    configurations: configurations.clone(),
                    budget: *budget,
                    make: &|configuration, share| {
                        head_with(head, &settings.heads, configuration, share)
                    },
                    halving: arguments.halving,
                    inner,
                },
                run,
            )?;
            heads.push(found.head);
            results.push(found.result);
        }
        Ok((cross_validate_with(plan, &heads, run)?, results))
    })?;
    let Some(report) = report else { return Ok(Outcome::Interrupted) };
    output.answer(&report, || {
        let path = evaluation.out.join("report.md");
        format!("{}\n{}", facefold_report::terminal(&report), path.display())
    })?;
    Ok(Outcome::Done)
}
