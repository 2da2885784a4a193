//! What every head must do: learn, repeat itself, look at nothing it should not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod export;
mod kinds;
mod learning;
mod ranges;
mod repeat;
mod support;
