//! Cross-validation with a search for the settings of heads.

use facefold_evaluate::{InnerValidation, Search, cross_validate_with};
use facefold_report::Report;

use super::search_space::{Space, Trials, head_with};
use super::stores::{EvaluationOptions, evaluate};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Which settings are tried, and how.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    /// Settings with the values to try, as the command line has them: `mlp.dropout=0.2,0.4`; where
    /// there are none, the named space is taken.
    pub grid: Vec<String>,
    /// Name of a space of [`facefold_heads::spaces`].
    pub space: String,
    /// Try so many configurations drawn at random instead of all combinations.
    pub random: Option<usize>,
    /// One in so many configurations goes on to the next step; 1 gives all the whole budget.
    pub halving: usize,
    /// Where the rows that decide come from.
    pub inner: InnerValidation,
}

impl Default for TuneOptions {
    /// Every head's small space, by successive halving on validation rows.
    fn default() -> Self {
        Self {
            grid: Vec::new(),
            space: facefold_heads::spaces::DEFAULT.to_owned(),
            random: None,
            halving: 3,
            inner: InnerValidation::HoldOut,
        }
    }
}

/// As [`crate::cross_validate_stores`], with the settings of each head searched for on training and
/// validation rows only. The head with the settings chosen is called `mlp-tuned` and the like.
///
/// # Errors
/// If a setting cannot be searched, or as [`crate::cross_validate_stores`]; finished trials and fits
/// are kept.
pub fn tune_stores(
    options: &EvaluationOptions,
    tuning: &TuneOptions,
    progress: &dyn Progress,
) -> Result<Option<Report>> {
    if let InnerValidation::Folds(folds @ ..=1) = tuning.inner {
        return Err(Error::options(format!("--inner-folds must be at least 2, found {folds}")));
    }
    if tuning.halving == 0 {
        return Err(Error::options("--halving must be at least 1, found 0"));
    }
    let settings = &options.learning.heads;
    let space = Space {
        given: &tuning.grid,
        named: &tuning.space,
        random: tuning.random,
        seed: options.learning.seed,
    };
    let trials = space.of_heads(&options.heads, settings)?;
    evaluate(options, progress, |plan, run| {
        let (mut heads, mut results) = (Vec::new(), Vec::new());
        let settings = &options.learning.initial.options(plan.task, settings);
        for Trials { head, configurations, budget } in &trials {
            let found = facefold_evaluate::search(
                plan,
                &Search {
                    head: head.clone(),
                    name: format!("{head}-tuned"),
                    configurations: configurations.clone(),
                    budget: *budget,
                    make: &|configuration, share| head_with(head, settings, configuration, share),
                    halving: tuning.halving,
                    inner: tuning.inner,
                },
                run,
            )?;
            heads.push(found.head);
            results.push(found.result);
        }
        Ok((cross_validate_with(plan, &heads, run)?, results))
    })
}
