//! The right factor of a product in the order in which the kernels read it: panels of two
//! registers of columns, each with its columns value by value of the depth.

use std::ops::Range;

use super::Matrix;
use crate::buffer::{Buffer, LINE};
use crate::dispatch::{Vectorised, dispatch_simd};

/// Bytes from one panel of `width` columns to the next.
pub(super) fn panel_bytes(width: usize, depth: usize) -> usize {
    (depth * width * size_of::<f32>()).next_multiple_of(LINE)
}

/// Writes some columns and values of the depth of a right factor as panels of `width` columns.
pub(super) fn write(
    right: Matrix<'_>,
    depth: Range<usize>,
    columns: Range<usize>,
    (width, to): (usize, &mut Buffer),
) {
    let bytes = panel_bytes(width, depth.len());
    for (panel, first) in columns.clone().step_by(width).enumerate() {
        let columns = first..columns.end.min(first + width);
        let to = to.numbers_mut::<f32>(panel * bytes, depth.len() * width);
        dispatch_simd(Lines { right, depth: depth.clone(), columns, width, to });
    }
}

/// Writes one panel, zeros where it is wider than the columns.
struct Lines<'a> {
    right: Matrix<'a>,
    depth: Range<usize>,
    columns: Range<usize>,
    width: usize,
    to: &'a mut [f32],
}

impl Vectorised for Lines<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        /// Values of the depth that are turned at a time: several cache lines of each column,
        /// which the processor fetches ahead, and no more than stays in its first cache.
        const RUN: usize = 128;
        let Self { right, depth, columns, width, to } = self;
        if columns.len() < width {
            to.fill(0.0);
        }
        if right.transposed {
            let blocks = to.chunks_mut(RUN * width);
            for (first, block) in depth.clone().step_by(RUN).zip(blocks) {
                let count = RUN.min(depth.end - first);
                for (at, column) in columns.clone().enumerate() {
                    let values = &right.values[column * right.stride + first..][..count];
                    for (k, &value) in values.iter().enumerate() {
                        block[k * width + at] = value;
                    }
                }
            }
        } else {
            for (k, line) in depth.zip(to.chunks_exact_mut(width)) {
                let values = &right.values[k * right.stride..][columns.clone()];
                line[..values.len()].copy_from_slice(values);
            }
        }
    }
}

/// A right factor that was laid out once, for many products: see
/// [`Multiplier::pack`](super::Multiplier::pack).
#[derive(Debug)]
pub struct Panels {
    /// Columns of a panel.
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
    pub(super) values: Buffer,
}

impl Panels {
    pub(super) fn new(width: usize, right: Matrix<'_>) -> Self {
        let (depth, columns) = (right.rows, right.columns);
        let mut values = Buffer::zeroed(panel_bytes(width, depth) * columns.div_ceil(width));
        write(right, 0..depth, 0..columns, (width, &mut values));
        Self { width, depth, columns, values }
    }

    /// Number of rows of the factor: the depth of the product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.depth
    }

    /// Number of columns of the factor.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }
}
