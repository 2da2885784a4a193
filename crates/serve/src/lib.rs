//! Answers over HTTP: predict, embed, an insightface container's dialect, and a web page.
//!
//! A [`Server`] is bound to an address, then run until it is told to stop. Requests put their
//! pictures on one bounded queue; as many workers as there are cores take them, several at a time
//! where several wait. Nothing that a client sends is written to disk or logged.

mod app;
mod base64_forms;
mod connections;
mod dialect;
mod explain;
mod guard;
mod json;
mod metrics;
mod options;
mod page;
mod patience;
mod predict;
mod problem;
mod queue;
mod results;
mod server;
mod shelf;
mod state;
mod tokens;
mod upload;
mod workers;

pub use app::{OPENAPI, ROUTES};
pub use options::{Limits, Options};
pub use server::{ServeError, Server, Stopper};
pub use upload::pictures_in;
