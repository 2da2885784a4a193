//! Errors of the library as Python's exceptions.

use facefold::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};

/// `FileNotFoundError`, `OSError`, `RuntimeError` where networks cannot be had or fail, else `ValueError`:
/// with the library's message.
pub fn raised(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let message = error.in_full();
    match error {
        _ if error.is_not_found() => PyFileNotFoundError::new_err(message),
        Error::Io(_) => PyOSError::new_err(message),
        Error::Models(_) | Error::Extractor(_) => PyRuntimeError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// `ValueError` for an argument that cannot be read.
pub fn argument(name: &str, error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{name}: {error}"))
}
