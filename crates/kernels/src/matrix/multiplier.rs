//! The matrix multiplier: the kernels of this machine and their working memory.

use std::fmt;
use std::ops::Range;

use super::panels::{self, Panels, panel_bytes};
use super::product::{MatrixKernel, MatrixProduct, STRIP_ROWS};
use super::{Matrix, MatrixMut};
use crate::buffer::Buffer;
use crate::cpu::{Kernel, KernelError};

/// Values of the depth that are worked on at a time: a tile of rows of so many stays in the first
/// cache.
const DEPTH: usize = 256;
/// Columns that are worked on at a time: with [`DEPTH`] values of each they stay in the second
/// cache. A multiple of every panel's width.
const COLUMNS: usize = 512;

/// Multiplies dense matrices on the thread that calls it, and keeps the memory for it.
///
/// Products and sums are f32, also with [`Kernel::Amx`], whose matrix tiles are left to
/// convolutions.
///
/// The bits of a value of the product depend on its row of the left factor, its column of the
/// right one and the kernel: not on where the two stand in their matrices, on strides, on which is
/// left and which right, or on what else is computed with them.
pub struct Multiplier {
    kernel: Kernel,
    product: MatrixKernel,
    /// A part of the right factor, as panels.
    right: Buffer,
    /// A tile of rows of the left factor.
    strip: Buffer,
}

impl fmt::Debug for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplier").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// The right factor as it was given.
enum Right<'a> {
    Values(Matrix<'a>),
    /// Panels, and the first of the columns that are wanted.
    Panels(&'a Panels, usize),
}

impl Multiplier {
    /// With the kernels that `FACEFOLD_ENGINE` names, else the fastest.
    ///
    /// # Errors
    /// `FACEFOLD_ENGINE` names no kernels, or some that this machine cannot run.
    pub fn chosen() -> Result<Self, KernelError> {
        Self::new(Kernel::choose()?)
    }

    /// With some kernels.
    ///
    /// # Errors
    /// This machine cannot run them.
    pub fn new(kernel: Kernel) -> Result<Self, KernelError> {
        let product = MatrixKernel::of(kernel.checked()?);
        let width = 2 * product.lanes;
        let right = Buffer::zeroed(panel_bytes(width, DEPTH) * (COLUMNS / width));
        let strip = Buffer::zeroed(size_of::<f32>() * DEPTH * STRIP_ROWS);
        Ok(Self { kernel, product, right, strip })
    }

    /// The family of kernels.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Lays out a right factor once, for many products by multipliers of the same kernels.
    #[must_use]
    pub fn pack(&self, right: Matrix<'_>) -> Panels {
        Panels::new(self.panel_width(), right)
    }

    /// Columns of a panel: where [`Self::multiply_panels`] may begin. It divides 32.
    #[must_use]
    pub fn panel_width(&self) -> usize {
        2 * self.product.lanes
    }

    /// `to` = `left` times `right`.
    ///
    /// # Panics
    /// Where the shapes do not fit together.
    pub fn multiply(&mut self, left: Matrix<'_>, right: Matrix<'_>, to: MatrixMut<'_>) {
        assert_eq!(right.columns, to.columns, "columns of the right factor and of the product");
        self.run(left, (right.rows, &Right::Values(right)), to, false);
    }

    /// Adds `left` times `right` to `to`.
    ///
    /// # Panics
    /// Where the shapes do not fit together.
    pub fn accumulate(&mut self, left: Matrix<'_>, right: Matrix<'_>, to: MatrixMut<'_>) {
        assert_eq!(right.columns, to.columns, "columns of the right factor and of the product");
        self.run(left, (right.rows, &Right::Values(right)), to, true);
    }

    /// `to` = `left` times some columns of a right factor that was laid out before; its first
    /// column is a multiple of [`Self::panel_width`].
    ///
    /// # Panics
    /// Where the shapes do not fit together, the columns begin within a panel, or the panels are
    /// those of kernels with other registers.
    pub fn multiply_panels(
        &mut self,
        left: Matrix<'_>,
        right: &Panels,
        columns: Range<usize>,
        to: MatrixMut<'_>,
    ) {
        assert_eq!(right.width, self.panel_width(), "panels of kernels with other registers");
        assert!(columns.start.is_multiple_of(right.width), "columns begin within a panel");
        assert!(columns.start <= columns.end && columns.end <= right.columns, "{columns:?}");
        assert_eq!(columns.len(), to.columns, "columns of the right factor and of the product");
        self.run(left, (right.depth, &Right::Panels(right, columns.start)), to, false);
    }

    fn run(
        &mut self,
        left: Matrix<'_>,
        (depth, right): (usize, &Right<'_>),
        to: MatrixMut<'_>,
        adds: bool,
    ) {
        let MatrixMut { values, rows, columns: width, stride } = to;
        assert_eq!(left.columns, depth, "columns of the left factor and rows of the right one");
        assert_eq!(left.rows, rows, "rows of the left factor and of the product");
        if depth == 0 && !adds {
            for row in 0..rows {
                values[row * stride..][..width].fill(0.0);
            }
        }
        if rows == 0 {
            return;
        }
        let (row_step, depth_step) =
            if left.transposed { (1, left.stride) } else { (left.stride, 1) };
        for first in (0..width).step_by(COLUMNS) {
            let columns = first..width.min(first + COLUMNS);
            for start in (0..depth).step_by(DEPTH) {
                let part = start..depth.min(start + DEPTH);
                let (panels, panel_step) = self.panels(right, part.clone(), columns.clone());
                let job = MatrixProduct {
                    left: left.values.as_ptr().wrapping_add(start * depth_step),
                    rows,
                    row_step,
                    depth_step,
                    depth: part.len(),
                    strip: self.strip.plane(),
                    panels,
                    panel_step,
                    columns: columns.len(),
                    to: values.as_mut_ptr().wrapping_add(first),
                    to_step: stride,
                    adds: adds || start > 0,
                };
                // SAFETY: `Matrix` and `MatrixMut` hold what their shapes say, and these were
                // compared above; the strip has room for `STRIP_ROWS` rows of a depth of at most
                // `DEPTH`; the panels were written for this depth and these columns. The kernels
                // were found available.
                unsafe { (self.product.run)(&job) };
            }
        }
    }

    /// The first of some panels, at some value of the depth, and the elements from each to the
    /// next.
    fn panels(
        &mut self,
        right: &Right<'_>,
        depth: Range<usize>,
        columns: Range<usize>,
    ) -> (*const f32, usize) {
        let width = self.panel_width();
        let (start, bytes) = match *right {
            Right::Values(right) => {
                let bytes = panel_bytes(width, depth.len());
                panels::write(right, depth, columns, (width, &mut self.right));
                (self.right.plane::<f32>().cast_const(), bytes)
            }
            Right::Panels(panels, first) => {
                let bytes = panel_bytes(width, panels.depth);
                let before = (first + columns.start) / width * bytes;
                let start = panels.values.plane::<f32>().wrapping_byte_add(before);
                (start.wrapping_add(depth.start * width).cast_const(), bytes)
            }
        };
        (start, bytes / size_of::<f32>())
    }
}
