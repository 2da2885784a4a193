//! What a store promises, tested from outside.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod lifecycle;
mod util;
