//! What `store` can do.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use facefold_store::ExportFormat;

use super::values::{local_path, one_of};

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Print what a store holds.
    Info {
        /// The store's directory.
        dir: PathBuf,
        /// List every rejected picture with its reason.
        #[arg(long)]
        rejections: bool,
    },
    /// Make a store of embeddings that another program made: CLIP, dlib, or any other network.
    #[command(after_help = include_str!("../../help/store-import.txt"))]
    Import(ImportArguments),
    /// Merge the stores of a data set's shards into one.
    #[command(after_help = include_str!("../../help/store-merge.txt"))]
    Merge {
        /// Stores of one data set and one network.
        #[arg(required = true, num_args = 1..)]
        stores: Vec<PathBuf>,
        /// Directory of the merged store; made if it is not there.
        #[arg(long)]
        out: PathBuf,
    },
    /// Check every checksum of a store.
    Verify {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Remove every trace of a person or a picture: embeddings, rejections, label rows, and the rows
    /// in reports that were made from the store on this machine.
    #[command(
        group = ArgGroup::new("what").required(true),
        after_help = include_str!("../../help/store-forget.txt")
    )]
    Forget {
        /// The store's directory.
        dir: PathBuf,
        /// All pictures of a subject, as the label rows name it.
        #[arg(long, value_name = "ID", group = "what")]
        subject: Option<String>,
        /// A picture: its path as the label rows give it, or a file with its bytes.
        #[arg(long, value_name = "PATH", group = "what")]
        image: Option<PathBuf>,
    },
    /// Say whether two stores hold the same pictures with the same bits.
    Compare {
        /// A store's directory.
        first: PathBuf,
        /// Another's.
        second: PathBuf,
    },
    /// Write the embedded rows for other programs.
    #[command(after_help = "\
Example: facefold store export stores/utkface --format npy --out exported
  gives exported/embeddings.npy and exported/index.csv, in the same order.")]
    Export {
        /// The store's directory.
        dir: PathBuf,
        /// File format: npy (embeddings.npy and index.csv), parquet or csv (embeddings.parquet or embeddings.csv).
        #[arg(long, value_parser = one_of::<ExportFormat>(["npy", "parquet", "csv"]), hide_possible_values = true)]
        format: ExportFormat,
        /// Directory to write.
        #[arg(long, value_parser = local_path())]
        out: PathBuf,
    },
}

/// What is imported.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The embeddings, a row for each picture: a matrix in .npy, an array in .npz, a column of lists or
    /// numbered columns in .parquet; float16, float32 or float64.
    pub embeddings: PathBuf,
    /// The labels: a CSV list.
    pub labels: PathBuf,
    /// Directory of the store. The same command resumes, and takes over changed labels.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// The network that made them. Stores of two networks, or of two lengths, are never joined.
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// The column (of .npz, the array) of the embeddings' file with the path of each row's picture.
    /// Default: any that has the paths of the labels; else the rows are in the order of the labels.
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,
    /// Embeddings of the mirrored pictures, trained on and averaged as those of extracted ones are.
    /// Default: `mirrored` in EMBEDDINGS, if it has that.
    #[arg(long, value_name = "FILE")]
    pub mirrored: Option<PathBuf>,
    /// Further features of each row, for --features taps or both. Default: `taps` in EMBEDDINGS.
    #[arg(long, value_name = "FILE")]
    pub taps: Option<PathBuf>,
    /// The same of the mirrored pictures. Default: `mirrored_taps` in EMBEDDINGS.
    #[arg(long, value_name = "FILE")]
    pub mirrored_taps: Option<PathBuf>,
}
