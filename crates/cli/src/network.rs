//! From the network options of a command to an extractor, fetching a missing model on the way.

use std::path::Path;

use anyhow::Result;
use facefold_core::{Extractor, ExtractorError};
use facefold_engine::Precision;
use facefold_vision::candle_executor::open_device;
use facefold_vision::decode::Limits;
use facefold_vision::extractor::{Backend, LocalExtractor, LocalOptions};
use facefold_vision::models::{ModelPack, ModelsError};

use crate::arguments::{NetworkArguments, PrecisionName};
use crate::commands::{Usage, obtain};

/// What to do with each picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faces {
    /// Keep pooled intermediate maps, and run the mirrored crop.
    pub taps: bool,
    /// The whole picture is the crop.
    pub aligned: bool,
    /// Embed all faces, not only the main one.
    pub all: bool,
}

/// Checks the options before anything is read or fetched.
///
/// # Errors
/// [`Usage`] for an unknown model or device.
pub fn check(network: &NetworkArguments) -> Result<()> {
    ModelPack::named(&network.model).map_err(Usage::error)?;
    backend(network)?;
    Ok(())
}

/// An extractor as the options say.
///
/// # Errors
/// [`Usage`] for an unknown model or device; a model that cannot be had or does not run here.
pub fn extractor(network: &NetworkArguments, faces: Faces) -> Result<Box<dyn Extractor>> {
    Ok(Box::new(local_extractor(network, faces, Limits::default())?))
}

/// The extractor in this process as the options say, for pictures within these limits.
///
/// # Errors
/// As [`extractor`].
pub fn local_extractor(
    network: &NetworkArguments,
    faces: Faces,
    limits: Limits,
) -> Result<LocalExtractor> {
    let pack = ModelPack::named(&network.model).map_err(Usage::error)?;
    let backend = backend(network)?;
    let options = LocalOptions {
        backend,
        taps: faces.taps,
        aligned: faces.aligned,
        all_faces: faces.all,
        limits,
        ..LocalOptions::new(pack)
    };
    with_weights(pack, &options.models, network.offline, || LocalExtractor::new(&options))
}

/// What is made from a pack's weights, which are fetched only where making it says that they are
/// missing or damaged: those that are there are read and hashed once.
///
/// # Errors
/// Weights that cannot be had, or whatever else keeps it from being made.
pub fn with_weights<T>(
    pack: &ModelPack,
    models: &Path,
    offline: bool,
    make: impl Fn() -> Result<T, ExtractorError>,
) -> Result<T> {
    match make() {
        Err(error) if lacks_weights(&error) => {
            obtain(pack, models, offline)?;
            Ok(make()?)
        }
        made => Ok(made?),
    }
}

/// Whether weights are missing or damaged, which fetching may mend.
fn lacks_weights(error: &ExtractorError) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref());
    matches!(source, Some(ModelsError::Missing { .. } | ModelsError::Corrupt { .. }))
}

fn backend(network: &NetworkArguments) -> Result<Backend> {
    let precision = network.precision.map(|name| match name {
        PrecisionName::F32 => Precision::F32,
        PrecisionName::Bf16x3 => Precision::Bf16x3,
        PrecisionName::Bf16 => Precision::Bf16,
    });
    match (network.device.as_str(), precision) {
        ("cpu", precision) => Ok(Backend::Engine(precision)),
        (device, Some(precision)) => Err(Usage::error(format!(
            "--precision {precision} is for the CPU engine, and --device {device} runs candle in \
             f32: leave one out"
        ))),
        ("candle", None) => Ok(Backend::Candle(open_device("cpu").map_err(Usage::error)?)),
        (device, None) => Ok(Backend::Candle(open_device(device).map_err(Usage::error)?)),
    }
}
