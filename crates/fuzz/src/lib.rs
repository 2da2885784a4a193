//! Hostile bytes for every parser: targets for coverage-guided fuzzing.
//!
//! A target takes any bytes and panics where the program breaks a promise: where a parser panics, or
//! where what it read does not survive being written and read again. `scripts/fuzz` runs them under
//! libFuzzer; the test in this crate runs the seeds, so that no target is broken unnoticed.
//!
//! Formats that carry a checksum get a right one here, or the fuzzer would see nothing but refusals.

// A target fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod imports;
mod labels;
mod networks;
mod pictures;
mod replies;
mod results;
mod scratch;
mod stores;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, those that take the most time to reach their depth first.
pub const TARGETS: &[Target] = &[
    Target { name: "jpeg", run: pictures::decoded, seeds: pictures::jpegs },
    Target { name: "png", run: pictures::png, seeds: pictures::pngs },
    Target { name: "webp", run: pictures::decoded, seeds: pictures::webps },
    Target { name: "tiff", run: pictures::decoded, seeds: pictures::tiffs },
    Target { name: "gif-bmp", run: pictures::decoded, seeds: pictures::gifs_and_bmps },
    Target { name: "onnx", run: networks::onnx, seeds: networks::onnx_seeds },
    Target { name: "bundle", run: networks::bundle, seeds: networks::bundle_seeds },
    Target { name: "store-log", run: stores::log, seeds: stores::log_seeds },
    Target { name: "store-header", run: stores::header, seeds: stores::header_seeds },
    Target { name: "store-samples", run: stores::samples, seeds: stores::samples_seeds },
    Target { name: "store-shard", run: stores::shard, seeds: stores::shard_seeds },
    Target { name: "store-attempts", run: stores::attempts, seeds: stores::attempts_seeds },
    Target { name: "npy", run: imports::npy, seeds: imports::npy_seeds },
    Target { name: "npz", run: imports::npz, seeds: imports::npz_seeds },
    Target {
        name: "external-predictions",
        run: imports::predictions,
        seeds: imports::predictions_seeds,
    },
    Target { name: "mat", run: labels::mat, seeds: labels::mat_seeds },
    Target { name: "adience", run: labels::adience, seeds: labels::adience_seeds },
    Target { name: "manifest", run: labels::manifest, seeds: labels::manifest_seeds },
    Target { name: "fairface", run: labels::fairface, seeds: labels::fairface_seeds },
    Target { name: "utkface", run: labels::utkface, seeds: labels::utkface_seeds },
    Target { name: "path-list", run: labels::path_list, seeds: labels::path_list_seeds },
    Target { name: "journal", run: results::journal, seeds: results::journal_seeds },
    Target { name: "predictions", run: results::predictions, seeds: results::predictions_seeds },
    Target { name: "report", run: results::report, seeds: results::report_seeds },
    Target { name: "jsonpickle", run: replies::jsonpickle, seeds: replies::jsonpickle_seeds },
    Target { name: "rest", run: replies::rest, seeds: replies::rest_seeds },
    Target { name: "multipart", run: replies::multipart, seeds: replies::multipart_seeds },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps the words of the last panic instead of printing them: decoders that give up on damaged bytes
/// are caught on purpose.
pub fn remember_panics() {
    std::panic::set_hook(Box::new(|panic| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
}

fn last_panic() -> String {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Target {
    /// Runs on some bytes.
    ///
    /// # Errors
    /// What [`remember_panics`] kept, where it panics.
    pub fn try_run(&self, bytes: &[u8]) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| (self.run)(bytes))).map_err(|_| last_panic())
    }

    /// Inputs to begin with, none longer than a fuzzer likes.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// Writes the seeds into a folder, a file each.
    ///
    /// # Panics
    /// Where it cannot be written to.
    pub fn write_seeds(&self, folder: &Path) {
        for (number, seed) in self.seeds().iter().enumerate() {
            fs_err::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    /// What `scripts/fuzz` gives libFuzzer as the longest input.
    const LONGEST: usize = 16 << 10;

    #[test]
    fn every_target_takes_its_seeds_and_damaged_ones() {
        super::remember_panics();
        let mut failures = Vec::new();
        for target in TARGETS {
            let seeds = target.seeds();
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds {
                assert!(seed.len() <= LONGEST, "{}: {} bytes", target.name, seed.len());
                let half = seed.len() / 2;
                let mut flipped = seed.clone();
                flipped.get_mut(half).into_iter().for_each(|byte| *byte ^= 0x40);
                for bytes in [&seed[..], &seed[..half], &flipped] {
                    let failure = target.try_run(bytes).err();
                    failures.extend(failure.map(|words| format!("{}: {words}", target.name)));
                }
            }
        }
        drop(std::panic::take_hook());
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
