//! Options of `extract`.

use std::path::PathBuf;

use clap::Args;
use facefold::extract::DatasetShard;

use super::backend::BackendArguments;
use super::data::SourceArguments;
use super::network::NetworkArguments;

/// More versions of one picture than anyone could want.
const MOST_VERSIONS: i64 = 100;

/// Options of `extract`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/extract.txt"))]
// Switches of a command line are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub struct ExtractArguments {
    #[command(flatten)]
    pub source: SourceArguments,
    /// Directory of the store, or its address (`s3://bucket/prefix`); made if it is not there. It belongs to one data set: another one is refused.
    #[arg(long)]
    pub store: PathBuf,
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub backend: BackendArguments,
    /// Keep pooled intermediate maps with the embedding, of the crop and of its mirror image.
    #[arg(long)]
    pub taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    #[arg(long)]
    pub aligned: bool,
    /// Embed N augmented versions of every picture too (turned, scaled, shifted, mirrored, lit
    /// otherwise, blurred), as further rows to train on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=MOST_VERSIONS))]
    pub augment: u32,
    /// Embed up to N augmented versions of pictures of rare ages too, as many as bring their age
    /// range up to the commonest one.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=MOST_VERSIONS))]
    pub oversample: u32,
    /// Extract the Ith of N parts of the data set only: N machines, or tasks of a cluster's array, each do one
    /// into a store of its own, and `facefold store merge` joins them.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<DatasetShard>,
    /// Try rejected pictures again.
    #[arg(long)]
    pub retry_rejected: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
}
