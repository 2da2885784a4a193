//! `facefold export`: a bundle becomes an ONNX file.

use anyhow::{Context, Result};
use facefold::network::bundle_networks;
use facefold_core::{Task, files};
use facefold_heads::Bundle;
use facefold_predict::export::{ExportError, export};
use facefold_terminal::{Output, Terminal};
use serde_json::json;

use crate::arguments::ExportArguments;
use crate::outcome::{Outcome, usage};

/// Runs `export`.
///
/// # Errors
/// If the bundle cannot be read, one of its heads has no form in the file, or its networks are not
/// to be had.
pub fn run(arguments: &ExportArguments, output: Output) -> Result<Outcome> {
    let tasks = arguments.task.iter().map(|name| name.parse());
    let tasks = tasks.collect::<Result<Vec<Task>, _>>().map_err(usage)?;
    let bundle = Bundle::load(&arguments.bundle)?;
    let networks = || bundle_networks(&bundle, arguments.offline, &Terminal::default());
    let networks = arguments.with_backbone.then(networks).transpose()?;
    let exported = export(&bundle, networks.as_ref(), &tasks, arguments.weights);
    let exported = exported.map_err(|error| match error {
        ExportError::Task { .. } => usage(error),
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
