//! `facefold extract`: a data set's pictures become embeddings in a store.

use anyhow::Result;
use facefold::extract::{DecodeProbe, container_extractor};
use facefold::{ExtractOptions, Faces, extract, threads};
use facefold_core::Extractor;
use facefold_terminal::{Output, Terminal};
use facefold_vision::decode::Limits;

use crate::arguments::{DECODE_STDIN, ExtractArguments};
use crate::outcome::Outcome;
use crate::{config, containers};

/// Runs `extract`.
///
/// # Errors
/// If the label files, the model or the store cannot be used.
pub fn run(arguments: &ExtractArguments, output: Output) -> Result<Outcome> {
    let network = arguments.network.options();
    network.check()?;
    let containers = containers::check(arguments)?;
    let progress = Terminal::default();
    let source = arguments.source.source(&progress)?;
    let dataset = source.load(&progress)?;
    let asked = arguments.network.run.threads;
    let (extractor, workers): (Box<dyn Extractor>, usize) = if let Some(options) = containers {
        container_extractor(options, asked)?
    } else {
        let (taps, aligned) = (arguments.taps, arguments.aligned);
        let faces = Faces { taps, aligned, all: false };
        let extractor = network.extractor(faces, Limits::default(), &progress)?;
        (Box::new(extractor), threads(asked))
    };
    progress.listen()?;
    let options = ExtractOptions {
        store: arguments.store.clone(),
        workers,
        taps: arguments.taps,
        aligned: arguments.aligned,
        augment: arguments.augment,
        oversample: arguments.oversample,
        shard: arguments.shard,
        retry_rejected: arguments.retry_rejected,
        probe: probe(),
        run_file: config::origin().run_file,
    };
    let summary = extract(&source, &dataset, extractor.as_ref(), &options, &progress)?;
    progress.finish();
    output.answer(&summary, || summary.to_string())?;
    summary.require_readable()?;
    Ok(match &summary {
        summary if summary.interrupted => Outcome::Interrupted,
        summary if arguments.strict && !summary.rejected.is_empty() => Outcome::Rejected,
        _ => Outcome::Done,
    })
}

/// This program, which decodes a picture where it is asked to; none where it does not know itself.
pub fn probe() -> Option<DecodeProbe> {
    let program = std::env::current_exe().ok()?;
    Some(DecodeProbe { program, arguments: vec![DECODE_STDIN.into()] })
}
