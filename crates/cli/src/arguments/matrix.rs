//! Options of `matrix`.

use std::path::PathBuf;

use clap::Args;

use super::learning::LearningArguments;
use super::values::known_heads;

/// Options of `matrix`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/matrix.txt"))]
pub struct MatrixArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// Heads, each with a matrix of its own; several with commas. Any of those that `cv` compares.
    #[arg(long, value_delimiter = ',', default_value = "mlp", value_parser = known_heads(), hide_possible_values = true)]
    pub head: Vec<String>,
    /// Number of seeds, from 1 to 1000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Directory of the report (report.md, report.json); a report that lies there is replaced once this one is
    /// finished.
    #[arg(long)]
    pub out: PathBuf,
}
