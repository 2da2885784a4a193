//! Drawn.
mod camera;
mod canvas;
mod colour;
mod dice;
mod features;
mod paint;
mod portrait;
mod shot;
mod sitter;
pub use portrait::{DEFAULT_SIDE, Portrait, SIDE_RANGE, portrait};
pub use sitter::Sitter;
