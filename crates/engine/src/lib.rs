//! Runs neural networks on the CPU: a network as a list of layers with weights, a plain reference
//! executor, and kernels near the hardware's limit.
//!
//! [`Engine`] is the fast executor, [`Reference`] the plain one that tests compare it with.

pub mod engine;
pub mod executor;
mod kernels;
mod layout;
mod lower;
mod merge;
pub mod network;
mod order;
mod pack;
mod plan;
mod pool;
pub mod precision;
pub mod reference;
mod schedule;
mod workspace;

pub use engine::Engine;
pub use executor::{ByteImages, EngineError, Executor, Images, Tensor};
pub use facefold_kernels::Kernel;
pub use network::{Convolution, InvalidNetwork, Layer, Network, Op, Output, Shape, ValueId};
pub use precision::Precision;
pub use reference::Reference;
