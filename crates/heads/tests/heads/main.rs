//! Requirements of every head: it learns, is reproducible, and uses no rows that it should not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod export;
mod kinds;
mod large;
mod learning;
mod ranges;
mod repeat;
mod support;
