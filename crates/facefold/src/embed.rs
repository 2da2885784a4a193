//! Embeddings of pictures in memory, without a store.

use facefold_core::{Extraction, Extractor};

use crate::error::{Error, Result};
use crate::parallel::{Parallel, threads};
use crate::prediction::Input;
use crate::progress::{Progress, Stage};

/// Embeds pictures on several threads (0 means all cores): one outcome a picture, in their order, with
/// the same bits as [`crate::extract()`] stores. Fewer where it was cancelled.
///
/// # Errors
/// A failure of the extractor; a bad picture, or a file that cannot be read, is an
/// [`Extraction::Rejected`].
pub fn embed(
    pictures: &[Input],
    extractor: &dyn Extractor,
    threads_asked: usize,
    progress: &dyn Progress,
) -> Result<Vec<Extraction>> {
    let parallel = Parallel { threads: threads(threads_asked), stage: Stage::Extracting, progress };
    parallel.map(pictures, |_, picture| -> Result<Extraction> {
        let bytes = match picture.read() {
            Ok(bytes) => bytes,
            Err(rejection) => return Ok(Extraction::Rejected(rejection)),
        };
        let outcome = extractor.extract(&[&bytes])?.pop();
        outcome.ok_or_else(|| Error::data("the extractor gave no outcome for a picture"))
    })
}
