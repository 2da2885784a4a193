//! What `models` can do.

use std::path::PathBuf;

use clap::Subcommand;

use super::network::known_models;

/// What to do with weights.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the model packs, their files and whether they are here.
    List,
    /// Fetch a model pack.
    #[command(after_help = include_str!("../../help/models-fetch.txt"))]
    Fetch {
        /// Name of the pack.
        #[arg(default_value = "buffalo_s", value_parser = known_models(), hide_possible_values = true)]
        name: String,
        /// Take the files from here instead of the network.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Hash the files that are here, and say which kernels would run them.
    Verify,
}
