//! Options of `explain`.

use std::path::PathBuf;

use clap::Args;

use super::network::RunArguments;
use super::values::local_path;

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/explain.txt"))]
pub struct ExplainArguments {
    /// Trained bundle; several are explained side by side. Default: the embedded one.
    #[arg(long)]
    pub bundle: Vec<PathBuf>,
    /// Pictures, directories, or - for a list of paths (or one picture's bytes) on stdin.
    #[arg(required = true, num_args = 1..)]
    pub input: Vec<PathBuf>,
    /// Directory of the maps: NAME-TASK.png, and the means over all pictures and over those of
    /// each predicted class, mean-TASK.png and mean-TASK-CLASS.png.
    #[arg(long, value_parser = local_path(), value_name = "DIR")]
    pub out: PathBuf,
    /// Write only the means.
    #[arg(long)]
    pub mean_only: bool,
    /// Pictures are aligned crops already: skip detection.
    #[arg(long)]
    pub aligned: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub run: RunArguments,
}
