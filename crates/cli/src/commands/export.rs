//! `facefold export`: a bundle becomes an ONNX file.

use anyhow::{Context, Result};
use facefold::network::with_weights;
use facefold_core::{Task, files};
use facefold_heads::{Bundle, FeatureChoice};
use facefold_predict::export::{ExportError, export};
use facefold_vision::extractor::PackNetworks;
use facefold_vision::models::{ModelPack, default_directory};
use serde_json::json;

use crate::arguments::ExportArguments;
use crate::outcome::{Outcome, Usage};
use crate::output::Output;
use crate::progress::Terminal;

/// Runs `export`.
///
/// # Errors
/// If the bundle cannot be read, one of its heads has no form in the file, or its networks are not
/// to be had.
pub fn run(arguments: &ExportArguments, output: Output) -> Result<Outcome> {
    let tasks = arguments.task.iter().map(|name| name.parse());
    let tasks = tasks.collect::<Result<Vec<Task>, _>>().map_err(Usage::error)?;
    let bundle = Bundle::load(&arguments.bundle)?;
    let networks =
        if arguments.with_backbone { Some(networks(&bundle, arguments.offline)?) } else { None };
    let exported = export(&bundle, networks.as_ref(), &tasks, arguments.weights);
    let exported = exported.map_err(|error| match error {
        ExportError::Task { .. } => Usage::error(error),
        error => error.into(),
    })?;
    files::write_atomic(&arguments.out, &exported.bytes)
        .with_context(|| format!("cannot write `{}`", arguments.out.display()))?;
    let answer = json!({
        "out": arguments.out,
        "bytes": exported.bytes.len(),
        "input": exported.input,
        "outputs": exported.outputs,
    });
    output.answer(&answer, || {
        let (licence, out, bytes) =
            (&bundle.licence, arguments.out.display(), exported.bytes.len());
        format!("{exported}\n{licence}\n{out} ({bytes} bytes)")
    })?;
    Ok(Outcome::Done)
}

/// The networks that the bundle's features come from.
fn networks(bundle: &Bundle, offline: bool) -> Result<PackNetworks> {
    bundle.require_network()?;
    let pack = ModelPack::named(&bundle.extractor.model)?;
    let models = default_directory();
    let detects = bundle.extractor.detector != "none";
    let taps = bundle.features != FeatureChoice::Embedding;
    let load = || PackNetworks::load(pack, &models, detects, taps);
    Ok(with_weights(pack, &models, offline, &Terminal::default(), load)?)
}
