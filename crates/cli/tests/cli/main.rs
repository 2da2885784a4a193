//! The `facefold` command as a user runs it.

// Helpers of tests fail by panicking and say what is skipped, as tests do.
#![allow(clippy::expect_used, clippy::print_stdout)]

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_facefold");

mod across;
mod augmented;
mod bundle;
mod config;
mod crops;
mod explain;
mod folders;
mod forget;
mod heads;
mod hostile;
mod import;
mod insightface;
mod judge;
mod kill;
mod labels;
mod merge;
// The server of the client's own tests.
#[path = "../../../insightface/tests/contract/mock.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod mock;
mod pipeline;
mod predict;
mod real;
mod replicas;
mod report;
mod serve;
mod stored;
mod stores;
mod support;
mod tensorboard;
mod thresholds;
mod tune;
mod usage;
mod video;
