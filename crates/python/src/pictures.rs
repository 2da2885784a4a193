//! Pictures as the Python modules give them.

use std::path::PathBuf;

use facefold::prediction::Input;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::errors::raised;

/// The pictures of a list: paths, bytes of files, or tuples of width, height and the values of the pixels.
pub fn inputs(pictures: &Bound<'_, PyList>) -> PyResult<Vec<Input>> {
    pictures.iter().map(|picture| input(&picture)).collect()
}

fn input(picture: &Bound<'_, PyAny>) -> PyResult<Input> {
    if let Ok(bytes) = picture.cast::<PyBytes>() {
        return Ok(Input::Bytes(bytes.as_bytes().to_vec()));
    }
    if picture.is_instance_of::<PyTuple>() {
        let (width, height, values): (u32, u32, Bound<'_, PyBytes>) = picture.extract()?;
        return Input::pixels(width, height, values.as_bytes().to_vec()).map_err(raised);
    }
    Ok(Input::File(picture.extract::<PathBuf>()?))
}
