//! Options of `train`.

use std::path::PathBuf;

use clap::Args;

use super::LearningArguments;

/// Options of `train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  facefold train --store stores/utkface --task gender,age --head mlp --out faces.facefold
  facefold train --store stores/utkface --task gender,age --head mlp-joint-ensemble --out joint.facefold
  facefold train --store stores/utkface --store stores/wiki --task gender,age --out both.facefold")]
pub struct TrainArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// The head: any of those that `cv` compares.
    #[arg(long, default_value = "mlp")]
    pub head: String,
    /// The bundle to write.
    #[arg(long)]
    pub out: PathBuf,
}
