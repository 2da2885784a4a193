//! The directory of a report: what of it belongs to a report, and what must go.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use facefold_core::Task;
use facefold_core::files::{RUN_FILE, children, is_absent, remove_partial_files};
use facefold_evaluate::{forget_rows, is_fit};
use fs_err as fs;

use crate::error::ReportError;
use crate::side_by_side::predictions_file;

/// The journal of a report's run, relative to its directory.
pub const FITS: &str = "fits";

/// The file of a task's label-error candidates, relative to the report's directory.
#[must_use]
pub fn label_errors_file(task: Task) -> String {
    format!("{task}/label-errors.csv")
}

/// Deletes the report that lies in a directory, whatever run it is of: documents, the file that repeats the run, plots, predictions
/// and label-error candidates of all tasks, and what a killed run left unfinished. The JSON goes first:
/// where it is, the rest is. Fits stay, and so does everything that is of no report.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn remove(directory: &Path) -> Result<(), ReportError> {
    for path in files(directory)? {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    remove_unfinished(directory)?;
    for name in directories() {
        // One that holds something else stays.
        let _ = fs::remove_dir(directory.join(name));
    }
    Ok(())
}

/// The files that [`remove`] deletes, whether they are there or not.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let documents = ["report.json", "report.md", "report.html", RUN_FILE].map(str::to_owned);
    let tables = Task::ALL.into_iter().flat_map(tables_of);
    let named = documents.into_iter().chain(tables).map(|name| directory.join(name));
    Ok(named.chain(plots(directory)?).collect())
}

/// Refuses a directory in which a report would replace files that are of none: where there is neither a report
/// nor a fit of a run that was cut off.
///
/// # Errors
/// [`ReportError::Foreign`], or any error of the file system, naming the path.
pub(crate) fn require_no_foreign_file(directory: &Path) -> Result<(), ReportError> {
    if holds_report(directory)? {
        return Ok(());
    }
    for path in children(&directory.join(FITS))? {
        if is_fit(&path)? {
            return Ok(());
        }
    }
    for path in files(directory)? {
        if path.symlink_metadata().is_ok() && !is_run_file(&path)? {
            return Err(ReportError::Foreign { path });
        }
    }
    Ok(())
}

/// Whether a directory has the `report.json` of some version of this program, damaged or not.
fn holds_report(directory: &Path) -> io::Result<bool> {
    match fs::read(directory.join("report.json")) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).contains("\"provenance\"")),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a file is one that repeats a run, as its first line says.
fn is_run_file(path: &Path) -> io::Result<bool> {
    Ok(path.file_name() == Some(OsStr::new(RUN_FILE))
        && fs::read(path)?.starts_with(b"# Repeats a run of facefold"))
}

/// Deletes what killed runs left unfinished in the directory of a report, its fits among it.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    remove_partial_files(directory)?;
    directories().chain([FITS]).try_for_each(|name| remove_partial_files(&directory.join(name)))
}

/// The directories of a report's tables and plots.
fn directories() -> impl Iterator<Item = &'static str> {
    Task::ALL.into_iter().map(Task::as_str).chain(["plots"])
}

/// Removes pictures from the rows of the report in a directory, and its fits and what a killed run left
/// unfinished, which hold predictions for all rows; gives the number of rows removed. `gone` is called
/// with the path of each row.
///
/// The figures stay as they were measured, over all rows.
///
/// # Errors
/// Any error of the file system, or a table that cannot be read, naming the path.
pub fn forget_pictures(
    directory: &Path,
    gone: &dyn Fn(&str) -> bool,
) -> Result<usize, ReportError> {
    remove_unfinished(directory)?;
    let mut removed = 0;
    for path in Task::ALL.into_iter().flat_map(tables_of).map(|name| directory.join(name)) {
        if path.exists() {
            removed += forget_rows(&path, gone)?;
        }
    }
    for path in children(&directory.join(FITS))? {
        if is_fit(&path)? {
            fs::remove_file(path)?;
        }
    }
    Ok(removed)
}

fn tables_of(task: Task) -> [String; 2] {
    [predictions_file(task), label_errors_file(task)]
}

/// The plots of any report in a directory: those named after a task.
fn plots(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_plot = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".svg") && Task::ALL.iter().any(|task| name.starts_with(&format!("{task}-")))
    };
    Ok(children(&directory.join("plots"))?.into_iter().filter(is_plot).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{RUN_FILE, forget_pictures, fs, remove, require_no_foreign_file};
    use crate::lock::DirectoryLock;

    /// What a run leaves that was killed while it wrote: before a file had its name.
    const UNFINISHED: [&str; 4] =
        [".partial-a", "gender/.partial-b", "plots/.partial-c", "fits/.partial-d"];

    fn killed(directory: &Path) {
        for name in UNFINISHED.into_iter().chain(["fits/age-mlp-fold-0-0.json", "notes.txt"]) {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "path,gender\nanna/1.jpg,f").unwrap();
        }
    }

    fn left(directory: &Path) -> Vec<&str> {
        UNFINISHED.into_iter().filter(|name| directory.join(name).exists()).collect()
    }

    #[test]
    fn what_a_killed_run_left_unfinished_goes_with_the_report() {
        let directory = tempfile::tempdir().unwrap();
        killed(directory.path());
        remove(directory.path()).unwrap();
        assert_eq!(left(directory.path()), [""; 0]);
        assert!(directory.path().join("notes.txt").exists());
        assert!(directory.path().join("fits/age-mlp-fold-0-0.json").exists());
        assert!(
            !directory.path().join("gender").exists() && !directory.path().join("plots").exists()
        );
    }

    #[test]
    fn files_of_other_programs_are_not_replaced() {
        let names =
            ["report.md", "report.json", RUN_FILE, "age/predictions.csv", "plots/age-heads.svg"];
        for name in names {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::create_dir_all(directory.path().join("fits")).unwrap();
            let curve = directory.path().join("fits/my-curve.json");
            fs::write(&curve, "{\"mine\":1}").unwrap();
            require_no_foreign_file(directory.path()).unwrap();
            fs::write(&path, "{\"mine\":2}").unwrap();
            let refused = DirectoryLock::claim(directory.path()).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("move the file away"), "{refused}");
            // What a run has left that was cut off makes it a report's.
            fs::write(directory.path().join("fits/age-mlp-fold-0-0.json"), "cut o").unwrap();
            require_no_foreign_file(directory.path()).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(RUN_FILE), "# Repeats a run of facefold 0.1.0").unwrap();
        require_no_foreign_file(directory.path()).unwrap();
        fs::write(directory.path().join("report.json"), "{\"provenance\":").unwrap();
        fs::write(directory.path().join("report.md"), "# gender").unwrap();
        require_no_foreign_file(directory.path()).unwrap();
    }

    #[test]
    fn a_picture_is_also_forgotten_in_what_a_killed_run_left_unfinished() {
        let directory = tempfile::tempdir().unwrap();
        killed(directory.path());
        let curve = directory.path().join("fits/my-curve.json");
        fs::write(&curve, "{}").unwrap();
        forget_pictures(directory.path(), &|path| path.starts_with("anna")).unwrap();
        assert_eq!(left(directory.path()), [""; 0]);
        assert!(!directory.path().join("fits/age-mlp-fold-0-0.json").exists() && curve.exists());
    }
}
