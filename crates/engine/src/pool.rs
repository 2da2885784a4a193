//! Allocates buffers to planes, and reuses the buffers of values that are no longer needed.

use std::collections::HashMap;

use crate::layout::Layout;
use crate::plan::Slot;

/// Planes that can use one buffer at different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    layout: Layout,
    length: usize,
    /// Two bf16 planes take as many bytes as one f32 plane, but their pictures and the zeros
    /// around them are elsewhere.
    bf16: bool,
    bytes: usize,
}

impl Kind {
    pub fn of(slot: &Slot, bf16: bool) -> Self {
        let each = if bf16 { size_of::<u16>() * slot.halves.count() } else { size_of::<f32>() };
        Self { layout: slot.layout, length: slot.length, bf16, bytes: slot.length * each }
    }
}

/// Buffers, and which of them are free.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Bytes of each buffer.
    pub buffers: Vec<usize>,
    free: HashMap<Kind, Vec<usize>>,
}

impl Pool {
    /// A free buffer for such planes, or a new one.
    pub fn take(&mut self, kind: Kind) -> usize {
        self.free.get_mut(&kind).and_then(Vec::pop).unwrap_or_else(|| {
            self.buffers.push(kind.bytes);
            self.buffers.len() - 1
        })
    }

    /// Returns a buffer that is no longer needed.
    pub fn release(&mut self, kind: Kind, buffer: usize) {
        self.free.entry(kind).or_default().push(buffer);
    }
}
