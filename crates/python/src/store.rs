//! Stores as arrays and columns.

use std::path::PathBuf;

use facefold::core::{FaceVariant, ImageKey};
use facefold::remote::{is_address, local_store};
use facefold::store::{EmbeddedSample, Select, Store as OnDisk};
use pyo3::exceptions::PyFileNotFoundError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use crate::errors::argument;
use crate::extractor::floats;
use crate::work;

/// A store as it was when it was opened, with its label rows that have an embedding.
#[pyclass(frozen, module = "facefold._facefold")]
pub struct Store {
    store: OnDisk,
    samples: Vec<EmbeddedSample>,
}

#[pymethods]
impl Store {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf) -> PyResult<Self> {
        if !is_address(&directory) && !directory.exists() {
            return Err(PyFileNotFoundError::new_err(format!(
                "expected the directory of a store, found nothing at `{}`",
                directory.display()
            )));
        }
        let (store, samples) = work::run(py, move |progress| {
            let store = OnDisk::open(&local_store(&directory, progress)?)?;
            let samples = store.embedded_samples()?;
            Ok((store, samples))
        })?;
        Ok(Self { store, samples })
    }

    fn __len__(&self) -> usize {
        self.samples.len()
    }

    /// What the embeddings were made with.
    #[getter]
    fn fingerprint(&self) -> String {
        self.store.header().fingerprint.to_string()
    }

    /// The name of the model pack, or of the network that another program ran.
    #[getter]
    fn model(&self) -> String {
        self.store.header().extractor.model.clone()
    }

    /// Whether the embeddings have taps.
    #[getter]
    fn has_taps(&self) -> bool {
        self.store.has_taps()
    }

    /// The features of all label rows: their number, and the bytes of float32 values.
    fn matrix<'py>(
        &self,
        py: Python<'py>,
        features: &str,
        mirrored: bool,
    ) -> PyResult<(usize, Bound<'py, PyByteArray>)> {
        let features = features.parse().map_err(|error| argument("features", error))?;
        let variant = if mirrored { FaceVariant::MIRRORED } else { FaceVariant::PLAIN };
        let keys: Vec<ImageKey> = self.samples.iter().map(|sample| sample.key).collect();
        let matrix = work::run(py, |_| {
            Ok(self.store.load_matrix(&Select { variant, features, keys: &keys })?)
        })?;
        let width = matrix.ncols();
        let (values, _) = matrix.into_raw_vec_and_offset();
        Ok((width, floats(py, &values)))
    }

    /// Labels and numbers of all label rows, a list a column.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let samples = || self.samples.iter().map(|row| &row.sample);
        let faces = || self.samples.iter().map(|row| row.face);
        let texts = |of: fn(&EmbeddedSample) -> Option<String>| -> Vec<Option<String>> {
            self.samples.iter().map(of).collect()
        };
        dict.set_item("path", texts(|row| Some(row.sample.path.to_string_lossy().into_owned())))?;
        dict.set_item("key", texts(|row| Some(row.key.to_string())))?;
        dict.set_item("subject", texts(|row| Some(row.sample.subject.as_ref()?.to_string())))?;
        dict.set_item("fold", samples().map(|row| Some(row.fold?.0)).collect::<Vec<_>>())?;
        dict.set_item("split", texts(|row| Some(row.sample.split?.to_string())))?;
        dict.set_item("gender", texts(|row| Some(row.sample.gender?.to_string())))?;
        dict.set_item(
            "age",
            texts(|row| Some(row.sample.raw_age.clone()).filter(|age| !age.is_empty())),
        )?;
        dict.set_item("race", texts(|row| row.sample.race.clone()))?;
        dict.set_item("class", texts(|row| row.sample.class.clone()))?;
        dict.set_item(
            "label_conflict",
            samples().map(|row| row.label_conflict).collect::<Vec<_>>(),
        )?;
        dict.set_item("faces_found", faces().map(|face| face.found).collect::<Vec<_>>())?;
        dict.set_item("norm", faces().map(|face| face.norm).collect::<Vec<_>>())?;
        dict.set_item("score", faces().map(|face| face.score).collect::<Vec<_>>())?;
        dict.set_item("luminance", faces().map(|face| face.luminance).collect::<Vec<_>>())?;
        dict.set_item("sharpness", faces().map(|face| face.sharpness).collect::<Vec<_>>())?;
        for (name, side) in [("left", 0), ("top", 1), ("right", 2), ("bottom", 3)] {
            let sides = faces().map(|face| {
                let around = face.bounding_box;
                [around.left, around.top, around.right, around.bottom][side]
            });
            dict.set_item(name, sides.collect::<Vec<_>>())?;
        }
        Ok(dict)
    }
}
