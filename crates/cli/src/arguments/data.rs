//! What `data` can do, and how a data set is named.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use facefold::{Progress, Source};
use facefold_datasets::{DatasetKind, LoadOptions, Tree};

use super::values::{known, one_of};
use crate::outcome::usage;

/// What to do with a data set.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read the label files and print folds, labels, dropped rows and leaks. Needs no picture.
    #[command(after_help = include_str!("../../help/data-check.txt"))]
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
    /// Kind of data set: adience, utkface, fairface, imdb-wiki, folder, manifest or pictures (without
    /// labels).
    #[arg(value_parser = known(DatasetKind::ALL.map(DatasetKind::as_str)), hide_possible_values = true)]
    pub kind: String,
    /// Its directory (for `manifest`, the CSV file; for `pictures`, what `predict` takes: pictures,
    /// directories, or - for a list of paths on stdin).
    #[arg(required = true, num_args = 1..)]
    pub root: Vec<PathBuf>,
    /// Label file with subjects and folds, where it does not lie in its usual place.
    #[arg(long, value_name = "CSV")]
    pub labels: Option<PathBuf>,
    /// Which of Adience's two picture trees to read: aligned (aligned faces, 816 x 816) or faces (loose crops).
    #[arg(long, default_value_t = Tree::Aligned, value_parser = one_of::<Tree>(["aligned", "faces"]), hide_possible_values = true)]
    pub tree: Tree,
    /// Read Adience's lists of near-frontal faces instead of its main lists.
    #[arg(long)]
    pub frontal: bool,
}

impl SourceArguments {
    /// The library's name for it.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] for an unknown kind, or several directories of one that has one; a list on stdin that
    /// cannot be read.
    pub fn source(&self, progress: &dyn Progress) -> Result<Source> {
        let options = LoadOptions {
            labels: self.labels.clone(),
            tree: self.tree,
            frontal: self.frontal,
            pictures: None,
        };
        let kind = self.kind.parse().map_err(usage)?;
        Ok(Source::of_paths(kind, &self.root, options, std::io::stdin().lock(), progress)?)
    }
}
