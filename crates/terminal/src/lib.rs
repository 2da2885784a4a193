//! What facefold's commands show on a terminal: answers on stdout, as text or JSON; notes and progress on stderr.

mod log;
mod output;
mod progress;

pub use log::log;
pub use output::{Output, document, document_line, failure, line, note, script};
pub use progress::{Terminal, on_interrupt};
