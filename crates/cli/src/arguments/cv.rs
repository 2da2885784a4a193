//! Options of `cv`.

use clap::Args;

use super::evaluation::EvaluationArguments;
use super::values::known_heads;

/// Options of `cv`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/cv.txt"))]
pub struct CvArguments {
    #[command(flatten)]
    pub evaluation: EvaluationArguments,
    /// Heads: mlp, mlp-ensemble, mlp-multi-task (learns the tasks of --task and --auxiliary together),
    /// mlp-multi-task-ensemble, mlp-groups-from-age (age groups from years), mlp-stacked (years from groups),
    /// mlp-residual, svm, svm-linear, svm-linfa (the reference, slow), trees, knn, linear,
    /// majority; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "mlp,svm,linear", value_parser = known_heads(), hide_possible_values = true)]
    pub head: Vec<String>,
}
