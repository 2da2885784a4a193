//! Where a value's pixels are stored: an f32 plane, planes of bf16 values, or both.

use facefold_kernels::lanes::{Lanes, cut_to_bf16, from_bf16, to_bf16};

use super::epilogue::{EpilogueOps, F32, HIGH, INTERLEAVED, LOW};
use crate::layout::Layout;

/// The planes of one value. A null plane is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    pub layout: Layout,
    pub f32: *mut f32,
    /// The values rounded to bf16.
    pub high: *mut u16,
    /// What that rounding took away, cut to bf16.
    pub low: *mut u16,
    /// Elements of the bf16 planes from one value to the next, block by block of channels.
    pub block_stride: usize,
}

impl Planes {
    /// Planes that are not there.
    pub fn absent(layout: Layout) -> Self {
        let none = std::ptr::null_mut();
        Self { layout, f32: std::ptr::null_mut(), high: none, low: none, block_stride: 1 }
    }

    /// Where a pixel's channel lies in each plane.
    pub fn at(&self, [image, y, x]: [usize; 3], channel: usize) -> Place {
        self.place(self.layout.pixel(image, y, x) * self.layout.pitch + channel)
    }

    /// Where a row of the first picture starts, counted from the first row of zeros above it.
    pub fn row(&self, row: usize) -> Place {
        self.place(self.layout.row_start(row) * self.layout.pitch)
    }

    fn place(&self, offset: usize) -> Place {
        Place {
            f32: further(self.f32, offset),
            high: further(self.high, offset * self.block_stride),
            low: further(self.low, offset * self.block_stride),
            block_stride: self.block_stride,
        }
    }
}

/// An address in a plane; null stays null.
fn further<T>(start: *mut T, elements: usize) -> *mut T {
    if start.is_null() { start } else { start.wrapping_add(elements) }
}

/// Addresses in the planes of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub f32: *mut f32,
    pub high: *mut u16,
    pub low: *mut u16,
    block_stride: usize,
}

impl Place {
    pub const NOWHERE: Self = Self {
        f32: std::ptr::null_mut(),
        high: std::ptr::null_mut(),
        low: std::ptr::null_mut(),
        block_stride: 1,
    };

    /// The places this many elements further, whole blocks where halves are interleaved. A null
    /// place becomes meaningless; no operation uses it.
    #[inline(always)]
    pub fn add(self, elements: usize) -> Self {
        Self {
            f32: self.f32.wrapping_add(elements),
            high: self.high.wrapping_add(elements * self.block_stride),
            low: self.low.wrapping_add(elements * self.block_stride),
            block_stride: self.block_stride,
        }
    }

    /// The planes that are there, as bits.
    #[inline(always)]
    pub fn ops(self) -> EpilogueOps {
        let bit = |absent: bool, bit: EpilogueOps| if absent { 0 } else { bit };
        bit(self.f32.is_null(), F32)
            | bit(self.high.is_null(), HIGH)
            | bit(self.high.is_null() || self.low.is_null(), LOW)
            | bit(self.high.is_null() || self.block_stride == 1, INTERLEAVED)
    }

    /// Writes zeros to the planes that are there.
    ///
    /// # Safety
    /// As many values can be written there.
    pub unsafe fn clear(self, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if !self.f32.is_null() {
                self.f32.write_bytes(0, count);
            }
            if !self.high.is_null() {
                self.high.write_bytes(0, count * self.block_stride);
            }
            if !self.low.is_null() && self.block_stride == 1 {
                self.low.write_bytes(0, count);
            }
        }
    }

    /// Writes `N` registers to the planes that `ops` names.
    ///
    /// # Safety
    /// They can be written there.
    #[inline(always)]
    pub unsafe fn write<S: Lanes, const N: usize>(
        self,
        s: S,
        ops: EpilogueOps,
        values: &[S::Register; N],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if ops & F32 != 0 {
                for (i, &value) in values.iter().enumerate() {
                    s.store(self.f32.add(i * S::COUNT), value);
                }
            }
            if ops & INTERLEAVED != 0 {
                for (i, &value) in values.iter().enumerate() {
                    s.store_bf16_interleaved(self.high.add(2 * i * S::COUNT), value);
                }
            } else if ops & HIGH != 0 {
                let low = if ops & LOW != 0 { self.low } else { std::ptr::null_mut() };
                if N == 2 {
                    s.store_bf16_pair(self.high, low, [values[0], values[1]]);
                } else {
                    s.store_bf16(self.high, low, values[0]);
                }
            }
        }
    }

    /// Writes values one after another to the planes that are there.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    pub unsafe fn write_all<S: Lanes>(self, s: S, values: &[f32]) {
        // SAFETY: a block holds one register; the caller vouches for the place.
        unsafe {
            let whole = |block: &[f32]| s.load(block.as_ptr());
            self.write_each(s, values, whole, |value| value);
        }
    }

    /// Writes bytes less the mean, times the scale, one after another to the planes that are
    /// there.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    pub unsafe fn write_bytes<S: Lanes>(self, s: S, bytes: &[u8], [mean, scale]: [f32; 2]) {
        let (less, times) = (s.splat(-mean), s.splat(scale));
        // SAFETY: a block holds as many bytes as a register has lanes; the caller vouches for the
        // place.
        unsafe {
            let whole = |block: &[u8]| s.mul(s.add(s.load_bytes(block.as_ptr()), less), times);
            self.write_each(s, bytes, whole, |byte| (f32::from(byte) - mean) * scale);
        }
    }

    /// Writes what becomes of values, a register at a time as long as there are enough.
    ///
    /// # Safety
    /// As many values can be written there.
    #[inline(always)]
    unsafe fn write_each<S: Lanes, T: Copy>(
        self,
        s: S,
        values: &[T],
        whole: impl Fn(&[T]) -> S::Register,
        single: impl Fn(T) -> f32,
    ) {
        let ops = self.ops();
        let mut blocks = values.chunks_exact(S::COUNT);
        let mut place = self;
        for block in &mut blocks {
            // SAFETY: the caller's promise.
            unsafe { place.write::<S, 1>(s, ops, &[whole(block)]) };
            place = place.add(S::COUNT);
        }
        for (i, &value) in blocks.remainder().iter().enumerate() {
            let value = single(value);
            let high = to_bf16(value);
            // SAFETY: the caller's promise.
            unsafe {
                if ops & F32 != 0 {
                    place.f32.add(i).write(value);
                }
                if ops & HIGH != 0 {
                    place.high.add(i).write(high);
                }
                if ops & LOW != 0 {
                    place.low.add(i).write(cut_to_bf16(value - from_bf16(high)));
                }
            }
        }
    }
}
