//! ONNX files: [`import`] reads a network, [`export`] writes one, and a [`Graph`] takes networks,
//! computations ([`computation`]) and nodes of any kind, with weights as they are or quantised.

pub mod computation;
mod export;
mod graph;
mod import;
mod node;
mod operators;
mod proto;
mod quantise;
mod steps;
mod tensor;
#[cfg(test)]
mod tests;

pub use export::export;
pub use graph::{Attribute, Graph, InvalidWeightStorage, WeightStorage};
pub use import::import;

/// Why an ONNX file did not become a network, or a network an ONNX file.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The bytes are no protobuf message of this kind.
    #[error("this is no ONNX model: {0}; expected the bytes of an .onnx file")]
    Decode(#[from] prost::DecodeError),
    /// The file as a whole does not hold one picture network.
    #[error("ONNX graph: {0}")]
    Graph(String),
    /// A node that a [`facefold_engine::Network`] cannot represent.
    #[error("ONNX node `{node}` ({op}): {problem}")]
    Node {
        /// The name of its first output, which is unique in a file.
        node: String,
        /// The operator.
        op: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A stored tensor cannot be read.
    #[error("ONNX tensor `{tensor}`: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// The layers do not fit together.
    #[error(transparent)]
    Network(#[from] facefold_engine::InvalidNetwork),
}
