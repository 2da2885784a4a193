//! `--backend insightface` and its options.

use std::time::Duration;

use anyhow::Result;
use facefold::network::{DEFAULT_DEVICE, DEFAULT_MODEL};
use facefold_insightface::{InsightfaceError, Options, RetryPolicy, Token};

use crate::arguments::{BackendKind, ExtractArguments, NetworkArguments};
use crate::outcome::Usage;

/// Requests at a time to one container, where `--threads` does not say.
const REQUESTS: usize = 4;

/// A day: no user waits longer for a response.
const MOST_SECONDS: f64 = 86_400.0;

/// Checks the options before anything is read or asked; `None` for the local backend.
///
/// # Errors
/// [`Usage`] for options that the backend does not have, or that make no sense together.
pub fn check(arguments: &ExtractArguments) -> Result<Option<Options>> {
    let backend = &arguments.backend;
    if backend.backend == BackendKind::Local {
        let given = [
            ("--url", !backend.url.is_empty()),
            ("--header", !backend.header.is_empty()),
            ("--dialect", backend.dialect.is_some()),
            ("--timeout", backend.timeout.is_some()),
            ("--patience", backend.patience.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Usage::error(format!(
                "{name} is for containers: add --backend insightface, or leave it out"
            ))),
            None => Ok(None),
        };
    }
    if arguments.taps {
        return Err(Usage::error(
            "--backend insightface gives embeddings only, no taps: leave --taps out, or extract \
             with --backend local",
        ));
    }
    if arguments.augment.max(arguments.oversample) > 0 {
        return Err(Usage::error(
            "--backend insightface makes no augmented versions of pictures: leave --augment and \
             --oversample out, or extract with --backend local",
        ));
    }
    of_local_only(&arguments.network)?;
    let seconds = |name: &str, given: Option<f64>, default: Duration| match given {
        None => Ok(default),
        // Written so that what is not a number is refused too.
        Some(seconds) if seconds > 0.0 && seconds <= MOST_SECONDS => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(seconds) => Err(Usage::error(format!(
            "expected {name} from above 0 to {MOST_SECONDS} seconds, found {seconds}"
        ))),
    };
    let headers = backend.header.iter().map(|header| header.parse());
    let headers = headers.collect::<Result<_, InsightfaceError>>().map_err(Usage::error)?;
    let retry = RetryPolicy::default();
    let threads = arguments.network.threads;
    let options = Options {
        dialect: backend.dialect.unwrap_or_default(),
        aligned: arguments.aligned,
        in_flight: match threads {
            0 => REQUESTS,
            threads => threads.div_ceil(backend.url.len().max(1)),
        },
        retry: RetryPolicy {
            response: seconds("--timeout", backend.timeout, retry.response)?,
            outage: seconds("--patience", backend.patience, retry.outage)?,
            ..retry
        },
        headers,
        tokens: backend.token.iter().cloned().map(Token::from).collect(),
        ..Options::new(backend.url.clone())
    };
    options.check().map_err(|error| match error {
        InsightfaceError::NoUrl => Usage::error(
            "--backend insightface needs the address of a container: --url http://127.0.0.1:18081",
        ),
        error => Usage::error(error),
    })?;
    Ok(Some(options))
}

/// The containers choose networks and arithmetic themselves.
fn of_local_only(network: &NetworkArguments) -> Result<()> {
    let given = [
        ("--model", network.model != DEFAULT_MODEL),
        ("--precision", network.precision.is_some()),
        ("--device", network.device != DEFAULT_DEVICE),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Usage::error(format!(
            "{name} is for --backend local: a container runs the networks that it was started with"
        ))),
        None => Ok(()),
    }
}
