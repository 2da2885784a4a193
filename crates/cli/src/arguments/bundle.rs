//! What `bundle` can do.

use std::path::PathBuf;

use clap::Subcommand;

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Show a bundle's card: the sets trained on with their counts, the figures, the terms, and
    /// what it must not be used for.
    #[command(after_help = include_str!("../../help/bundle-show.txt"))]
    Show {
        /// Trained bundle. Default: the embedded one.
        bundle: Option<PathBuf>,
    },
}
