//! Options of `explain`.

use std::path::PathBuf;

use clap::Args;

use super::network::RunArguments;
use super::values::local_path;

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
A patch of 24 x 24 pixels is slid over the aligned crop of 112 x 112; each time the face is embedded
anew and the heads are asked again. What the answer loses is drawn over the crop: orange where
covering takes away from the predicted class (or makes the face younger), blue where it adds to it (or
makes it older).

Examples:
  facefold explain photo.jpg --out maps                     maps/photo-gender.png, …
  facefold explain holiday/ --out maps                      also maps/mean-gender.png, …
  ls old/*.jpg | facefold explain --bundle faces.facefold --mean-only --out maps -")]
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
