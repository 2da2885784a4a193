//! The networks of a model pack, read but not yet made ready to run.

use std::path::Path;

use facefold_core::{ExtractorError, Fingerprint, Precision};
use facefold_engine::Network;

use super::{PREPROCESSING, UNTRAINED_SEED, failure};
use crate::models::{self, LoadedFile, ModelPack};
use crate::networks::{Architecture, Untrained, add_backbone_taps, add_network};

/// The networks of a model pack.
pub struct PackNetworks {
    /// Finds faces; none for a pack of crops, or where detection is skipped.
    pub detector: Option<Network>,
    /// Embeds crops: one output `embedding`, and `taps` where they were requested.
    pub embedding: Network,
}

impl PackNetworks {
    /// Reads a pack's networks from a models directory: the detector where `detects`, the
    /// embedding network with taps where `taps`.
    ///
    /// # Errors
    /// Weights that are missing or corrupt, or taps that the network does not have.
    pub fn load(
        pack: &ModelPack,
        models: &Path,
        detects: bool,
        taps: bool,
    ) -> Result<Self, ExtractorError> {
        let (detector_file, network_file) =
            models::load(pack, models).map_err(|error| failure(&pack.name, error))?;
        let detector = match detector_file {
            Some(file) if detects => Some(imported(&file)?),
            _ => None,
        };
        let mut embedding = match &network_file {
            Some(file) => imported(file)?,
            None => Architecture::MobileFaceNet.build(&mut Untrained { seed: UNTRAINED_SEED }),
        };
        if taps {
            add_backbone_taps(&mut embedding).map_err(|error| failure(&pack.name, error))?;
        }
        Ok(Self { detector, embedding })
    }

    /// What identifies embeddings that these networks make in a precision class. Taps do not change
    /// it.
    #[must_use]
    pub fn fingerprint(&self, precision: Precision) -> Fingerprint {
        let crops = if self.detector.is_some() { "detected" } else { "whole pictures" };
        let mut builder = Fingerprint::builder()
            .text("preprocessing", PREPROCESSING)
            .text("precision", &precision.to_string())
            .text("crops", crops);
        if let Some(detector) = &self.detector {
            builder = add_network(builder, "detector", detector);
        }
        add_network(builder, "network", &self.embedding).finish()
    }
}

fn imported(file: &LoadedFile) -> Result<Network, ExtractorError> {
    let mut network =
        facefold_onnx::import(&file.bytes).map_err(|error| failure(&file.file.name, error))?;
    file.file.stem().clone_into(&mut network.name);
    Ok(network)
}
