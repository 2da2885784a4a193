//! Predictions with a bundle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use facefold::predict::{BundleCard, FacePrediction};
use facefold::prediction::{PictureFiles, file_stem, predict_pictures, take_whole_pictures};
use facefold::vision::decode::Limits;
use facefold::{
    Error, Faces, NetworkOptions, Predictor, Progress, load_bundles, predictor, threads,
};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors::raised;
use crate::extractor::network;
use crate::pictures::inputs;
use crate::work;

/// A bundle, and its networks once they were needed.
#[pyclass(frozen, module = "facefold._facefold")]
pub struct Bundle {
    path: Option<PathBuf>,
    network: NetworkOptions,
    card: BundleCard,
    /// Predictors by how they take pictures: as aligned crops, and all faces.
    predictors: Mutex<HashMap<(bool, bool), Arc<Predictor>>>,
}

/// The number of the picture, and the prediction as JSON.
type Predicted = (usize, String);

#[pymethods]
impl Bundle {
    #[new]
    #[pyo3(signature = (path, *, precision, device, offline))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        precision: Option<&str>,
        device: String,
        offline: bool,
    ) -> PyResult<Self> {
        let network = network(NetworkOptions::default().model, precision, device, offline)?;
        let card = work::run(py, |_| {
            let bundles = load(path.as_ref(), file_stem)?;
            let (name, bundle) = &bundles[0];
            Ok(BundleCard::new(name, bundle))
        })?;
        Ok(Self { path, network, card, predictors: Mutex::default() })
    }

    /// What the bundle is, as JSON.
    fn card(&self) -> PyResult<String> {
        serde_json::to_string(&self.card).map_err(raised)
    }

    /// The predictions for pictures, one a face in the order of the pictures.
    fn predict(
        &self,
        py: Python<'_>,
        pictures: &Bound<'_, PyList>,
        aligned: bool,
        all_faces: bool,
        asked_threads: usize,
    ) -> PyResult<Vec<Predicted>> {
        let inputs = inputs(pictures)?;
        let predictions = work::run(py, |progress| {
            let predictor = self.predictor(aligned, all_faces, progress)?;
            let (mut picture, mut predictions) = (0, Vec::new());
            predict_pictures(
                &inputs,
                &predictor,
                PictureFiles::default(),
                threads(asked_threads),
                progress,
                |found| {
                    predictions.extend(found.into_iter().map(|prediction| (picture, prediction)));
                    picture += 1;
                    Ok::<(), Error>(())
                },
            )?;
            Ok(predictions)
        })?;
        let predicted =
            predictions.into_iter().map(|(picture, prediction): (usize, FacePrediction)| {
                Ok((picture, serde_json::to_string(&prediction).map_err(raised)?))
            });
        predicted.collect()
    }
}

/// The bundle of a file under a name, else the embedded one.
fn load(
    path: Option<&PathBuf>,
    name: impl Fn(&Path) -> String,
) -> facefold::Result<Vec<(String, facefold::heads::Bundle)>> {
    let paths: Vec<PathBuf> = path.cloned().into_iter().collect();
    load_bundles(&paths, name)
}

impl Bundle {
    /// The predictor that takes pictures so; made on first use.
    fn predictor(
        &self,
        aligned: bool,
        all_faces: bool,
        progress: &dyn Progress,
    ) -> facefold::Result<Arc<Predictor>> {
        // Held while one is made, so that two threads do not read the weights twice.
        let mut predictors = self.predictors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(predictor) = predictors.get(&(aligned, all_faces)) {
            return Ok(Arc::clone(predictor));
        }
        let bundles = load(self.path.as_ref(), |path| path.display().to_string())?;
        let faces = Faces {
            taps: false,
            aligned: take_whole_pictures(&bundles, aligned, progress),
            all: all_faces,
        };
        let made = predictor(bundles, &self.network, faces, Limits::default(), progress)?;
        let made = Arc::new(made);
        predictors.insert((aligned, all_faces), Arc::clone(&made));
        Ok(made)
    }
}
