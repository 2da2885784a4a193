//! What the client makes of servers that behave, and of servers that do not.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod dialects;
mod insightface_rest;
mod misbehaviour;
mod mock;
mod pipeline;
mod replicas;
