//! What a store promises, tested from outside.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and tell what they skip"
)]

mod crash;
mod damage;
mod equality;
mod export;
mod forget;
mod lifecycle;
mod python;
mod util;
