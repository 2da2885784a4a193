//! The `facefold` command as a user runs it.

// Helpers of tests fail by panicking and say what is skipped, as tests do.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod hostile;
mod kill;
mod real;
mod road;
mod support;
mod usage;
