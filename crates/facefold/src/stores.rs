//! Forgetting people: in a store, and in the reports that were made from it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use facefold_store::{Forget, NotedReport, Store};
use serde::Serialize;

use crate::error::Result;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Pictures removed from the store.
    pub pictures: usize,
    /// Label rows removed from the store.
    pub label_rows: usize,
    /// Rows of predictions and `label_errors`, by the directory of their report.
    pub reports: BTreeMap<PathBuf, usize>,
    /// Directories of reports that are no longer there.
    pub reports_not_found: Vec<PathBuf>,
}

/// Removes a picture, or all pictures of a subject, from a store, and their rows and all finished fits
/// from the reports made from it on this machine. Trained bundles, pictures and label files stay.
///
/// # Errors
/// If the store or a report cannot be read or written; the same call then goes on.
pub fn forget(directory: &Path, what: Forget<'_>) -> Result<Forgotten> {
    let mut store = Store::open_for_writing(directory)?;
    let traces = store.find_traces(what)?;
    let mut forgotten = Forgotten {
        pictures: traces.keys.len(),
        label_rows: traces.paths.len(),
        ..Forgotten::default()
    };
    for report in store.reports()? {
        let NotedReport { directory, name } = report;
        if directory.is_dir() {
            // Behind the store's name, where several stores were tested on.
            let path_in = |path: &Path| match &name {
                Some(name) => [path.to_owned(), Path::new(name).join(path)],
                None => [path.to_owned(), path.to_owned()],
            };
            let paths: HashSet<String> = traces
                .paths
                .iter()
                .flat_map(|path| path_in(path).map(|path| path.to_string_lossy().into_owned()))
                .collect();
            let rows = facefold_report::forget_pictures(&directory, &|path| paths.contains(path))?;
            *forgotten.reports.entry(directory).or_default() += rows;
        } else if !forgotten.reports_not_found.contains(&directory) {
            forgotten.reports_not_found.push(directory);
        }
    }
    // Last, so that a removal which failed before can be repeated.
    store.forget(&traces)?;
    Ok(forgotten)
}
