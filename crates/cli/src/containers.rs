//! `--backend insightface` and its options.

use std::time::Duration;

use anyhow::Result;
use facefold::network::{DEFAULT_DEVICE, DEFAULT_MODEL};
use facefold_insightface::{InsightfaceError, Options, RetryPolicy, Token};

use crate::arguments::{BackendArguments, BackendKind, ExtractArguments};
use crate::outcome::usage;

/// Checks the options before anything is read or asked; `None` for the local backend.
///
/// # Errors
/// [`facefold::Error::Options`] for options that the backend does not have, or that make no sense together.
pub fn check(arguments: &ExtractArguments) -> Result<Option<Options>> {
    let BackendArguments { backend, url, token, header, dialect, timeout, patience } =
        &arguments.backend;
    if *backend == BackendKind::Local {
        let given = [
            ("--url", !url.is_empty()),
            ("--header", !header.is_empty()),
            ("--dialect", dialect.is_some()),
            ("--timeout", timeout.is_some()),
            ("--patience", patience.is_some()),
        ];
        refuse(given, "is for containers: add --backend insightface, or leave it out")?;
        return Ok(None);
    }
    let run = &arguments.network.run;
    let of_pictures = [
        ("--taps", arguments.taps),
        ("--augment", arguments.augment > 0),
        ("--oversample", arguments.oversample > 0),
    ];
    refuse(
        of_pictures,
        "is for --backend local: a container gives embeddings of pictures as they are, and no taps; leave it out",
    )?;
    let of_networks = [
        ("--model", arguments.network.model != DEFAULT_MODEL),
        ("--precision", run.precision.is_some()),
        ("--device", run.device != DEFAULT_DEVICE),
    ];
    refuse(
        of_networks,
        "is for --backend local: a container runs the networks that it was started with; leave it out",
    )?;
    let headers = header.iter().map(|header| header.parse());
    let headers = headers.collect::<Result<_, InsightfaceError>>().map_err(usage)?;
    let (default, retry) = (Options::new(url.clone()), RetryPolicy::default());
    let options = Options {
        dialect: dialect.unwrap_or_default(),
        aligned: arguments.aligned,
        in_flight: match run.threads {
            0 => default.in_flight,
            threads => threads.div_ceil(url.len().max(1)),
        },
        retry: RetryPolicy {
            response: timeout.map_or(retry.response, Duration::from_secs_f64),
            outage: patience.map_or(retry.outage, Duration::from_secs_f64),
            ..retry
        },
        headers,
        tokens: token.iter().cloned().map(Token::from).collect(),
        ..default
    };
    options.check().map_err(|error| match error {
        InsightfaceError::NoUrl => usage(
            "--backend insightface needs the address of a container: --url http://127.0.0.1:18081",
        ),
        error => usage(error),
    })?;
    Ok(Some(options))
}

/// Refuses options that are given.
fn refuse<const N: usize>(options: [(&str, bool); N], why: &str) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(usage(format!("{name} {why}"))),
        None => Ok(()),
    }
}
