//! What `report` can do.

use std::path::PathBuf;

use clap::Subcommand;

/// What to do with a report.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Print a report's tables.
    Open {
        /// Directory that `cv` wrote.
        result: PathBuf,
    },
}
