//! Options of `demo`.

use std::path::PathBuf;

use clap::Args;

use super::network::known_models;
use super::values::{MOST_THREADS, local_path, whole};

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/demo.txt"))]
pub struct DemoArguments {
    /// Where pictures, store and report go.
    #[arg(long, value_parser = local_path(), default_value = "results/demo")]
    pub out: PathBuf,
    /// Number of pictures to draw.
    #[arg(long, default_value_t = 600)]
    pub pictures: usize,
    /// Number of subjects to draw.
    #[arg(long, default_value_t = 60)]
    pub subjects: usize,
    /// Model pack; by default `buffalo_s`, or `untrained` if it cannot be had.
    #[arg(long, value_parser = known_models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Seed of the drawing, the folds' inner validation and the heads.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Never use the network.
    #[arg(long)]
    pub offline: bool,
}
