//! Prediction: pictures and videos through trained bundles.

mod annotations;
mod bundles;
mod crops;
mod explain;
mod inputs;
mod pictures;
mod video;

pub use annotations::AnnotatedPictures;
pub use bundles::{file_stem, load_bundles, predictor, served_bundles, take_whole_pictures};
pub use crops::PictureCrops;
pub use explain::{ExplainOptions, ExplainedPictures, MapEntry, RejectedPicture, explain_pictures};
pub use inputs::{Input, Unreadable, inputs, require_outside};
pub use pictures::{PictureFiles, PredictedPictures, predict_pictures};
pub use video::{FollowedVideo, VideoOptions, follow_video};
