//! What `store` can do.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum};

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
    /// Remove every trace of a person or a picture: embeddings, rejections, label rows, and the rows
    /// in reports that were made from the store on this machine.
    #[command(
        group = ArgGroup::new("what").required(true),
        after_help = "\
Example: facefold store forget stores/utkface --subject 1234

While a run makes a report from the store, it is refused. Where it was killed, the same command finishes it.
Reports that were moved or deleted are counted and named.

Trained bundles are not searched: heads of k nearest neighbours and support vectors hold embeddings of
training pictures. Train them anew. Pictures and label files stay where they are: remove them there too,
or the next extraction brings the person back."
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
