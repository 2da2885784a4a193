//! Options of `heads`.

use clap::Args;

use super::values::known_heads;

/// Options of `heads`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  facefold heads             the heads, and every setting
  facefold heads svm         the settings of svm

cv, tune, matrix and train take a setting as --set svm.c=0.1,1,10, tune also several values to try as
--grid svm.c=1,10. docs/heads.md says more.")]
pub struct HeadsArguments {
    /// Show the settings of this head only.
    #[arg(value_parser = known_heads(), hide_possible_values = true)]
    pub name: Option<String>,
}
