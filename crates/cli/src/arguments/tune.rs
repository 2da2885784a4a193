//! Options of `tune`.

use clap::Args;
use facefold_heads::spaces;

use super::evaluation::EvaluationArguments;
use super::values::{known, known_heads};

/// Options of `tune`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/tune.txt"))]
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
