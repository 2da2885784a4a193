//! Ctrl-C sets a flag that long work looks at; a second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::output;

/// Set once the user asked to stop.
pub type Interrupted = Arc<AtomicBool>;

/// Listens for Ctrl-C and SIGTERM.
///
/// # Errors
/// If a listener is installed already.
pub fn listen() -> anyhow::Result<Interrupted> {
    let interrupted = Interrupted::default();
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        output::note("stopping; what is done is kept (press Ctrl-C again to stop at once)");
    })?;
    Ok(interrupted)
}
