//! `removal`: which removals of a store are under way, or were cut off.

use std::collections::BTreeSet;
use std::io;
use std::path::Component;

use facefold_core::files::read_at_most;

use crate::disk;
use crate::error::StoreError;
use crate::forget::{Forget, Forgotten};
use crate::header::StoreHeader;
use crate::layout::Layout;
use crate::store::Store;
use crate::writer::StoreWriter;

/// The file is not read further: it holds a line for each removal that was cut off.
const MOST_BYTES: u64 = 1 << 20;

/// A hash of what is to be forgotten, under which the file has it: the name of the forgotten person would
/// be the last of them that is left.
pub(crate) fn hash(header: &StoreHeader, of: Forget<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(header.id().unwrap_or_default().as_bytes());
    match of {
        Forget::Subject(subject) => {
            add(b"subject");
            add(subject.to_string().as_bytes());
        }
        Forget::Image(path) => {
            add(b"image");
            for part in path.components().filter(|part| *part != Component::CurDir) {
                add(part.as_os_str().as_encoded_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

impl Layout {
    /// The hashes of the removals that are not finished.
    pub(crate) fn unfinished_removals(&self) -> io::Result<BTreeSet<String>> {
        match read_at_most(&self.removal(), MOST_BYTES) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    fn put_removals(&self, hashes: &BTreeSet<String>) -> io::Result<()> {
        if hashes.is_empty() {
            return disk::remove_file(&self.removal());
        }
        let lines: String = hashes.iter().flat_map(|hash| [hash.as_str(), "\n"]).collect();
        disk::write_atomic(&self.removal(), lines.as_bytes())
    }
}

impl Store {
    /// Whether a removal was cut off, or is under way.
    #[must_use]
    pub fn removal_is_unfinished(&self) -> bool {
        self.layout.removal().exists()
    }
}

impl StoreWriter {
    /// Lets everybody see that a removal is under way, until [`Self::forget`] has finished it or
    /// [`Self::withdraw_removal`] gives it up; whether it was not under way before, and cut off.
    ///
    /// # Errors
    /// A failure to read or write.
    pub fn begin_removal(&mut self, traces: &Forgotten) -> Result<bool, StoreError> {
        let mut hashes = self.layout.unfinished_removals()?;
        let is_new = hashes.insert(traces.removal.clone());
        if is_new {
            self.layout.put_removals(&hashes)?;
        }
        Ok(is_new)
    }

    /// Gives up a removal of which nothing was done.
    ///
    /// # Errors
    /// A failure to read or write.
    pub fn withdraw_removal(&mut self, traces: &Forgotten) -> Result<(), StoreError> {
        let mut hashes = self.layout.unfinished_removals()?;
        if hashes.remove(&traces.removal) {
            self.layout.put_removals(&hashes)?;
        }
        Ok(())
    }
}
