//! Files for parsers that read files: a folder of this process, in memory where `TMPDIR` is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// A folder with this name below the one of this process. Whoever sets `TMPDIR` removes them.
pub(crate) fn folder(name: &str) -> PathBuf {
    let process = FOLDER.get_or_init(|| tempfile::tempdir().unwrap().keep());
    let folder = process.join(name);
    fs_err::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file below a folder, replacing what was there.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs_err::write(folder.join(name), bytes).unwrap();
}
