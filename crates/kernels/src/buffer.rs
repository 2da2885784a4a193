//! Zeroed memory that starts at a cache line, in large pages where the system has them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Bytes of a cache line.
pub const LINE: usize = 64;
/// Bytes of a large page. Weights and planes are read across so many pages that looking up
/// addresses of small ones costs a tenth of the time.
const PAGE: usize = 2 << 20;

/// Memory for plain numbers, zeroed at the start.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the buffer owns its memory; shared references only read it or give its address.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

/// Types for which every pattern of bits is a value, and zero bytes are 0.
///
/// # Safety
/// As said; and they need no more alignment than a cache line.
pub unsafe trait Number: Copy {}
// SAFETY: plain numbers.
unsafe impl Number for f32 {}
// SAFETY: as above.
unsafe impl Number for u16 {}

impl Buffer {
    /// At least so many bytes, all 0.
    #[must_use]
    pub fn zeroed(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(LINE).max(LINE);
        let Some(layout) = Self::layout(bytes) else { handle_alloc_error(Layout::new::<u8>()) };
        // SAFETY: the layout has a size above zero.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        #[cfg(all(target_os = "linux", not(miri)))]
        if bytes >= PAGE {
            // SAFETY: the range was just allocated; the advice changes no contents, and its
            // refusal no behaviour.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        Self { start, bytes }
    }

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, if bytes >= PAGE { PAGE } else { LINE }).ok()
    }

    /// The first number; the memory lives as long as the buffer.
    #[must_use]
    #[allow(clippy::cast_ptr_alignment, reason = "a buffer starts at a cache line")]
    pub fn plane<T: Number>(&self) -> *mut T {
        self.start.as_ptr().cast()
    }

    /// `count` numbers, `offset` bytes from the start.
    ///
    /// # Panics
    /// Where they do not start at a cache line, or end behind the buffer.
    #[must_use]
    pub fn numbers<T: Number>(&self, offset: usize, count: usize) -> &[T] {
        let start = self.check::<T>(offset, count);
        // SAFETY: the numbers lie within the buffer, aligned; who writes through its address
        // borrows the buffer mutably.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// `count` numbers, `offset` bytes from the start.
    ///
    /// # Panics
    /// Where they do not start at a cache line, or end behind the buffer.
    pub fn numbers_mut<T: Number>(&mut self, offset: usize, count: usize) -> &mut [T] {
        let start = self.check::<T>(offset, count);
        // SAFETY: as above, and the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start, count) }
    }

    fn check<T: Number>(&self, offset: usize, count: usize) -> *mut T {
        assert!(offset.is_multiple_of(LINE) && offset + count * size_of::<T>() <= self.bytes);
        self.plane::<T>().wrapping_byte_add(offset)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: allocated with this layout, and given back once.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, LINE, PAGE};

    #[test]
    fn buffers_are_aligned_and_zeroed() {
        for bytes in [0, 1, 65, PAGE + 1] {
            let mut buffer = Buffer::zeroed(bytes);
            assert_eq!(buffer.plane::<f32>() as usize % LINE, 0);
            assert!(buffer.numbers::<f32>(0, bytes / 4).iter().all(|&v| v == 0.0));
            buffer.numbers_mut::<u16>(0, bytes / 2).fill(7);
            assert!(buffer.numbers::<u16>(0, bytes / 2).iter().all(|&v| v == 7));
        }
    }
}
