//! What `data` can do, and how a data set is named.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use facefold::Source;
use facefold_datasets::{DatasetKind, LoadOptions};

use super::values::known;
use crate::outcome::Usage;

/// What to do with a data set.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read the label files and print folds, labels, dropped rows and leaks. Needs no picture.
    #[command(after_help = "\
Examples:
  facefold data check adience data/adience
  facefold data check utkface data/utkface --images --plot utkface.svg")]
    Check {
        #[command(flatten)]
        source: SourceArguments,
        /// Also check that every picture is there.
        #[arg(long)]
        images: bool,
        /// Draw the distributions of age, gender and subject sizes here (SVG).
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Generate a synthetic data set: painted faces in Adience's layout.
    #[command(
        after_help = "Example: facefold data generate data/synthetic --subjects 100 --pictures 2000"
    )]
    Generate {
        /// Directory to write.
        out: PathBuf,
        /// Number of subjects, at least 8: one for each age group.
        #[arg(long, default_value_t = 60)]
        subjects: usize,
        /// Number of pictures, at least 2 a subject.
        #[arg(long, default_value_t = 600)]
        pictures: usize,
        /// Seed: the same seed gives the same bytes.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

/// Which data set, and where.
#[derive(Debug, Args)]
pub struct SourceArguments {
    /// Kind of data set: adience, utkface, fairface, imdb-wiki, folder or manifest.
    #[arg(value_parser = known(DatasetKind::ALL.map(DatasetKind::as_str)), hide_possible_values = true)]
    pub kind: String,
    /// Its directory (for `manifest`, the CSV file).
    pub root: PathBuf,
    /// Label file with subjects and folds, where it does not lie in its usual place.
    #[arg(long, value_name = "CSV")]
    pub labels: Option<PathBuf>,
    /// Which of Adience's two picture trees to read.
    #[arg(long, value_enum, default_value_t = Tree::Aligned)]
    pub tree: Tree,
    /// Read Adience's lists of near-frontal faces instead of its main lists.
    #[arg(long)]
    pub frontal: bool,
}

impl SourceArguments {
    /// The library's name for it.
    ///
    /// # Errors
    /// [`Usage`] for an unknown kind.
    pub fn source(&self) -> Result<Source> {
        let tree = match self.tree {
            Tree::Aligned => facefold_datasets::Tree::Aligned,
            Tree::Faces => facefold_datasets::Tree::Faces,
        };
        Ok(Source {
            kind: self.kind.parse().map_err(Usage::error)?,
            root: self.root.clone(),
            options: LoadOptions { labels: self.labels.clone(), tree, frontal: self.frontal },
        })
    }
}

/// Adience's picture trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tree {
    /// Aligned faces, 816x816.
    Aligned,
    /// Loose crops.
    Faces,
}
