//! One file over HTTP: resumed where it broke off, given up where it stalls, checked by its hash.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use fs_err::OpenOptions;
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_RANGE, RANGE};

use super::unpack::sha256_of_file;

/// Connections for one file: a transfer that breaks off is resumed at most this often less one.
const CONNECTIONS: usize = 4;

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of a response.
    pub read: Duration,
}

/// Downloads `url` to `partial`, which a later call resumes if this one fails, until its SHA-256
/// is `sha256`. `progress` gets the bytes there are and the bytes there will be, if known.
///
/// Gives the reason of a failure in words.
pub(super) fn download(
    url: &str,
    partial: &Path,
    sha256: &str,
    timeouts: Timeouts,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), String> {
    let client = Client::builder()
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.read)
        // A transfer is resumed on a new connection: the old one has just failed.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("facefold/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| causes(&error))?;
    let mut reason = String::new();
    for _ in 0..CONNECTIONS {
        let before = length(partial);
        match transfer(&client, url, partial, progress) {
            Ok(()) => {
                let found = sha256_of_file(partial).map_err(|error| error.to_string())?;
                if found == sha256 {
                    return Ok(());
                }
                // The bytes that were there before may be wrong, so only a fresh download ends it.
                fs::remove_file(partial).map_err(|error| error.to_string())?;
                reason = format!("{url} gave bytes with sha256 {found}, expected {sha256}");
                if before == 0 {
                    return Err(reason);
                }
            }
            Err(problem) => {
                reason = problem;
                if length(partial) <= before {
                    return Err(reason);
                }
            }
        }
    }
    Err(reason)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn transfer(
    client: &Client,
    url: &str,
    partial: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), String> {
    let have = length(partial);
    let mut request = client.get(url);
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let mut response = request.send().map_err(|error| causes(&error))?;
    let resumed = match response.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&response, have) => true,
        StatusCode::OK => false,
        // There are no more bytes: the file is complete, or the hash check fails.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        status => return Err(format!("{url}: status {status}")),
    };
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(partial)
        .map_err(|error| error.to_string())?;
    let mut done = if resumed { have } else { 0 };
    let total = response.content_length().map(|rest| done + rest);
    progress(done, total);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = response
            .read(&mut buffer)
            .map_err(|error| format!("{url} broke off after {done} bytes: {}", causes(&error)))?;
        if count == 0 {
            return file.sync_all().map_err(|error| error.to_string());
        }
        file.write_all(&buffer[..count]).map_err(|error| error.to_string())?;
        done += count as u64;
        progress(done, total);
    }
}

fn starts_at(response: &Response, have: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

/// An error with everything that caused it: the outermost message alone is rarely informative.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
