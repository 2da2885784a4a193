//! The `facefold` command with other programs, and its demo.

// Helpers of tests fail by panicking and say what is skipped, as tests do.
#![allow(clippy::expect_used, clippy::print_stdout)]

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_facefold-end-to-end");

mod browser;
mod demo;
mod export;
mod insightface;
mod object_storage;
mod python;
// Helpers of the command's own tests.
#[path = "../../../cli/tests/cli/stored.rs"]
mod stored;
#[allow(dead_code)]
#[path = "../../../cli/tests/cli/support.rs"]
mod support;
