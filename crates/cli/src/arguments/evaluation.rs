//! How heads are tried on a store: the options that `cv` and `tune` share.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use facefold::{EvaluationOptions, columns};
use facefold_evaluate::Protocol;

use super::learning::LearningArguments;
use super::threshold::ThresholdArguments;
use super::values::{PROTOCOLS, known};
use crate::config;
use crate::outcome::usage;

/// Which rows heads are fitted and tested on, how often, and where the report goes.
#[derive(Debug, Args)]
pub struct EvaluationArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// Test on the rows of this store, having trained on all of every --store: how a head does on
    /// another data set; repeat it to test on each of several. Pictures that stand in both are left out
    /// of training, with their subjects.
    #[arg(long, value_name = "STORE", conflicts_with = "protocol")]
    pub test_store: Vec<PathBuf>,
    /// Let heads see these columns of the features only, such as 0-511,768-1023 (from 0, the last
    /// included): what does each part of them add?
    #[arg(long, value_delimiter = ',', value_name = "FIRST-LAST")]
    pub columns: Vec<String>,
    /// Neither train on mirrored crops nor average answers over them.
    #[arg(long)]
    pub without_mirrored: bool,
    /// folds (published), kfold:K (by subject), split (published train/test), leave-one-set-out (each
    /// --store tested by heads of all others), or random80 (a fifth of the rows at random; random80:N
    /// draws N such divisions). Default: folds, else split, else kfold:5; of several stores kfold:5.
    #[arg(long, value_parser = known(PROTOCOLS), hide_possible_values = true)]
    pub protocol: Option<String>,
    #[command(flatten)]
    pub thresholds: ThresholdArguments,
    /// Number of seeds, from 1 to 1000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Also write TensorBoard event files here: learning curves and metrics, a run for each head and fit.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Directory of the report (report.html, report.md, report.json, plots) and of every row's predictions;
    /// a report that lies there is replaced once this one is finished.
    #[arg(long)]
    pub out: PathBuf,
}

impl EvaluationArguments {
    /// The library's options, without heads.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] naming the option.
    pub fn options(&self) -> Result<EvaluationOptions> {
        let learning = self.learning.options()?;
        let protocol = self.protocol.as_deref().map(str::parse::<Protocol>).transpose();
        Ok(EvaluationOptions {
            test_stores: self.test_store.clone(),
            columns: columns(&self.columns)?,
            mirrored: !self.without_mirrored,
            protocol: protocol.map_err(usage)?,
            thresholds: self.thresholds.ages(&learning.tasks)?,
            max_false_adult: self.thresholds.max_false_adult,
            seeds: self.seeds,
            tensorboard: self.tensorboard.clone(),
            origin: config::origin(),
            ..EvaluationOptions::new(learning, &[], &self.out)
        })
    }
}
