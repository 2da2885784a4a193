//! Options of `tune`.

use clap::Args;
use facefold_heads::spaces;

use super::evaluation::EvaluationArguments;
use super::values::{known, known_heads};

/// Options of `tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
For every division the search sees training and validation rows only; the head with the settings
chosen meets the test rows once, as `mlp-tuned`, next to `mlp` with the settings as given. Everything
tried stands in the report. By successive halving all configurations begin with few epochs (heads
without epochs: few training subjects), and the best go on with more. The same command resumes.

Examples:
  facefold tune --store stores/utkface --task age --head mlp --out results/age-tuned
  facefold tune --store stores/utkface --task gender --head mlp,svm \\
      --grid mlp.dropout=0.2,0.4 --grid 'mlp.hidden_layer_sizes=[256,256],[512]' --out results/gender-tuned
  facefold tune --store stores/utkface --task gender --head svm --random 20 \\
      --range svm.c=0.1..100:log --range svm.gamma=0.05..4:log --out results/gender-svm
  facefold tune --store stores/utkface --task age --space optimisers --out results/optimisers
  facefold tune --store stores/utkface --store stores/wiki --task age --protocol leave-one-set-out \\
      --out results/age-unseen")]
pub struct TuneArguments {
    #[command(flatten)]
    pub evaluation: EvaluationArguments,
    /// Heads, each searched on its own; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "mlp", value_parser = known_heads(), hide_possible_values = true)]
    pub head: Vec<String>,
    /// Values to try for a setting: a list (lists and objects as JSON), or with --random also a
    /// range LOW..HIGH (add :log to draw factors evenly, :int for whole numbers). Repeat it for more
    /// settings; those that a head does not read do not concern it.
    #[arg(long, visible_alias = "range", value_name = "HEAD.KEY=VALUES")]
    pub grid: Vec<String>,
    /// Try so many configurations drawn at random from what --grid, --range or --space give,
    /// instead of all combinations.
    #[arg(long, value_name = "N")]
    pub random: Option<usize>,
    /// What to try where no --grid is given: small (every head), optimisers (perceptrons: `AdamW`,
    /// Adam, SGD, an L1 penalty), wide (perceptrons and svm; needs --random).
    #[arg(long, default_value = spaces::DEFAULT, value_parser = known(["small", "optimisers", "wide"]), hide_possible_values = true)]
    pub space: String,
    /// One in so many configurations goes on to the next step; 1 gives all the whole budget.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub halving: usize,
    /// Score on so many folds by subject dealt from training and validation rows, instead of the
    /// validation rows alone: steadier where rows are few.
    #[arg(long, value_name = "K")]
    pub inner_folds: Option<usize>,
}
