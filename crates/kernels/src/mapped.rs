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

/// Asks the system to read what lies in mapped files into its page cache: this stretch and no other, together, and
/// without waiting for it. Who looks at a place that is not there yet waits for a read-ahead around it, which is many
/// times as long as a short stretch. Does nothing for memory of other kinds, and on other systems than Linux.
pub fn prefetch(values: &[f32]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if !values.is_empty() {
        /// Advice is on whole pages; no system has larger ones.
        const PAGE: usize = 1 << 16;
        let start = values.as_ptr().addr() / PAGE * PAGE;
        let bytes = values.as_ptr_range().end.addr() - start;
        // SAFETY: this advice changes no contents and no access, whatever lies in the range; its refusal changes no
        // behaviour.
        unsafe {
            libc::madvise(std::ptr::without_provenance_mut(start), bytes, libc::MADV_WILLNEED)
        };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = values;
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
    use super::{MappedFile, prefetch};

    #[test]
    fn memory_of_any_kind_may_be_prefetched() {
        let values = vec![1.5_f32; 100_000];
        for range in [0..0, 0..1, 17..99_999, 0..100_000] {
            prefetch(&values[range]);
        }
        assert!(values.iter().all(|&value| value == 1.5));
    }

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
