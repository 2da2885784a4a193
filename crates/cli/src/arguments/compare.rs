//! Options of `compare`.

use std::path::PathBuf;

use clap::Args;
use facefold_report::TableFormat;

use super::report::table_format;

/// Options of `compare`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/compare.txt"))]
pub struct CompareArguments {
    /// Directories that `cv` or `judge` wrote.
    #[arg(required = true, num_args = 1..)]
    pub results: Vec<PathBuf>,
    /// Seed of the permutation test and the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print tables for a paper: latex (package booktabs), csv (a line a pair), or markdown.
    #[arg(long, value_name = "FORMAT", value_parser = table_format(&TableFormat::ALL[..3]), hide_possible_values = true)]
    pub format: Option<TableFormat>,
}
