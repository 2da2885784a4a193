//! `facefold serve`: answers over HTTP, and a web page.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use facefold::prediction::{file_stem, take_whole_pictures};
use facefold::{Faces, load_bundles, threads};
use facefold_heads::Bundle;
use facefold_predict::Predictor;
use facefold_serve::{Limits, Options, Server};
use facefold_vision::decode;
use serde_json::json;

use crate::arguments::ServeArguments;
use crate::outcome::{Outcome, Usage};
use crate::output::{self, Output};
use crate::progress::Terminal;

/// Runs `serve` until Ctrl-C or SIGTERM.
///
/// # Errors
/// If a bundle cannot be read or was made with another network, or the address is taken.
pub fn run(arguments: &ServeArguments, output: Output) -> Result<Outcome> {
    if arguments.token.iter().any(String::is_empty) {
        return Err(Usage::error("an empty token would let all in: unset FACEFOLD_TOKEN"));
    }
    let options = Options {
        listen: arguments.listen,
        base_path: arguments.base_path.clone(),
        threads: threads(arguments.run.threads),
        tokens: arguments.token.clone(),
        allowed_origins: arguments.allow_origin.clone(),
        results: arguments.results.clone(),
        limits: limits(arguments),
    };
    let server = Server::bind(predictor(arguments)?, &options)?;
    let stopper = server.stopper();
    let asked = std::sync::atomic::AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::process::exit(130);
        }
        output::note("stopping; what is in work is finished (press Ctrl-C again to stop at once)");
        stopper.stop();
    })?;
    let address = server.address();
    if !address.ip().is_loopback() && arguments.token.is_empty() {
        output::note(
            "warning: whoever reaches this address can send pictures here; --token lets in only \
             those who know it",
        );
    }
    let address = format!("http://{address}{}", arguments.base_path.as_str());
    output.answer(&json!({ "listening": address }), || format!("listening on {address}"))?;
    server.run()?;
    Ok(Outcome::Done)
}

fn limits(arguments: &ServeArguments) -> Limits {
    let body = arguments.max_body << 20;
    Limits {
        body,
        memory: Limits::default().memory.max(4 * body),
        pictures: arguments.max_pictures,
        faces: arguments.max_faces,
        requests: arguments.max_requests,
        batch: arguments.batch,
        time: Duration::from_secs(arguments.timeout),
        drain_time: Duration::from_secs(arguments.timeout),
        ..Limits::default()
    }
}

fn predictor(arguments: &ServeArguments) -> Result<Predictor> {
    let (model, bundles) = match &arguments.model {
        Some(model) if arguments.bundle.is_empty() => (model.clone(), Vec::new()),
        asked => named_bundles(&arguments.bundle, asked.as_deref())?,
    };
    let (network, progress) = (arguments.run.options().of_model(model), Terminal::default());
    let faces =
        Faces { taps: false, aligned: take_whole_pictures(&bundles, false, &progress), all: true };
    let limits = decode::Limits {
        pixels: arguments.max_pixels as u64 * 1_000_000,
        ..decode::Limits::default()
    };
    Ok(facefold::predictor(bundles, &network, faces, limits, &progress)?)
}

/// The bundles with names that differ, and the model pack that their features come from.
fn named_bundles(
    paths: &[PathBuf],
    asked: Option<&str>,
) -> Result<(String, Vec<(String, Bundle)>)> {
    let bundles = load_bundles(paths, file_stem)?;
    let mut names = HashSet::new();
    if let Some((name, _)) = bundles.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Usage::error(format!("two bundles are called `{name}`: rename one")));
    }
    let model = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    match asked {
        Some(asked) if asked != model => Err(Usage::error(format!(
            "the bundle was trained on `{model}`, and --model asks for `{asked}`: leave it out"
        ))),
        _ => Ok((model, bundles)),
    }
}
