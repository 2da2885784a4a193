//! Extraction on this machine, from bytes to aligned faces and embeddings: decode, SCRFD,
//! five-point alignment, and the ArcFace networks, run by `engine` or by candle (on other devices, and as its reference).

pub mod align;
pub mod augment;
pub mod candle_executor;
pub mod decode;
pub mod detect;
pub mod extractor;
pub mod models;
pub mod networks;
pub mod resize;

#[cfg(test)]
mod testing;

pub use extractor::{Backend, LocalExtractor, LocalOptions};
