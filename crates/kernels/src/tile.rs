//! The innermost loop of all products: a tile of rows times a panel of columns, in registers.

#![allow(clippy::inline_always, reason = "a call would pass registers through memory")]

use crate::lanes::Lanes;

/// Values that lie one after another, in each window at the same distance from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Elements from the start of the window.
    pub offset: usize,
    /// How many.
    pub length: usize,
}

/// `M` windows times one panel, summed in the order of the segments. The steps are the elements
/// from one window to the next, and from one value of a window to the next.
///
/// # Safety
/// The source holds `M` windows with all segments, the panel `N` registers for each of their
/// values, and the sums have room for `M` by `N` registers.
#[inline(always)]
pub unsafe fn multiply<S: Lanes, const N: usize, const M: usize>(
    s: S,
    source: *const f32,
    [step, advance]: [usize; 2],
    segments: &[Segment],
    weights: *const f32,
    sums: *mut f32,
) {
    let mut registers = [[s.splat(0.0); N]; M];
    let mut weights = weights;
    for segment in segments {
        let mut value = source.wrapping_add(segment.offset * advance);
        for _ in 0..segment.length {
            let mut factors = [s.splat(0.0); N];
            for (j, factor) in factors.iter_mut().enumerate() {
                // SAFETY: the caller's panel holds N registers for each value.
                *factor = unsafe { s.load(weights.add(j * S::COUNT)) };
            }
            for (i, row) in registers.iter_mut().enumerate() {
                // SAFETY: the caller vouches for M windows.
                let value = s.splat(unsafe { *value.add(i * step) });
                for (sum, &factor) in row.iter_mut().zip(&factors) {
                    *sum = s.fma(value, factor, *sum);
                }
            }
            weights = weights.wrapping_add(N * S::COUNT);
            value = value.wrapping_add(advance);
        }
    }
    for (i, row) in registers.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: the caller's scratch holds M rows.
            unsafe { s.store(sums.add((i * N + j) * S::COUNT), sum) };
        }
    }
}
