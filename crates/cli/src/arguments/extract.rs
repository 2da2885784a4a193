//! Options of `extract`.

use std::path::PathBuf;

use clap::Args;

use super::{NetworkArguments, SourceArguments};
use crate::containers::BackendArguments;

/// Options of `extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every picture ends embedded or rejected with a reason; both are kept, so that the same command
goes on where it was cut off and never does a picture twice.

Examples:
  facefold extract adience data/adience --store stores/adience
  facefold extract utkface data/utkface --store stores/utkface --taps
  facefold extract folder data/crops --store stores/crops --aligned
  facefold extract utkface data/utkface --store stores/container --backend insightface \\
      --url http://127.0.0.1:18081 --url http://127.0.0.1:18082")]
// Switches of a command line are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub struct ExtractArguments {
    #[command(flatten)]
    pub source: SourceArguments,
    /// Directory of the store; made if it is not there.
    #[arg(long)]
    pub store: PathBuf,
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub backend: BackendArguments,
    /// Keep pooled intermediate maps beside the embedding, of the crop and of its mirror image.
    #[arg(long)]
    pub taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    #[arg(long)]
    pub aligned: bool,
    /// Try rejected pictures again.
    #[arg(long)]
    pub retry_rejected: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
}
