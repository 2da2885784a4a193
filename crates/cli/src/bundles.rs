//! The bundles that a command answers with: those named, or the embedded one.

use std::path::{Path, PathBuf};

use facefold_heads::{Bundle, BundleError};
use facefold_predict::{DEFAULT_BUNDLE, default_bundle, trained_on_whole_pictures};

use crate::output;

/// Reads the bundles of these files, with the names they answer by; the embedded one where no file
/// is named.
///
/// # Errors
/// If a file is no bundle.
pub fn load(
    paths: &[PathBuf],
    name: impl Fn(&Path) -> String,
) -> Result<Vec<(String, Bundle)>, BundleError> {
    if paths.is_empty() {
        return Ok(vec![(DEFAULT_BUNDLE.to_owned(), default_bundle()?)]);
    }
    paths.iter().map(|path| Ok((name(path), Bundle::load(path)?))).collect()
}

/// Whether pictures are taken whole, without looking for a face: as asked, or because a bundle was
/// trained so, which is said on stderr.
pub fn take_whole_pictures(bundles: &[(String, Bundle)], asked: bool) -> bool {
    let trained_so = trained_on_whole_pictures(bundles);
    if !asked && !trained_so.is_empty() {
        let were = if trained_so.len() == 1 { "was" } else { "were" };
        output::note(&format!(
            "note: `{}` {were} trained on aligned crops: no face is looked for, and every picture is \
             taken whole as one, whatever it shows; for photographs, extract without --aligned and \
             train anew",
            trained_so.join("`, `")
        ));
    }
    asked || !trained_so.is_empty()
}

/// A file's name without directories and ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
