//! Bytes become aligned faces and embeddings: decode, SCRFD, five-point alignment, the ArcFace networks in candle, weights from ONNX.

pub mod networks;
pub mod onnx;
