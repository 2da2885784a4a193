//! What libraries say while they work.

use tracing_subscriber::EnvFilter;

/// Writes what libraries say from this level on (`warn`, `info`, `debug`, `trace`) to stderr; `FACEFOLD_LOG` has the
/// last word. To be called once.
pub fn log(level: &str) {
    let filter = EnvFilter::try_from_env("FACEFOLD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}
