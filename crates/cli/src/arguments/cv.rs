//! Options of `cv`.

use clap::Args;

use super::evaluation::EvaluationArguments;
use super::values::known_heads;

/// Options of `cv`.
#[derive(Debug, Args)]
#[command(after_help = "\
Training, validation and test never share a subject (except under random80, which says how many
test rows do). The majority baseline is always included.

Examples:
  facefold cv --store stores/adience --task gender,age-group --head mlp,svm --out results/adience
  facefold cv --store stores/utkface --task age --head mlp --protocol random80:3 --out results/age
  facefold cv --store stores/utkface --task gender,age --head mlp,mlp-multi-task --out results/multi-task
  facefold cv --store stores/utkface --task age --auxiliary race,gender --head mlp-multi-task --out results/auxiliary
  facefold cv --store stores/adience --task age-group --head mlp --init wiki.facefold --out results/tuned
  facefold cv --store stores/utkface --test-store stores/adience --task gender --out results/across
  facefold cv --store stores/utkface --store stores/fairface --task gender --protocol leave-one-set-out \\
      --out results/unseen
  facefold cv --store stores/utkface --task age --ages 21-60 --protocol random80 --out results/published
  facefold cv --store stores/utkface --task age --head mlp --columns 0-511 --without-mirrored --out results/part
  facefold cv --store stores/utkface --task age --threshold 18 --max-false-adult 1% --out results/over-18
  facefold cv --store stores/utkface --task age --head mlp --tensorboard events --out results/curves
  facefold cv --config results/age/run.toml --seed 4 --out results/seed-4     the same run with another seed")]
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
