//! Options of `judge`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args};
use facefold::evaluation::JudgeOptions;
use facefold::{EvaluationOptions, LearningOptions, each_once};
use facefold_core::Task;
use facefold_evaluate::Protocol;

use super::learning::LabellingArguments;
use super::threshold::ThresholdArguments;
use super::values::{MOST_THREADS, PROTOCOLS, known, known_tasks, whole};
use crate::config;
use crate::outcome::usage;

/// Options of `judge`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("truth").required(true),
    after_help = include_str!("../../help/judge.txt")
)]
pub struct JudgeArguments {
    /// The predictions: a CSV file.
    pub predictions: PathBuf,
    /// A store, whose label rows have the truth: its rows with an embedding, as in `cv`.
    #[arg(long, value_name = "DIR", group = "truth")]
    pub store: Option<PathBuf>,
    /// A list with the truth instead: the columns of `extract manifest`; no picture is opened.
    #[arg(long, value_name = "CSV", group = "truth")]
    pub labels: Option<PathBuf>,
    /// The program's name in the report. Default: the file's name.
    #[arg(long)]
    pub name: Option<String>,
    /// Tasks: gender, age-group, age, class; several with commas. Default: all that the file has.
    #[arg(long, value_delimiter = ',', value_parser = known_tasks(&[]), hide_possible_values = true)]
    pub task: Vec<String>,
    /// A result of `cv` to compare with, on the rows that both have; repeat it for several.
    #[arg(long, value_name = "RESULT")]
    pub against: Vec<PathBuf>,
    #[command(flatten)]
    pub labelling: LabellingArguments,
    /// How rows are split, as in `cv`: every row is tested once, and intervals and limits are chosen on
    /// others.
    #[arg(long, value_parser = known(PROTOCOLS), hide_possible_values = true)]
    pub protocol: Option<String>,
    #[command(flatten)]
    pub thresholds: ThresholdArguments,
    /// Seed of splits, intervals and tests.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Directory of the report and of every row's predictions, as `cv` writes them.
    #[arg(long)]
    pub out: PathBuf,
}

impl JudgeArguments {
    /// The library's options.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] naming the option.
    pub fn options(&self) -> Result<JudgeOptions> {
        let tasks: Result<Vec<Task>, _> = self.task.iter().map(|name| name.parse()).collect();
        let tasks = each_once(&tasks.map_err(usage)?);
        let protocol = self.protocol.as_deref().map(str::parse::<Protocol>).transpose();
        let learning = LearningOptions {
            stores: self.store.iter().cloned().collect(),
            seed: self.seed,
            threads: self.threads,
            ..self.labelling.options(&tasks)?
        };
        let asked = if tasks.is_empty() { &Task::ALL[..] } else { &tasks };
        let evaluation = EvaluationOptions {
            protocol: protocol.map_err(usage)?,
            thresholds: self.thresholds.ages(asked)?,
            max_false_adult: self.thresholds.max_false_adult,
            origin: config::origin(),
            ..EvaluationOptions::new(learning, &[], &self.out)
        };
        let stem = self.predictions.file_stem().unwrap_or_default().to_string_lossy();
        Ok(JudgeOptions {
            predictions: self.predictions.clone(),
            name: self.name.clone().unwrap_or_else(|| stem.into_owned()),
            labels: self.labels.clone(),
            evaluation,
        })
    }
}
