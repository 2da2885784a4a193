//! Options of `compare`.

use std::path::PathBuf;

use clap::Args;

/// Options of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "Example: facefold compare results/embedding results/taps")]
pub struct CompareArguments {
    /// Directories that `cv` wrote.
    #[arg(required = true, num_args = 1..)]
    pub results: Vec<PathBuf>,
    /// Seed of the permutation test and the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}
