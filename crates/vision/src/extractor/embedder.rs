//! Aligned crops become embeddings and taps.

use facefold_core::{Embedding, ExtractorError, RejectReason, Rejection};
use facefold_engine::{EngineError, Executor, Images, InvalidNetwork, Network, Shape, Tensor};

use super::failure;
use crate::align::{CROP_SIDE, Crop};

/// An ArcFace network on some executor.
pub struct Embedder {
    executor: Box<dyn Executor>,
    name: String,
    embedding_length: usize,
    taps_length: usize,
}

/// What the network made of one crop.
#[derive(Debug, Clone, PartialEq)]
pub struct CropEmbedding {
    /// The last layer's output, not normalised.
    pub embedding: Embedding,
    /// Pooled intermediate maps; empty without taps.
    pub taps: Vec<f32>,
}

impl Embedder {
    /// An embedder from a network, whose first output is the embedding and whose second, if any,
    /// the taps, and the executor that runs it.
    ///
    /// # Errors
    /// A network that takes no crop of 112 x 112, or has other outputs.
    pub fn new(network: &Network, executor: Box<dyn Executor>) -> Result<Self, EngineError> {
        let shapes = network.shapes(CROP_SIDE, CROP_SIDE)?;
        let rows: Vec<Shape> =
            network.outputs.iter().map(|output| shapes[output.value.0]).collect();
        let is_row = |shape: &Shape| (shape.height, shape.width) == (1, 1);
        match rows.as_slice() {
            [embedding, taps @ ..] if taps.len() <= 1 && rows.iter().all(is_row) => Ok(Self {
                executor,
                name: network.name.clone(),
                embedding_length: embedding.channels,
                taps_length: taps.first().map_or(0, |taps| taps.channels),
            }),
            _ => Err(EngineError::Network(InvalidNetwork {
                network: network.name.clone(),
                layer: "outputs".to_owned(),
                problem: format!("expected an embedding and perhaps taps, found {rows:?}"),
            })),
        }
    }

    /// Length of an embedding.
    #[must_use]
    pub fn embedding_length(&self) -> usize {
        self.embedding_length
    }

    /// Length of the taps; 0 without taps.
    #[must_use]
    pub fn taps_length(&self) -> usize {
        self.taps_length
    }

    /// What runs the network, for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        self.executor.describe()
    }

    /// Embeds crops, in order; a crop whose values are no embedding does not touch the others.
    ///
    /// # Errors
    /// A failure of the executor; for a crop, [`RejectReason::BadEmbedding`].
    pub fn embed(
        &self,
        crops: &[Crop],
    ) -> Result<Vec<Result<CropEmbedding, Rejection>>, ExtractorError> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let mut input = Vec::with_capacity(crops.len() * CROP_SIDE * CROP_SIDE * 3);
        for crop in crops {
            input.extend(crop.pixels().iter().map(|&value| (f32::from(value) - 127.5) / 127.5));
        }
        let shape = Shape { channels: 3, height: CROP_SIDE, width: CROP_SIDE };
        let outputs = self
            .executor
            .run(Images { data: &input, count: crops.len(), shape })
            .map_err(|error| failure(&self.name, error))?;
        let lengths = [self.embedding_length, self.taps_length];
        let expected = outputs
            .iter()
            .zip(lengths)
            .all(|(tensor, length)| tensor.data.len() == crops.len() * length);
        if !expected || outputs.len() != 1 + usize::from(self.taps_length > 0) {
            let found: Vec<_> = outputs.iter().map(|tensor| tensor.shape).collect();
            let message = format!("{}: expected rows of {lengths:?}, found {found:?}", self.name);
            return Err(ExtractorError::new(message));
        }
        Ok((0..crops.len()).map(|index| self.one(&outputs, index)).collect())
    }

    fn one(&self, outputs: &[Tensor], index: usize) -> Result<CropEmbedding, Rejection> {
        let row = |tensor: &Tensor, length: usize| {
            tensor.data[index * length..(index + 1) * length].to_vec()
        };
        let bad = |detail: String| Rejection::new(RejectReason::BadEmbedding, detail);
        let embedding = Embedding::new(row(&outputs[0], self.embedding_length))
            .map_err(|error| bad(error.to_string()))?;
        if embedding.norm() == 0.0 {
            return Err(bad("every value is zero".to_owned()));
        }
        let taps = outputs.get(1).map_or_else(Vec::new, |taps| row(taps, self.taps_length));
        if taps.iter().any(|value| !value.is_finite()) {
            return Err(bad("a tap is not finite".to_owned()));
        }
        Ok(CropEmbedding { embedding, taps })
    }
}
