//! A network as a list of layers with weights, a plain reference executor, and CPU kernels near
//! the hardware's limit. All of the workspace's `unsafe` is here, so files are mapped and rows of
//! pixels are resized here too.

mod buffer;
pub mod cpu;
pub mod engine;
pub mod executor;
mod interpolate;
mod kernels;
mod layout;
mod lower;
mod mapped;
mod matrix;
mod merge;
pub mod network;
mod order;
mod pack;
mod plan;
mod pool;
pub mod reference;
mod schedule;
mod wide;
mod workspace;

pub use cpu::{ENGINE_VARIABLE, Kernel, Precision};
pub use engine::Engine;
pub use executor::{ByteImages, EngineError, Executor, Images, Tensor};
pub use interpolate::{RowResizer, Tap};
pub use mapped::MappedFile;
pub use matrix::{Matrix, MatrixMut, Multiplier, Panels};
pub use network::{Convolution, InvalidNetwork, Layer, Network, Op, Output, Shape, ValueId};
pub use reference::Reference;
pub use wide::{Vectorised, widest};
