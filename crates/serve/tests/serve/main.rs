//! The server over real connections, with the untrained network on drawn faces.

// Helpers of tests fail by panicking and say what they saw, as tests do.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

mod access;
mod client;
mod dialect;
mod explain;
mod hostile;
mod load;
mod reports;
mod routes;
mod schema;
mod support;
