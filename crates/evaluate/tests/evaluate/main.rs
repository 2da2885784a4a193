//! One binary for the tests of this crate that cross its modules.
#![allow(clippy::unwrap_used, reason = "helpers outside of test functions may unwrap too")]

mod calibration;
mod compare;
mod cross_validate;
mod heads;
mod leak;
mod metrics;
mod protocol;
mod search;
mod sets;
mod slices;
mod statistics;
mod thresholds;
