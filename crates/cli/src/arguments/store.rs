//! What `store` can do.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

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
    /// Check every checksum of a store.
    Verify {
        /// The store's directory.
        dir: PathBuf,
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
        /// File format.
        #[arg(long, value_enum)]
        format: ExportFormatName,
        /// Directory to write.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Formats of `store export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormatName {
    /// embeddings.npy and index.csv.
    Npy,
    /// embeddings.parquet.
    Parquet,
    /// embeddings.csv.
    Csv,
}
