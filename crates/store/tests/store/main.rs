//! What a store promises, tested from outside.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and print what they skip"
)]

mod corruption;
mod crash;
mod equality;
mod export;
mod forget;
mod import;
mod lifecycle;
mod merge;
mod python;
mod util;
