//! A lock on a file or directory that keeps other programs out for as long as its guard lives.

use std::fs::{File, TryLockError};
use std::io;

/// An exclusive advisory lock (`flock` on Unix, `LockFileEx` on Windows).
///
/// It is given back when this is dropped, or by the system when the program ends. Closing the file
/// alone would not do: a process that another thread is starting at that moment has a copy of the
/// open file until it runs its own program, and would hold the lock meanwhile.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Locks an open file or directory, or gives `None` where someone else holds its lock.
    ///
    /// # Errors
    /// Any other error of the system, such as a file system without locks.
    pub fn try_new(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits until no other program holds the lock of an open file or directory.
    ///
    /// # Errors
    /// Any error of the system.
    pub fn wait(file: File) -> io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file, which follows, gives it back as well unless the file was inherited.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::FileLock;

    #[test]
    fn a_lock_ends_with_its_guard_though_a_copy_of_the_file_stays_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = std::fs::File::create(&path).unwrap();
        // What a process inherits that is started by another thread.
        let inherited = file.try_clone().unwrap();
        let again = || FileLock::try_new(std::fs::File::open(&path).unwrap()).unwrap();
        let guard = FileLock::try_new(file).unwrap().unwrap();
        assert!(again().is_none());
        drop(guard);
        assert!(again().is_some());
        drop(inherited);
    }
}
