//! Zeroed memory that starts at a cache line.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

const LINE: usize = 64;

/// Memory for plain numbers, zeroed at the start. Kernels write to it through its address; who
/// runs them holds the buffer's owner mutably.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the buffer owns its memory, and shared references only give its address.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub fn zeroed(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(LINE).max(LINE);
        let Some(layout) = Self::layout(bytes) else { handle_alloc_error(Layout::new::<u8>()) };
        // SAFETY: the layout has a size above zero.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        Self { start, bytes }
    }

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, LINE).ok()
    }

    /// The first byte; the memory lives as long as the buffer.
    pub fn address(&self) -> *mut u8 {
        self.start.as_ptr()
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

/// Types for which every pattern of bits is a value, and zero bytes are 0.
pub(crate) trait Number: Copy {}
impl Number for f32 {}
impl Number for u16 {}

/// Numbers in aligned memory.
#[derive(Debug)]
pub(crate) struct Numbers<T> {
    buffer: Buffer,
    count: usize,
    kind: PhantomData<T>,
}

impl<T: Number> Numbers<T> {
    pub fn zeroed(count: usize) -> Self {
        Self { buffer: Buffer::zeroed(count * size_of::<T>()), count, kind: PhantomData }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: the buffer holds `count` zeroed or written `T`, aligned to 64 bytes, and is
        // borrowed mutably for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.address().cast(), self.count) }
    }

    pub fn as_slice(&self) -> &[T] {
        // SAFETY: as above; nothing writes to the numbers through a shared reference.
        unsafe { std::slice::from_raw_parts(self.buffer.address().cast(), self.count) }
    }
}
