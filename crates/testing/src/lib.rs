//! What the workspace's tests share: how a test says that it cannot run here, and why.
//!
//! A test that lacks something calls [`skip`] and returns. The line goes past the test harness,
//! which hides what passing tests print, and into the file that `FACEFOLD_SKIPPED` names, which
//! `scripts/test` prints at its end. What `FACEFOLD_REQUIRE` lists, by the names of [`Need`] with
//! commas between, must be there: a skip for want of it fails the test.
//!
//! Used by tests alone, so it fails as they do: by panicking.
#![allow(clippy::panic)]

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// What a test may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Real faces and label lists: `FACEFOLD_TEST_DATA` names their folder.
    Data,
    /// The weights of `buffalo_s`: `facefold models fetch buffalo_s`, or `FACEFOLD_MODELS` names a
    /// folder with them.
    Weights,
    /// `w600k_r50.onnx` of `buffalo_l` in the folder that `FACEFOLD_MODELS` names.
    LargeWeights,
    /// A Python with the packages of `scripts/requirements.txt`: `FACEFOLD_PARITY_PYTHON` names it.
    Python,
    /// `ffmpeg` on the path.
    Ffmpeg,
    /// `chromium` and `chromedriver` on the path.
    Browser,
    /// libfaketime, which shows a program another clock.
    Faketime,
    /// A processor with matrix tiles (AMX).
    Amx,
    /// `/proc`, as Linux has it.
    Proc,
    /// Leave to fetch from the network: `FACEFOLD_TEST_NETWORK` is set.
    Network,
}

impl Need {
    /// The name by which `FACEFOLD_REQUIRE` asks for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Weights => "weights",
            Self::LargeWeights => "large-weights",
            Self::Python => "python",
            Self::Ffmpeg => "ffmpeg",
            Self::Browser => "browser",
            Self::Faketime => "faketime",
            Self::Amx => "amx",
            Self::Proc => "proc",
            Self::Network => "network",
        }
    }

    /// How to have it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Data => "set FACEFOLD_TEST_DATA to a folder of data sets",
            Self::Weights => "run `facefold models fetch buffalo_s` or set FACEFOLD_MODELS",
            Self::LargeWeights => "run `facefold models fetch buffalo_l` and set FACEFOLD_MODELS",
            Self::Python => "set FACEFOLD_PARITY_PYTHON, or let `scripts/test` make it",
            Self::Ffmpeg => "install ffmpeg",
            Self::Browser => "install chromium and chromedriver",
            Self::Faketime => "install libfaketime",
            Self::Amx => "it takes a processor with matrix tiles",
            Self::Proc => "it takes Linux",
            Self::Network => "set FACEFOLD_TEST_NETWORK to let it fetch",
        }
    }

    /// The variable that names it, where one does.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Data => Some("FACEFOLD_TEST_DATA"),
            Self::Weights => Some("FACEFOLD_MODELS"),
            Self::Python => Some("FACEFOLD_PARITY_PYTHON"),
            Self::Network => Some("FACEFOLD_TEST_NETWORK"),
            _ => None,
        }
    }
}

/// Says that the test on this thread did not run, for want of something. The caller returns.
///
/// # Panics
/// Where `FACEFOLD_REQUIRE` lists what is missing, or the file that `FACEFOLD_SKIPPED` names cannot
/// be written.
pub fn skip(need: Need) {
    // The harness runs each test on a thread of its name.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("skipped: {test} needs {} ({})\n", need.name(), need.remedy());
    let required = env::var("FACEFOLD_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == need.name()), "{line}");
    // Not `eprint!`, which the harness keeps to itself.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = env::var_os("FACEFOLD_SKIPPED") {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&list)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            panic!("cannot write `{}`: {error}", list.display());
        }
    }
}

/// The path that a need's variable holds; where it is not set, the test is [skipped](skip).
#[must_use]
pub fn given(need: Need) -> Option<PathBuf> {
    let found = need.variable().and_then(env::var_os).map(PathBuf::from);
    if found.is_none() {
        skip(need);
    }
    found
}
