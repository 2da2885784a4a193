//! Files mapped into memory.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file, read from the disk where and when they are looked at, and held in the
/// system's page cache rather than in memory of their own.
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a file that no process changes in place or shortens while it is mapped. To rename
    /// another one over it, or to delete it, is safe where the system lets one do it.
    ///
    /// # Errors
    /// If the file cannot be opened or mapped; the error names it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot map `{}`: {error}", path.display()))
        };
        let file = File::open(path).map_err(named)?;
        // SAFETY: the bytes must not change while they are borrowed. It is what this function asks
        // of its callers; the file is opened for reading and mapped privately, so nothing in this
        // process can write to it through the map.
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) };
        Ok(Self { map: map.map_err(named)? })
    }

    /// Reads some of its bytes from the disk now, so that they are there when they are looked at.
    ///
    /// # Panics
    /// Where the range ends behind the file.
    pub fn fetch(&self, range: Range<usize>) {
        /// No page is smaller.
        const PAGE: usize = 4096;
        let bytes = &self.map[range];
        for page in bytes.chunks(PAGE) {
            black_box(page[0]);
        }
        // A range seldom begins with a page, so its end may lie on one more.
        black_box(bytes.last());
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("bytes", &self.map.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::MappedFile;

    #[test]
    fn a_mapped_file_keeps_its_bytes_after_removal() {
        let path = std::env::temp_dir().join(format!("facefold-mapped-{}", std::process::id()));
        let bytes: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        mapped.fetch(100..9_000);
        mapped.fetch(0..0);
        #[cfg(unix)]
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped.as_ref(), bytes);
        drop(mapped);
        let _ = std::fs::remove_file(&path);
        let error = MappedFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("facefold-mapped-"), "{error}");
    }
}
