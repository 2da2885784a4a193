//! Atomic writing of files (a reader sees the old content or the new); reading within
//! bounds.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

/// How the names of files begin that are not whole yet, or never were.
pub const PARTIAL: &str = ".partial-";

/// The name of the file that repeats the run whose results lie next to it.
pub const RUN_FILE: &str = "run.toml";

/// Writes `data` to `path` through a temporary file in the same directory, synced, then renamed;
/// the directory is created if need be, and synced after the rename.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write_atomic(path: &Path, data: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    // Temporary files are private by default, which would hide results from colleagues.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut temporary = builder.tempfile_in(directory).map_err(|error| named(&error, path))?;
    temporary
        .write_all(data)
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(|error| named(&error, path))?;
    temporary.persist(path).map_err(|error| named(&error.error, path))?;
    sync_directory(directory)
}

/// What lies in a directory, sorted by name; nothing where there is no such directory.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

/// The files in `directory` that a killed program left unfinished. The caller makes sure that no
/// program writes there now.
///
/// # Errors
/// As [`children`].
pub fn partial_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = children(directory)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(PARTIAL.as_bytes())
    });
    Ok(paths)
}

/// Deletes [`partial_files`].
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn remove_partial_files(directory: &Path) -> io::Result<()> {
    partial_files(directory)?.into_iter().try_for_each(fs::remove_file)
}

/// An absolute path without links and `..` before its last part, which keeps its name; whether anything is
/// there or not.
///
/// # Errors
/// Any error of the file system but that nothing is there.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(canonical(parent)?.join(name)),
        _ => canonical(&path),
    }
}

/// A path without links and `..`, as far as it is there.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(canonical(parent)?.join(name))
        }
        (found, ..) => found,
    }
}

/// A path as it is written in a file of a directory: relative to that, or absolute where the two have
/// no more than the root in common.
///
/// # Errors
/// As [`real`].
pub fn seen_from(directory: &Path, path: &Path) -> io::Result<PathBuf> {
    let (directory, path) = (canonical(&std::path::absolute(directory)?)?, real(path)?);
    let pairs = directory.components().zip(path.components());
    let shared = pairs.take_while(|(here, there)| here == there).count();
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.components().take(shared).any(is_name) {
        return Ok(path);
    }
    let up = directory.components().skip(shared).map(|_| Component::ParentDir);
    let seen: PathBuf = up.chain(path.components().skip(shared)).collect();
    Ok(if seen.as_os_str().is_empty() { Path::new(".").to_owned() } else { seen })
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum NotRead {
    /// An error of the file system.
    Failed(io::Error),
    /// It is no regular file but this.
    Irregular(&'static str),
    /// It has this many bytes or more.
    TooLong(u64),
}

/// Reads a regular file of at most so many bytes; a pipe, socket or device is not opened.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, NotRead> {
    // Checked before: opening a pipe blocks until it has a writer.
    let metadata = fs::metadata(path).map_err(NotRead::Failed)?;
    if !metadata.is_file() {
        let folder = metadata.is_dir();
        return Err(NotRead::Irregular(if folder {
            "a folder"
        } else {
            "a pipe, socket or device"
        }));
    }
    if metadata.len() > most {
        return Err(NotRead::TooLong(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    if metadata.len() == 0 {
        // Not opened: such a file of the system's own may wait for what never comes.
        return Ok(bytes);
    }
    // It may be longer than reported: a growing file, or one of /proc.
    let file = fs::File::open(path).map_err(NotRead::Failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(NotRead::Failed)?;
    match bytes.len() as u64 {
        length if length > most => Err(NotRead::TooLong(length)),
        _ => Ok(bytes),
    }
}

/// Reads a regular file of at most so many bytes. A file whose length is reported as 0 is empty.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where it is no regular file, which is not opened,
/// [`io::ErrorKind::FileTooLarge`] where it is longer, and any error of the file system; all name
/// the path.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let refused = |kind: io::ErrorKind, found: String| {
        io::Error::new(kind, format!("`{}`: expected {found}", path.display()))
    };
    read_bounded(path, most).map_err(|why| match why {
        NotRead::Failed(error) => error,
        NotRead::Irregular(found) => {
            refused(io::ErrorKind::InvalidInput, format!("a regular file, found {found}"))
        }
        NotRead::TooLong(length) => {
            let found = format!("at most {most} bytes, found {length}");
            refused(io::ErrorKind::FileTooLarge, found)
        }
    })
}

/// Makes a rename or removal in `directory` durable.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    // A directory can be opened and synced on Unix only; elsewhere the rename alone must do.
    if cfg!(unix) {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Whether nothing is at a path: neither a file nor a folder, or a part of it is no folder.
#[must_use]
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A message without the system's words for what is wrong with a path.
///
/// ```
/// use facefold_core::files::in_words;
/// let message = in_words("failed to open file `a.csv`: No such file or directory (os error 2)");
/// assert_eq!(message, "failed to open file `a.csv`: there is no such file or folder");
/// ```
#[must_use]
pub fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("File exists (os error 17)", "a file of that name is there already"),
        ("No such file or directory (os error 2)", "there is no such file or folder"),
        ("Permission denied (os error 13)", "this user has no permission for it"),
        ("Not a directory (os error 20)", "a part of the path is a file, not a folder"),
        ("Is a directory (os error 21)", "it is a folder; expected a file"),
        ("No space left on device (os error 28)", "the disk is full"),
    ];
    WORDS.iter().fold(message.to_owned(), |text, (system, ours)| text.replace(system, ours))
}

/// Whether a failure is not the file's: this process or the machine has no file descriptor, or
/// no memory, left.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    // Out of descriptors here and on the machine, and out of memory; the same on all Unix systems.
    const EXHAUSTED: [i32; 3] = [24, 23, 12];
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        let code = found.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if cfg!(unix) && code.is_some_and(|code| EXHAUSTED.contains(&code)) {
            return true;
        }
        cause = match found.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => found.source(),
        };
    }
    false
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{
        PARTIAL, children, is_exhausted, partial_files, read_at_most, real, remove_partial_files,
        seen_from, write_atomic,
    };

    #[test]
    fn replaces_the_content_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/report.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(fs_err::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let error = write_atomic(directory.path(), b"x").unwrap_err();
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    }

    #[test]
    fn only_regular_files_of_bounded_length_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.csv");
        write_atomic(&path, b"12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let long = read_at_most(&path, 4).unwrap_err().to_string();
        assert!(long.contains("at most 4 bytes, found 5") && long.contains("list.csv"), "{long}");
        let folder = read_at_most(directory.path(), 9).unwrap_err().to_string();
        assert!(folder.contains("found a folder"), "{folder}");
        #[cfg(target_os = "linux")]
        assert!(read_at_most(std::path::Path::new("/dev/zero"), 9).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn running_out_of_descriptors_is_reported_as_exhaustion() {
        let bare = || std::io::Error::from_raw_os_error(24);
        let wrapped = std::io::Error::new(bare().kind(), bare());
        assert!(is_exhausted(&bare()) && is_exhausted(&wrapped));
        let missing = fs_err::read("no/such/file").unwrap_err();
        assert!(!is_exhausted(&missing));
    }

    #[test]
    fn paths_in_a_file_are_relative_to_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        let (results, store) = (root.join("results/a"), root.join("stores/b"));
        fs_err::create_dir_all(&results).unwrap();
        let seen = |path: &std::path::Path| seen_from(&results, path).unwrap();
        assert_eq!(seen(&store), std::path::Path::new("../../stores/b"));
        assert_eq!(seen(&results), std::path::Path::new("."));
        assert_eq!(seen(&results.join("../c/x.npy")), std::path::Path::new("../c/x.npy"));
        assert_eq!(
            seen(std::path::Path::new("/elsewhere/b")),
            std::path::Path::new("/elsewhere/b")
        );
        assert_eq!(real(&results.join("../../stores/b")).unwrap(), store);
        #[cfg(unix)]
        {
            // The link's own name stays: data sets go by the names of their stores.
            std::os::unix::fs::symlink(&results, root.join("link")).unwrap();
            assert_eq!(real(&root.join("link")).unwrap(), root.join("link"));
            assert_eq!(seen_from(&root.join("link"), &store).unwrap(), seen(&store));
        }
    }

    #[test]
    fn what_lies_in_a_directory_is_listed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let away = folder.path().join("away");
        assert!(children(&away).unwrap().is_empty() && partial_files(&away).unwrap().is_empty());
        remove_partial_files(&away).unwrap();
        let [first, second, unfinished] = ["a", "b", &format!("{PARTIAL}c")].map(|name| {
            let path = folder.path().join(name);
            fs_err::write(&path, name).unwrap();
            path
        });
        assert_eq!(partial_files(folder.path()).unwrap(), [unfinished]);
        remove_partial_files(folder.path()).unwrap();
        assert_eq!(children(folder.path()).unwrap(), [first.clone(), second]);
        assert!(children(&first).is_err(), "a file is no directory");
    }
}
