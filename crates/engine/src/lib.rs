//! A network as a list of layers with weights, a plain reference executor, and CPU kernels near
//! the hardware's limit.

pub mod executor;
pub mod network;
pub mod reference;

pub use executor::{EngineError, Executor, Images, Tensor};
pub use network::{Convolution, InvalidNetwork, Layer, Network, Op, Output, Shape, ValueId};
pub use reference::Reference;
