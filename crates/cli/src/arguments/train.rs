//! Options of `train`.

use std::path::PathBuf;

use clap::Args;
use facefold_heads::WeightFormat;

use super::learning::LearningArguments;
use super::threshold::ThresholdArguments;
use super::values::{known_heads, local_path, one_of};

/// Options of `train`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/train.txt"))]
pub struct TrainArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    #[command(flatten)]
    pub thresholds: ThresholdArguments,
    /// The head: any of those that `cv` compares.
    #[arg(long, default_value = "mlp", value_parser = known_heads(), hide_possible_values = true)]
    pub head: String,
    /// Also write TensorBoard event files here: learning curves and metrics, a run for each head and fit.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// The bundle to write.
    #[arg(long, value_parser = local_path())]
    pub out: PathBuf,
    /// How the bundle stores the heads' matrices: f32 (what was trained, to the bit) or f16 (half of it; moves
    /// predictions by less than 0.001 (probability) or 0.05 years). `trees` and, with a Gaussian or polynomial
    /// kernel, `svm` stay f32.
    #[arg(long, default_value_t, value_parser = one_of::<WeightFormat>(["f32", "f16"]), hide_possible_values = true)]
    pub weights: WeightFormat,
}
