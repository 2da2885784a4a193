//! Every change that a store makes to the disk: creating, writing, syncing, renaming, deleting.
//!
//! All of it passes through here, so that tests can let any single one of them fail.

use std::io::{self, Write};
use std::path::Path;

pub(crate) use facefold_core::files::PARTIAL;
use facefold_core::files::{partial_files, sync_directory};
use fs_err as fs;

/// A change to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    Shorten,
}

/// A file that is not whole yet, under a name that no reader takes for one of its own.
#[derive(Debug)]
pub(crate) struct PartialFile(tempfile::NamedTempFile);

impl PartialFile {
    /// Begins a file in a directory, which is made if need be. Others may read it once it has its
    /// name.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        create_dir_all(directory)?;
        meet(Operation::Create, directory)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PARTIAL);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        builder.tempfile_in(directory).map(Self).map_err(|error| named(&error, directory))
    }

    /// Where it lies until it is whole.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives the finished file its name, durably.
    pub(crate) fn persist(self, path: &Path) -> io::Result<()> {
        meet(Operation::Sync, path)?;
        if !faults::pretend() {
            self.0.as_file().sync_all().map_err(|error| named(&error, path))?;
        }
        meet(Operation::Rename, path)?;
        self.0.persist(path).map_err(|error| named(&error.error, path))?;
        path.parent().map_or(Ok(()), sync_names)
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(&mut self.0, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a whole file so that a reader sees the old content or the new, never a half.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = PartialFile::new(directory)?;
    file.write_all(bytes).map_err(|error| named(&error, path))?;
    file.persist(path)
}

/// Writes all bytes at the current position of a file.
pub(crate) fn write_all(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if let Some(error) = faults::meet(Operation::Write) {
        // What a full disk does: it takes a part.
        let _ = file.write_all(&bytes[..bytes.len() / 2]);
        return Err(error);
    }
    file.write_all(bytes)
}

/// Makes the content of a file durable.
pub(crate) fn sync_data(file: &fs::File) -> io::Result<()> {
    meet(Operation::Sync, file.path())?;
    if faults::pretend() { Ok(()) } else { file.sync_data() }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    meet(Operation::Sync, directory)?;
    if faults::pretend() { Ok(()) } else { sync_directory(directory) }
}

/// Cuts a file off.
pub(crate) fn shorten(file: &fs::File, length: u64) -> io::Result<()> {
    meet(Operation::Shorten, file.path())?;
    file.set_len(length)
}

/// Deletes a file.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    meet(Operation::Remove, path)?;
    fs::remove_file(path)
}

/// Makes a directory and those above it.
pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    meet(Operation::Create, path)?;
    fs::create_dir_all(path)
}

/// Deletes what killed writers left in a directory. The caller holds the lock for it.
pub(crate) fn remove_partial_files(directory: &Path) -> io::Result<()> {
    partial_files(directory)?.iter().try_for_each(|path| remove_file(path))
}

/// Opens a file that is only ever locked, after making it where there is none.
pub(crate) fn open_lock(path: &Path) -> io::Result<fs::File> {
    if !path.exists() {
        meet(Operation::Create, path)?;
    }
    fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()))
}

fn meet(operation: Operation, path: &Path) -> io::Result<()> {
    faults::meet(operation).map_or(Ok(()), |error| Err(named(&error, path)))
}

/// Outside of tests nothing fails by intent.
#[cfg(not(test))]
mod faults {
    pub(super) fn meet(_: super::Operation) -> Option<std::io::Error> {
        None
    }

    pub(super) fn pretend() -> bool {
        false
    }
}

#[cfg(test)]
pub(crate) mod faults {
    //! Lets changes to the disk fail, by their number, on the thread that asks for it.

    use std::cell::RefCell;
    use std::io;

    use super::Operation;

    /// What fails.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Plan {
        /// The first change that fails, counted from 0.
        pub(crate) first: usize,
        /// With which error.
        pub(crate) kind: io::ErrorKind,
        /// Whether all later ones fail too, as on a disk that stays full.
        pub(crate) lasting: bool,
    }

    #[derive(Default)]
    struct State {
        begun: bool,
        plan: Option<Plan>,
        met: Vec<Operation>,
    }

    thread_local! {
        static STATE: RefCell<State> = RefCell::default();
    }

    /// Begins to count, with or without something to fail; gives the changes counted until now.
    pub(crate) fn begin(plan: Option<Plan>) -> Vec<Operation> {
        let state = State { begun: true, plan, met: Vec::new() };
        STATE.replace(state).met
    }

    pub(super) fn meet(operation: Operation) -> Option<io::Error> {
        STATE.with_borrow_mut(|State { begun, plan, met }| {
            let number = met.len();
            met.extend(Some(operation).filter(|_| *begun));
            let Plan { first, kind, lasting } = (*plan)?;
            let fails = number == first || (lasting && number > first);
            // A full disk does not keep anybody from deleting and cutting.
            let full = matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let frees = matches!(operation, Operation::Remove | Operation::Shorten);
            (fails && !(full && frees)).then(|| io::Error::from(kind))
        })
    }

    /// Whether syncing is left out: thousands of runs would wait for the disk.
    pub(super) fn pretend() -> bool {
        STATE.with_borrow(|state| state.begun)
    }
}
