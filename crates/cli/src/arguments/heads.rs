//! Options of `heads`.

use clap::Args;

use super::values::known_heads;

/// Options of `heads`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/heads.txt"))]
pub struct HeadsArguments {
    /// Show the settings of this head only.
    #[arg(value_parser = known_heads(), hide_possible_values = true)]
    pub name: Option<String>,
}
