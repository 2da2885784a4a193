//! The facefold command.
fn main() {}
