//! Options of `predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::network::RunArguments;

/// Options of `predict`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/predict.txt"))]
pub struct PredictArguments {
    /// Trained bundle; several answer side by side. Default: the embedded one.
    #[arg(long)]
    pub bundle: Vec<PathBuf>,
    /// Pictures, directories, or - for a list of paths (or one picture's bytes) on stdin.
    #[arg(required_unless_present = "video", num_args = 1..)]
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub media: MediaArguments,
    /// The main face of each picture, or all of them. Default: main; all in a video.
    #[arg(long, value_enum)]
    pub faces: Option<FacesName>,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// Pictures are aligned crops already, such as --crops writes: skip detection. With any bundle.
    #[arg(long)]
    pub aligned: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub run: RunArguments,
}

/// A video instead of pictures, and what is written: annotated pictures and crops.
#[derive(Debug, Args)]
pub struct MediaArguments {
    /// A video file, or a camera such as /dev/video0, instead of pictures.
    #[arg(long, value_name = "FILE|DEVICE", conflicts_with = "input")]
    pub video: Option<PathBuf>,
    /// Frames of the video that are looked at in a second (default 5).
    #[arg(long, value_name = "N")]
    pub fps: Option<f64>,
    /// Directory for pictures (NAME-faces.jpg), or frames of the video (frame-000000.jpg), with
    /// boxes and labels. Pictures without a usable face are left out.
    #[arg(long, value_name = "DIR")]
    pub annotate: Option<PathBuf>,
    /// Directory for the aligned crop of each face, as a PNG file of 112 x 112 pixels:
    /// NAME-face-N.png, where N is its `face_index`, 0 for the main face. Not for videos.
    #[arg(long, value_name = "DIR")]
    pub crops: Option<PathBuf>,
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
    /// Columns `path,status,gender,gender_probability,age_group,age,age_low,age_high,familiarity,class,
    /// class_probability`, and `over_18` or the like for each age threshold of the bundle.
    Csv,
}
