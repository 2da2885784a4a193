//! `facefold serve`: answers over HTTP, and a web page.

use std::time::Duration;

use anyhow::Result;
use facefold::prediction::{served_bundles, take_whole_pictures};
use facefold::{Faces, threads};
use facefold_predict::Predictor;
use facefold_serve::{Limits, Options, Server};
use facefold_terminal::{self as terminal, Output, Terminal, on_interrupt};
use facefold_vision::decode;
use serde_json::json;

use crate::arguments::ServeArguments;
use crate::outcome::{Outcome, usage};

/// Runs `serve` until Ctrl-C or SIGTERM.
///
/// # Errors
/// If a bundle cannot be read or was made with another network, or the address is taken.
pub fn run(arguments: &ServeArguments, output: Output) -> Result<Outcome> {
    if arguments.token.iter().any(String::is_empty) {
        return Err(usage("an empty token would let all in: unset FACEFOLD_TOKEN"));
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
    on_interrupt("what is in work is finished", move || stopper.stop())?;
    let address = server.address();
    if !address.ip().is_loopback() && arguments.token.is_empty() {
        terminal::note(
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
    let (model, bundles) = served_bundles(&arguments.bundle, arguments.model.as_deref())?;
    let (network, progress) = (arguments.run.options().of_model(model), Terminal::default());
    let faces =
        Faces { taps: false, aligned: take_whole_pictures(&bundles, false, &progress), all: true };
    let limits = decode::Limits {
        pixels: arguments.max_pixels as u64 * 1_000_000,
        ..decode::Limits::default()
    };
    Ok(facefold::predictor(bundles, &network, faces, limits, &progress)?)
}
