//! Decisions at age thresholds: the options of the commands that choose limits for them.

use anyhow::Result;
use clap::Args;
use facefold_core::{ErrorBound, Task};

use crate::outcome::usage;

/// At which ages to decide, and how often that may go wrong.
#[derive(Debug, Args, Clone, Default)]
pub struct ThresholdArguments {
    /// Decide whether people are this old, by their predicted age (task `age`; repeat for more):
    /// from which challenge age on does who looks that old pass, and at what cost?
    #[arg(long = "threshold", value_name = "AGE", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub thresholds: Vec<u32>,
    /// Largest share of people below a threshold that may pass as older, and of people above it
    /// that may be called younger: 1%, or 0.01. Challenge ages are chosen by validation rows to keep
    /// it.
    #[arg(long, value_name = "SHARE", default_value_t)]
    pub max_false_adult: ErrorBound,
}

impl ThresholdArguments {
    /// The thresholds, ascending and each once.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] where the tasks lack `age`, by which is decided.
    pub fn ages(&self, tasks: &[Task]) -> Result<Vec<u32>> {
        let mut ages = self.thresholds.clone();
        ages.sort_unstable();
        ages.dedup();
        if let Some(age) = ages.first()
            && !tasks.contains(&Task::Age)
        {
            let found: Vec<&str> = tasks.iter().map(|task| task.as_str()).collect();
            return Err(usage(format!(
                "--threshold {age}: expected the task `age` in --task, found {}; add it",
                found.join(", ")
            )));
        }
        Ok(ages)
    }
}
