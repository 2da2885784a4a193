//! Options of `export`.

use std::path::PathBuf;

use clap::Args;
use facefold_predict::export::WeightStorage;

use super::values::{known_tasks, local_path, one_of};

/// Options of `export`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/export.txt"))]
pub struct ExportArguments {
    /// Trained bundle.
    pub bundle: PathBuf,
    /// The ONNX file to write.
    #[arg(long, value_parser = local_path(), value_name = "FILE")]
    pub out: PathBuf,
    /// Tasks of the bundle: gender, age-group, age, class; several with commas. Default: all.
    #[arg(long, value_delimiter = ',', value_parser = known_tasks(&[]), hide_possible_values = true)]
    pub task: Vec<String>,
    /// Put the embedding network before the heads, so that the file takes crops.
    #[arg(long)]
    pub with_backbone: bool,
    /// How the weights of convolutions and fully connected layers are stored: f32, f16 (half the size) or int8 (8-bit
    /// integers and a scale for each output channel); all is computed in f32.
    #[arg(long, default_value = "f32", value_parser = one_of::<WeightStorage>(["f32", "f16", "int8"]), hide_possible_values = true)]
    pub weights: WeightStorage,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}
