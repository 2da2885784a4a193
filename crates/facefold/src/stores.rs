//! Forgetting people: in a store, and in the reports that were made from it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::files::real;
use facefold_report::{DirectoryLock, ReportError};
use facefold_store::{Forget, Store, StoreWriter};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::remote::{self, is_address};
use crate::run_file;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The store.
    pub store: PathBuf,
    /// Pictures removed from the store, by whose label rows they were known.
    pub pictures: usize,
    /// Pictures removed with them as no label row named them: whose they were is unknown.
    pub unlabelled: usize,
    /// Label rows removed from the store.
    pub label_rows: usize,
    /// Rows of predictions and `label_errors`, by the directory of their report.
    pub reports: BTreeMap<PathBuf, usize>,
    /// Directories of reports that are not there: deleted, or moved, and then with all their rows.
    pub reports_not_found: BTreeSet<PathBuf>,
    /// Reports made from the store that this one is a copy of, by where it lies: they were left as they are.
    pub reports_of_original: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Whether the removal of somebody else was cut off before.
    pub other_removal_unfinished: bool,
}

impl Forgotten {
    /// Where the forgotten person may still be found, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let missing = self.reports_not_found.len();
        if missing > 0 {
            warnings.push(format!(
                "warning: {missing} reports made from this store were not found where they were written: one that \
                 was moved still has its rows of the forgotten person; delete it, or make it anew"
            ));
        }
        for (original, reports) in &self.reports_of_original {
            warnings.push(format!(
                "warning: {} reports were left as they are, as they were made from {}, of which this store is a \
                 copy: run `store forget` on that one too",
                reports.len(),
                original.display()
            ));
        }
        if self.other_removal_unfinished {
            warnings.push(
                "warning: an earlier removal from this store is not finished: run that `store forget` command again"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store.display();
        if self.pictures + self.label_rows > 0 {
            let (pictures, rows) = (self.pictures, self.label_rows);
            writeln!(f, "removed {pictures} pictures and {rows} label rows from {store}")?;
        } else {
            writeln!(f, "finished the removal from {store} that was cut off")?;
        }
        if self.unlabelled > 0 {
            writeln!(
                f,
                "removed {} more pictures, which no label row named: whose they were is unknown",
                self.unlabelled
            )?;
        }
        for (report, rows) in &self.reports {
            writeln!(f, "removed {rows} rows and all fits from {}", report.display())?;
        }
        for report in &self.reports_not_found {
            writeln!(f, "not found: the report {}, made from this store", report.display())?;
        }
        f.write_str(
            "not searched: pictures, label files, files of imported embeddings, trained bundles, and copies made \
             elsewhere",
        )
    }
}

/// Removes a picture, or all pictures of a subject, from a store, and their rows and all finished fits
/// from the reports made from it on this machine. Trained bundles, pictures and label files stay.
///
/// A run that makes a report from the store meanwhile either ends before, or is refused: see
/// [`crate::cross_validate_stores`].
///
/// # Errors
/// Where a run is at work on a report, before anything is changed; if the store or a report cannot be read
/// or written, and the same call then goes on.
pub fn forget(store: &Path, what: Forget<'_>, progress: &dyn Progress) -> Result<Forgotten> {
    let forgotten = remote::writing(store, progress, |directory| forget_in(directory, what))?;
    Ok(Forgotten { store: store.to_owned(), ..forgotten })
}

/// [`forget`], in a directory.
fn forget_in(directory: &Path, what: Forget<'_>) -> Result<Forgotten> {
    let mut store = Store::open_for_writing(directory)?;
    let traces = store.find_traces(what)?;
    let mut reports = Reports::default();
    reports.claim(&store)?;
    let is_new = store.begin_removal(&traces)?;
    // A run that noted its report since the first look may not have seen the removal; later ones do.
    if let Err(error) = reports.claim(&store) {
        if is_new {
            store.withdraw_removal(&traces)?;
        }
        return Err(error);
    }
    let mut forgotten = Forgotten {
        pictures: traces.keys.len() - traces.unlabelled,
        unlabelled: traces.unlabelled,
        label_rows: traces.paths.len(),
        reports_not_found: reports.not_found,
        reports_of_original: reports.of_original,
        ..Forgotten::default()
    };
    for (directory, Claimed { names, _lock }) in &reports.claimed {
        // Behind the store's name, where several stores were tested on.
        let spellings = |path: &PathBuf| {
            let named = names.iter().map(|name| Path::new(name).join(path));
            named.chain([path.clone()]).collect::<Vec<_>>()
        };
        let paths: HashSet<String> = traces
            .paths
            .iter()
            .flat_map(spellings)
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let rows = facefold_report::forget_pictures(directory, &|path| paths.contains(path))?;
        forgotten.reports.insert(directory.clone(), rows);
    }
    forget_in_run_file(&store, &traces.paths)?;
    // Last, so that a removal which failed before can be repeated.
    store.forget(&traces)?;
    forgotten.other_removal_unfinished = store.removal_is_unfinished();
    Ok(forgotten)
}

/// Takes forgotten pictures out of the file that repeats the extraction, which names those that were given one
/// by one.
fn forget_in_run_file(store: &Store, forgotten: &[PathBuf]) -> Result<()> {
    // A path that cannot be looked up is taken as it is.
    let found = |path: PathBuf| real(&path).unwrap_or(path);
    let (root, directory) = (&store.header().dataset.root, store.directory());
    let paths: HashSet<PathBuf> = forgotten.iter().map(|path| found(root.join(path))).collect();
    run_file::retain_values(directory, |value| {
        let is_gone = if is_address(Path::new(value)) {
            forgotten.iter().any(|path| path == Path::new(value))
        } else {
            paths.contains(&found(directory.join(value)))
        };
        !is_gone
    })
}

/// The reports that were noted in a store.
#[derive(Default)]
struct Reports {
    claimed: BTreeMap<PathBuf, Claimed>,
    not_found: BTreeSet<PathBuf>,
    of_original: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

/// A report that no run writes into while this is held.
struct Claimed {
    /// The names that the store goes by in it.
    names: BTreeSet<String>,
    _lock: DirectoryLock,
}

impl Reports {
    /// Claims all reports that are noted by now and were not claimed before.
    fn claim(&mut self, store: &StoreWriter) -> Result<()> {
        for report in store.reports()? {
            if store.is_of_original(&report)? {
                self.of_original.entry(report.store).or_default().insert(report.directory);
            } else if !report.directory.is_dir() {
                self.not_found.insert(report.directory);
            } else if let Some(claimed) = self.claimed.get_mut(&report.directory) {
                claimed.names.insert(report.name);
            } else {
                let lock = DirectoryLock::of(&report.directory).map_err(busy)?;
                let claimed = Claimed { names: BTreeSet::from([report.name]), _lock: lock };
                self.claimed.insert(report.directory, claimed);
            }
        }
        Ok(())
    }
}

/// What to do about a report that cannot be changed now.
fn busy(error: ReportError) -> Error {
    match error {
        ReportError::Busy { path } => Error::data(format!(
            "nothing was removed: a run is at work on the report in `{}`, which it makes from this store; wait \
             for its end, or stop it, then run the same command again",
            path.display()
        )),
        error => error.into(),
    }
}
