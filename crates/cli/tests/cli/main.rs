//! The `facefold` command as a user runs it.

mod hostile;
mod kill;
mod real;
mod road;
mod support;
mod usage;
