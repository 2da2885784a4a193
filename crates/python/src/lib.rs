//! The compiled part of the Python package: what `facefold` computes, for arguments that its Python modules
//! have checked and turned into bytes and texts. `python/facefold` is what a user sees.

mod bundle;
mod cross_validation;
mod errors;
mod extractor;
mod pictures;
mod store;
mod work;

/// The module `facefold._facefold`.
#[pyo3::pymodule]
mod _facefold {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::bundle::Bundle;
    #[pymodule_export]
    use crate::cross_validation::cross_validate;
    #[pymodule_export]
    use crate::extractor::Extractor;
    #[pymodule_export]
    use crate::store::Store;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
