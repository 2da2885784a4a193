//! `facefold export`: a bundle becomes an ONNX file.

use anyhow::{Context, Result};
use facefold::network::with_weights;
use facefold_core::{Task, files};
use facefold_heads::{Bundle, FeatureChoice};
use facefold_predict::export::{ExportError, Exported, Port, WeightStorage, export};
use facefold_vision::extractor::PackNetworks;
use facefold_vision::models::{ModelPack, default_directory};
use serde_json::json;

use crate::arguments::{ExportArguments, WeightsName};
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
    let weights = match arguments.weights {
        WeightsName::F32 => WeightStorage::F32,
        WeightsName::F16 => WeightStorage::F16,
        WeightsName::Int8 => WeightStorage::Int8,
    };
    let bundle = Bundle::load(&arguments.bundle)?;
    let networks =
        if arguments.with_backbone { Some(networks(&bundle, arguments.offline)?) } else { None };
    let exported = export(&bundle, networks.as_ref(), &tasks, weights);
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
    output.answer(&answer, || text(arguments, &bundle, &exported))?;
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

fn text(arguments: &ExportArguments, bundle: &Bundle, exported: &Exported) -> String {
    let mut lines = vec![format!("takes {}", described(&exported.input))];
    lines.extend(exported.outputs.iter().map(|port| format!("gives {}", described(port))));
    lines.push(bundle.licence.clone());
    lines.push(format!("{} ({} bytes)", arguments.out.display(), exported.bytes.len()));
    lines.join("\n")
}

/// `crop: n x 3 x 112 x 112`.
fn described(port: &Port) -> String {
    let sides = port.shape.iter().map(ToString::to_string);
    let sides: Vec<String> = std::iter::once("n".to_owned()).chain(sides).collect();
    format!("{}: {}", port.name, sides.join(" x "))
}
