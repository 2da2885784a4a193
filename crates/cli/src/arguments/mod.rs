//! The command line, as clap reads it: a file for each command's options. Names here are a contract:
//! scripts rely on them.

mod backend;
mod bundle;
mod compare;
mod cv;
mod data;
mod demo;
mod evaluation;
mod explain;
mod export;
mod extract;
mod heads;
mod judge;
mod learning;
mod matrix;
mod models;
mod network;
mod predict;
mod report;
mod serve;
mod store;
mod threshold;
mod train;
mod tune;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use backend::{BackendArguments, BackendKind};
pub use bundle::BundleCommand;
pub use compare::CompareArguments;
pub use cv::CvArguments;
pub use data::{DataCommand, SourceArguments};
pub use demo::DemoArguments;
pub use explain::ExplainArguments;
pub use export::ExportArguments;
pub use extract::ExtractArguments;
pub use heads::HeadsArguments;
pub use judge::JudgeArguments;
pub use matrix::MatrixArguments;
pub use models::ModelsCommand;
pub use predict::{AnswerFormat, FacesName, PredictArguments};
pub use report::ReportCommand;
pub use serve::ServeArguments;
pub use store::{ImportArguments, StoreCommand};
pub use train::TrainArguments;
pub use tune::TuneArguments;

/// The hidden command that `extract` starts for pictures at which an earlier run ended.
pub const DECODE_STDIN: &str = "decode-stdin";

/// Age and gender heads on ArcFace embeddings: extract once, train and compare in seconds.
#[derive(Debug, Parser)]
#[command(
    name = "facefold",
    version,
    propagate_version = true,
    after_help = include_str!("../../help/facefold.txt")
)]
pub struct Arguments {
    /// Print one JSON document on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Take options from this TOML file: `seed = 3` is --seed 3, `command = "cv"` the command. Flags
    /// override it, and --no-KEY leaves one out. The run.toml next to a result repeats its run.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more on stderr (repeat for still more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What facefold can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline on synthetic faces; it ends with the report's path and what to try next.
    Demo(DemoArguments),
    /// List, fetch and verify the weights of detectors and embedding networks.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Check a data set's label files, or generate a synthetic data set.
    #[command(subcommand)]
    Data(DataCommand),
    /// Turn a data set's pictures into embeddings in a store. The same command resumes.
    Extract(ExtractArguments),
    /// Look into, verify or export a store, or import embeddings made elsewhere into one.
    #[command(subcommand)]
    Store(StoreCommand),
    /// List the heads and every setting that they have.
    Heads(HeadsArguments),
    /// Cross-validate heads on one or several stores and write a report. The same command resumes.
    Cv(CvArguments),
    /// Like `cv`, with a search for the heads' settings that never looks at test rows.
    Tune(TuneArguments),
    /// Train on each of several stores and test on each: how heads do on data sets they have not seen.
    Matrix(MatrixArguments),
    /// Put the results of several `cv` runs side by side, on the rows they share.
    Compare(CompareArguments),
    /// Evaluate the predictions of another program, and compare them with heads on the same rows.
    #[command(name = "judge")]
    JudgePredictions(JudgeArguments),
    /// Train a head on all rows of one or several stores and write it as a bundle.
    Train(TrainArguments),
    /// Show what a bundle was trained on, what it scored, and what it must not be used for.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Predict gender and age from pictures or a video.
    Predict(PredictArguments),
    /// Show which parts of a face changed a bundle's predictions.
    Explain(ExplainArguments),
    /// Write a bundle as an ONNX file, alone or behind its embedding network.
    Export(ExportArguments),
    /// Answer over HTTP, and show a page to try it on.
    Serve(ServeArguments),
    /// Show a report that was written before, write its pages anew, or export its tables and plots.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Decode the picture on stdin and say nothing: `extract` tries pictures so that may end it.
    #[command(name = DECODE_STDIN, hide = true)]
    DecodeStdin,
    /// Write manual pages, one for each command.
    #[command(after_help = "Example: facefold man ~/.local/share/man/man1")]
    Man {
        /// Directory to write.
        out: PathBuf,
    },
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example: facefold completions bash > ~/.local/share/bash-completion/completions/facefold"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
