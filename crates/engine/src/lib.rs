//! Runs neural networks on the CPU: a network as a list of layers with weights, a plain reference
//! executor, and kernels near the hardware's limit.
//!
//! [`Engine`] is the fast executor, [`Reference`] the plain one that tests compare it with. All of
//! the workspace's `unsafe` is in this crate, so mapped files ([`MappedFile`]), matrix products
//! ([`Multiplier`]), SIMD dispatch ([`dispatch_simd`]) and the resizing of pixel rows
//! ([`RowResizer`]) are here too.

mod buffer;
pub mod cpu;
mod dispatch;
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
mod workspace;

pub use cpu::{ENGINE_VARIABLE, Kernel, Precision};
pub use dispatch::{Vectorised, dispatch_simd};
pub use engine::Engine;
pub use executor::{ByteImages, EngineError, Executor, Images, Tensor};
pub use interpolate::{RowResizer, Tap};
pub use mapped::MappedFile;
pub use matrix::{Matrix, MatrixMut, Multiplier, Panels};
pub use network::{Convolution, InvalidNetwork, Layer, Network, Op, Output, Shape, ValueId};
pub use reference::Reference;
