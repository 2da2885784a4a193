//! Embeddings of pictures.

use facefold::core::{Extraction, Extractor as _, FaceVariant};
use facefold::vision::LocalExtractor;
use facefold::vision::decode::Limits;
use facefold::{Faces, NetworkOptions, embed};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyList};

use crate::errors::argument;
use crate::pictures::inputs;
use crate::work;

/// The networks of a model pack, ready to run.
#[pyclass(frozen, module = "facefold._facefold")]
pub struct Extractor(LocalExtractor);

#[pymethods]
impl Extractor {
    #[new]
    #[pyo3(signature = (model, *, precision, device, offline, aligned, all_faces))]
    fn new(
        py: Python<'_>,
        model: String,
        precision: Option<&str>,
        device: String,
        offline: bool,
        aligned: bool,
        all_faces: bool,
    ) -> PyResult<Self> {
        let options = network(model, precision, device, offline)?;
        let faces = Faces { taps: false, aligned, all: all_faces };
        let made = work::run(py, |progress| options.extractor(faces, Limits::default(), progress))?;
        Ok(Self(made))
    }

    /// What determines an embedding, as text.
    #[getter]
    fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    /// Values of an embedding.
    #[getter]
    fn embedding_length(&self) -> usize {
        self.0.info().embedding_length
    }

    /// The faces of pictures, as bytes of float32 values, and the pictures without one.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        pictures: &Bound<'py, PyList>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let inputs = inputs(pictures)?;
        let outcomes = work::run(py, |progress| embed(&inputs, &self.0, threads, progress))?;
        let mut found = Found::default();
        for (picture, outcome) in outcomes.into_iter().enumerate() {
            found.add(picture, outcome);
        }
        found.into_dict(py)
    }
}

/// The options of the networks.
pub fn network(
    model: String,
    precision: Option<&str>,
    device: String,
    offline: bool,
) -> PyResult<NetworkOptions> {
    let precision = precision.map(str::parse).transpose();
    let precision = precision.map_err(|error| argument("precision", error))?;
    Ok(NetworkOptions { model, precision, device, offline })
}

/// The faces of pictures, column by column.
#[derive(Default)]
struct Found {
    pictures: Vec<usize>,
    face_indices: Vec<u16>,
    embeddings: Vec<f32>,
    bounding_boxes: Vec<f32>,
    landmarks: Vec<f32>,
    scores: Vec<f32>,
    norms: Vec<f32>,
    rejected: Vec<(usize, &'static str, String)>,
}

impl Found {
    fn add(&mut self, picture: usize, outcome: Extraction) {
        let faces = match outcome {
            Extraction::Embedded { faces, .. } => faces,
            Extraction::Rejected(rejection) => {
                self.rejected.push((picture, rejection.reason.as_str(), rejection.detail));
                return;
            }
        };
        for face in faces.into_iter().filter(|face| face.variant == FaceVariant::PLAIN) {
            self.pictures.push(picture);
            self.face_indices.push(face.index);
            self.embeddings.extend_from_slice(face.embedding.as_slice());
            let around = face.bounding_box;
            self.bounding_boxes.extend([around.left, around.top, around.right, around.bottom]);
            self.landmarks.extend(face.landmarks.as_flattened());
            self.scores.push(face.score);
            self.norms.push(face.embedding.norm());
        }
    }

    fn into_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("pictures", self.pictures)?;
        dict.set_item("face_indices", self.face_indices)?;
        dict.set_item("embeddings", floats(py, &self.embeddings))?;
        dict.set_item("bounding_boxes", floats(py, &self.bounding_boxes))?;
        dict.set_item("landmarks", floats(py, &self.landmarks))?;
        dict.set_item("scores", floats(py, &self.scores))?;
        dict.set_item("norms", floats(py, &self.norms))?;
        dict.set_item("rejected", self.rejected)?;
        Ok(dict)
    }
}

/// The bytes of float32 values, in the machine's order. NumPy makes an array of them that can be written to.
pub fn floats<'py>(py: Python<'py>, values: &[f32]) -> Bound<'py, PyByteArray> {
    PyByteArray::new(py, bytemuck::cast_slice(values))
}
