//! Options of `predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::PrecisionName;

/// Options of `predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  facefold predict --bundle faces.facefold picture.jpg
  facefold predict --bundle faces.facefold holiday/ --format csv > holiday.csv
  find . -name '*.jpg' | facefold predict --bundle faces.facefold --format jsonl -")]
pub struct PredictArguments {
    /// Trained bundle; several answer side by side.
    #[arg(long, required = true)]
    pub bundle: Vec<PathBuf>,
    /// Pictures, directories, or - for a list of paths (or one picture's bytes) on stdin.
    #[arg(required = true, num_args = 1..)]
    pub input: Vec<PathBuf>,
    /// The main face of each picture, or all of them.
    #[arg(long, value_enum, default_value_t = FacesName::Main)]
    pub faces: FacesName,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// Pictures are aligned crops already: skip detection.
    #[arg(long)]
    pub aligned: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
    /// Arithmetic of the CPU engine; must be of the bundle's precision class.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

/// Which faces of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FacesName {
    /// The largest near the centre.
    Main,
    /// All, the main one first.
    All,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// For a person.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Columns `path,status,gender,gender_probability,age_group,age,age_low,age_high`.
    Csv,
}
