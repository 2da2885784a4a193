//! The HTTP server: prediction, embeddings, an insightface container's dialect, and a web page.
//!
//! A [`Server`] is bound to an address, then run until it is stopped. Requests put their
//! pictures on one bounded queue; as many workers as there are cores take them, several at a time
//! where several wait. Nothing that a client sends is written to disk or logged.

mod api_error;
mod app;
mod base64_forms;
mod connections;
mod cors;
mod dialect;
mod docs;
mod explain;
mod json;
mod metrics;
mod middleware;
mod options;
mod page;
mod predict;
mod queue;
mod report_cache;
mod results;
mod server;
mod state;
mod tokens;
mod upload;
mod workers;
mod write_timeout;

pub use app::{OPENAPI, ROUTES};
pub use options::{BasePath, Limits, Options, origin};
pub use server::{ServeError, Server, Stopper};
pub use upload::pictures_in;
