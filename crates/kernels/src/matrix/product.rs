//! Products of dense matrices in f32: tiles of the left factor's rows, read where they lie or
//! copied together, times panels of the right factor's columns.

#![allow(clippy::inline_always, reason = "a call would pass registers through memory")]

use crate::cpu::Kernel;
use crate::lanes::{Lanes, Portable};
use crate::tile::{Segment, multiply};
#[cfg(target_arch = "x86_64")]
use crate::x86::{Avx2, Avx512};

/// Rows of the tallest tile.
pub(super) const STRIP_ROWS: usize = 14;

/// The product of some rows with some panels over a part of the depth.
pub(super) struct MatrixProduct {
    /// The first row's first value.
    pub left: *const f32,
    pub rows: usize,
    /// Elements from one row to the next, and from one value of the depth to the next: one of
    /// them is 1.
    pub row_step: usize,
    pub depth_step: usize,
    pub depth: usize,
    /// Room for a tile of rows: [`STRIP_ROWS`] times the depth.
    pub strip: *mut f32,
    /// Panels of two registers of columns; in each, for each value of the depth, its columns.
    pub panels: *const f32,
    /// Elements from one panel to the next.
    pub panel_step: usize,
    pub columns: usize,
    pub to: *mut f32,
    /// Elements from one row of the product to the next.
    pub to_step: usize,
    /// Whether the product is added to what is there.
    pub adds: bool,
}

/// The product in the registers of an instruction set.
#[derive(Clone, Copy)]
pub(super) struct MatrixKernel {
    /// Lanes in a register.
    pub lanes: usize,
    /// # Safety
    /// As for [`run`].
    pub run: unsafe fn(&MatrixProduct),
}

impl MatrixKernel {
    /// The one of an instruction set that this machine has.
    pub(super) fn of(kernel: Kernel) -> Self {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => Self { lanes: Avx2::COUNT, run: in_avx2 },
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => Self { lanes: Avx512::<false>::COUNT, run: in_avx512 },
            _ => Self { lanes: Portable::COUNT, run: in_portable },
        }
    }
}

unsafe fn in_portable(job: &MatrixProduct) {
    // SAFETY: the caller's promise.
    unsafe { run(Portable, job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn in_avx2(job: &MatrixProduct) {
    // SAFETY: the caller's promise; `MatrixKernel::of` is given kernels that were found available.
    unsafe { run(Avx2::new(), job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn in_avx512(job: &MatrixProduct) {
    // SAFETY: as above.
    unsafe { run(Avx512::<false>::new(), job) }
}

/// The widest tile: rows of two registers of 16.
#[repr(C, align(64))]
struct Scratch([f32; STRIP_ROWS * 32]);

/// A tile of rows.
#[derive(Clone, Copy)]
struct Strip {
    start: *const f32,
    /// Elements from one row to the next where the rows are read where they lie; else each value
    /// of the depth has its `S::ROWS` rows together.
    row_step: Option<usize>,
    /// The first row's number.
    first: usize,
    height: usize,
}

/// A tile of rows, a panel, and where their product goes.
struct TileOperands {
    strip: Strip,
    depth: usize,
    panel: *const f32,
    sums: *mut f32,
}

impl TileOperands {
    /// # Safety
    /// The strip has `M` rows, the panel two registers for each value of the depth, and the sums
    /// have room for `M` rows of two registers.
    #[inline(always)]
    unsafe fn multiply<S: Lanes, const M: usize>(&self, s: S) {
        let Self { strip, depth, panel, sums } = *self;
        let depth = [Segment { offset: 0, length: depth }];
        // SAFETY: the caller's promise.
        unsafe {
            match strip.row_step {
                Some(step) => multiply::<S, 2, M>(s, strip.start, [step, 1], &depth, panel, sums),
                None => multiply::<S, 2, M>(s, strip.start, [1, S::ROWS], &depth, panel, sums),
            }
        }
    }
}

/// Computes the product.
///
/// # Safety
/// All pointers lead to as much memory as the fields say, which nothing else writes to meanwhile.
#[inline(always)]
unsafe fn run<S: Lanes>(s: S, job: &MatrixProduct) {
    let mut scratch = Scratch([0.0; STRIP_ROWS * 32]);
    for first in (0..job.rows).step_by(S::ROWS) {
        let height = S::ROWS.min(job.rows - first);
        let start = job.left.wrapping_add(first * job.row_step);
        let strip = if height == S::ROWS && job.depth_step == 1 {
            Strip { start, row_step: Some(job.row_step), first, height }
        } else {
            // SAFETY: the caller's promise; the strip has room for any tile.
            unsafe { gather::<S>(job, start, height) };
            Strip { start: job.strip, row_step: None, first, height }
        };
        for panel in 0..job.columns.div_ceil(2 * S::COUNT) {
            // SAFETY: the caller's promise.
            unsafe { panel_product(s, job, strip, panel, &mut scratch) };
        }
    }
}

/// Copies a tile of rows together: for each value of the depth, the rows, `S::ROWS` of them.
#[inline(always)]
unsafe fn gather<S: Lanes>(job: &MatrixProduct, start: *const f32, height: usize) {
    for k in 0..job.depth {
        let from = start.wrapping_add(k * job.depth_step);
        let to = job.strip.wrapping_add(k * S::ROWS);
        // SAFETY: the caller's promise, for `height` rows; the strip has room for `S::ROWS`, and
        // all of them are written, as all may be read.
        unsafe {
            if job.row_step == 1 && height == S::ROWS {
                to.copy_from_nonoverlapping(from, S::ROWS);
            } else {
                for row in 0..S::ROWS {
                    let value = if row < height { *from.add(row * job.row_step) } else { 0.0 };
                    to.add(row).write(value);
                }
            }
        }
    }
}

/// One tile of rows times one panel.
#[inline(always)]
unsafe fn panel_product<S: Lanes>(
    s: S,
    job: &MatrixProduct,
    strip: Strip,
    panel: usize,
    scratch: &mut Scratch,
) {
    let tile = TileOperands {
        strip,
        depth: job.depth,
        panel: job.panels.wrapping_add(panel * job.panel_step),
        sums: scratch.0.as_mut_ptr(),
    };
    // SAFETY: the caller's promise; a gathered strip holds `S::ROWS` rows, and a tile that is read
    // where it lies has as many.
    unsafe {
        match strip.height {
            1 => tile.multiply::<S, 1>(s),
            2..=4 => tile.multiply::<S, 4>(s),
            _ => match S::ROWS {
                14 => tile.multiply::<S, 14>(s),
                8 => tile.multiply::<S, 8>(s),
                _ => tile.multiply::<S, 6>(s),
            },
        }
    }
    let first = panel * 2 * S::COUNT;
    let columns = (2 * S::COUNT).min(job.columns - first);
    for row in 0..strip.height {
        let sums = scratch.0[row * 2 * S::COUNT..].as_ptr();
        let to = job.to.wrapping_add((strip.first + row) * job.to_step + first);
        // SAFETY: the product has this row and these columns.
        unsafe {
            if columns == 2 * S::COUNT {
                for j in 0..2 {
                    let mut sum = s.load(sums.add(j * S::COUNT));
                    let to = to.add(j * S::COUNT);
                    if job.adds {
                        sum = s.add(s.load(to), sum);
                    }
                    s.store(to, sum);
                }
            } else {
                for column in 0..columns {
                    let before = if job.adds { *to.add(column) } else { 0.0 };
                    to.add(column).write(before + *sums.add(column));
                }
            }
        }
    }
}
