//! The `facefold` command as a user runs it.

// Helpers of tests fail by panicking and say what is skipped, as tests do.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod across;
mod augmented;
mod bundle;
mod config;
mod explain;
mod export;
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
mod object_storage;
mod pipeline;
mod predict;
mod real;
mod replicas;
mod report;
mod serve;
mod stores;
mod support;
mod tensorboard;
mod thresholds;
mod tune;
mod usage;
