//! Synthetic faces: a data set that needs no download, of people who do not exist.

use std::ops::ControlFlow;
use std::path::Path;

pub use facefold_synthetic::{SyntheticError, SyntheticOptions, SyntheticSummary};

use crate::error::Result;
use crate::progress::{Progress, Stage, Step};

/// Generates synthetic faces in Adience's layout, or goes on with a directory that has some; `None`
/// where it was cancelled.
///
/// # Errors
/// As [`facefold_synthetic::generate`].
pub fn generate(
    out: &Path,
    options: &SyntheticOptions,
    progress: &dyn Progress,
) -> Result<Option<SyntheticSummary>> {
    let total = Some(options.pictures as u64);
    let drawn = facefold_synthetic::generate(out, options, &|done, _| {
        progress.step(Step::new(Stage::Drawing, done as u64, total));
        if progress.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match drawn {
        Ok(summary) => Ok(Some(summary)),
        Err(SyntheticError::Interrupted { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
