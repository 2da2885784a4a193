//! Options of `predict` about videos and annotated pictures.

use std::path::PathBuf;

use clap::Args;

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
