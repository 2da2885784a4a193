//! Options of `cv`.

use std::path::PathBuf;

use clap::Args;

use super::LearningArguments;

/// Options of `cv`.
#[derive(Debug, Args)]
#[command(after_help = "\
Training, validation and test never share a subject (except under random80, which says how many
test rows do). The majority baseline is always included.

Examples:
  facefold cv --store stores/adience --task gender,age-group --head mlp,svm --out results/adience
  facefold cv --store stores/utkface --task age --head mlp --protocol random80:3 --out results/age")]
pub struct CvArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// Heads: mlp, mlp-ensemble, mlp-residual, svm, svm-linear, svm-linfa (the reference, slow),
    /// linear, majority; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "mlp,svm,linear")]
    pub head: Vec<String>,
    /// folds (published), kfold:K (by subject), split (published train/test), or random80 (a fifth
    /// of the rows at random; random80:N draws N such divisions).
    #[arg(long)]
    pub protocol: Option<String>,
    /// Number of seeds.
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// Directory of the report (report.html, report.md, report.json, plots) and of every row's predictions.
    #[arg(long)]
    pub out: PathBuf,
}
