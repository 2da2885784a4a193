//! What the tests of this crate share.

use std::io::Write;
use std::path::PathBuf;

/// The folder with the published sets; where there is none, prints past the test harness, which
/// would hide it, that `test` is skipped.
pub(crate) fn shared_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FACEFOLD_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        let line = format!("skipped: {test} needs FACEFOLD_TEST_DATA\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    folder
}
