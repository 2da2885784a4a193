//! An extractor that sends pictures to insightface containers.

use facefold_core::Extractor;
use facefold_insightface::{InsightfaceExtractor, Options};

use super::pictures::Decoder;
use super::pipeline::BLOCK;
use crate::error::Result;

/// An extractor that asks containers, and the number of workers ([`super::ExtractOptions::workers`])
/// that keeps as many requests in flight; 0 for as many as `options` allows.
///
/// # Errors
/// If no container answers, or one is no replica of the others.
pub fn container_extractor(
    options: Options,
    requests: usize,
) -> Result<(Box<dyn Extractor>, usize)> {
    let requests = match requests {
        0 => options.in_flight * options.urls.len(),
        requests => requests,
    };
    // Each worker's block is asked about all at once, and one block more is being read.
    let workers = requests.div_ceil(BLOCK) + 1;
    let pictures = Box::new(Decoder::default());
    Ok((Box::new(InsightfaceExtractor::connect(options, pictures)?), workers))
}
