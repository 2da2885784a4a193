//! Prediction for many pictures.

use facefold_predict::{FacePrediction, Predictor, Status};

use super::annotations::AnnotatedPictures;
use super::crops::PictureCrops;
use super::inputs::{Input, Unreadable};
use crate::error::{Error, Result};
use crate::parallel::Parallel;
use crate::progress::{Progress, Stage};

/// What is written about each picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct PictureFiles<'a> {
    /// The picture with its predictions drawn on it.
    pub annotated: Option<&'a AnnotatedPictures>,
    /// The aligned crops of its faces.
    pub crops: Option<&'a PictureCrops>,
}

/// What became of many pictures.
#[derive(Debug, Default)]
pub struct PredictedPictures {
    /// Whether one was rejected.
    pub is_rejected: bool,
    /// Pictures that could not be opened.
    pub unreadable: Unreadable,
}

/// Predicts for each picture, on several threads, and gives the predictions to `take` in the order
/// of the pictures. Stops where it is cancelled.
///
/// # Errors
/// The first failure of the extractor, a head or `take`; a bad picture is a prediction with a
/// rejection.
pub fn predict_pictures<E: From<Error> + Send>(
    inputs: &[Input],
    predictor: &Predictor,
    files: PictureFiles<'_>,
    threads: usize,
    progress: &dyn Progress,
    mut take: impl FnMut(Vec<FacePrediction>) -> Result<(), E>,
) -> Result<PredictedPictures, E> {
    let work = |index: usize, input: &Input| -> Result<Vec<FacePrediction>, E> {
        let bytes = match input.read() {
            Ok(bytes) => bytes,
            Err(rejection) => return Ok(predictor.rejected(&input.name(), &rejection)),
        };
        let predicted = predictor.predict(&input.name(), &bytes).map_err(Error::from)?;
        if let Some(annotated) = files.annotated {
            annotated.picture(index, &bytes, &predicted)?;
        }
        if let Some(crops) = files.crops {
            crops.picture(index, &bytes, predictor, &predicted)?;
        }
        Ok(predicted)
    };
    let mut summary = PredictedPictures::default();
    let parallel = Parallel { threads, stage: Stage::Predicting, progress };
    parallel.for_each(inputs, work, |predicted| {
        if let Some(FacePrediction { path, status: Status::Rejected(rejection), .. }) =
            predicted.first()
        {
            summary.is_rejected = true;
            summary.unreadable.see(path, rejection);
        }
        take(predicted)
    })?;
    Ok(summary)
}
