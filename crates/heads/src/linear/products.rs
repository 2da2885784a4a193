//! Products of many rows with few columns of weights. They are bound by memory: all results of a
//! row are computed while it is in the cache.

use std::array;

use facefold_kernels::{Vectorised, dispatch_simd};

/// Independent partial sums: two of the widest registers, so that one need not wait for the other.
const LANES: usize = 32;

/// Rows added together, so that sums are loaded once for all of them.
const TOGETHER: usize = 4;

/// Floats of a block of rows: half a megabyte, which second-level caches hold.
const BLOCK: usize = 1 << 17;

/// Rows of a block.
pub(super) fn block_rows(width: usize) -> usize {
    (BLOCK / width.max(1) / TOGETHER * TOGETHER).clamp(TOGETHER, 256)
}

/// The product of each row (n x width) with each line of weights (outputs x width): n x outputs.
pub(super) fn multiply(rows: &[f32], weights: &[f32], width: usize) -> Vec<f32> {
    let outputs = weights.len() / width;
    let mut products = vec![0.0; rows.len() / width * outputs];
    dispatch_simd(Multiply { rows, weights, width, out: &mut products });
    products
}

/// Adds to each line of `sums` (outputs x width) all rows (n x width), each times its gradient for
/// that output (n x outputs).
pub(super) fn add_gradients(rows: &[f32], gradients: &[f32], width: usize, sums: &mut [f32]) {
    dispatch_simd(AddGradients { rows, gradients, width, sums });
}

struct Multiply<'a> {
    rows: &'a [f32],
    weights: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Vectorised for Multiply<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        let Self { rows, weights, width, out } = self;
        let outputs = weights.len() / width;
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(outputs)) {
            for (out, weights) in out.iter_mut().zip(weights.chunks_exact(width)) {
                *out = dot(row, weights);
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let last: f32 = last_a.iter().zip(last_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + last
}

struct AddGradients<'a> {
    rows: &'a [f32],
    gradients: &'a [f32],
    width: usize,
    sums: &'a mut [f32],
}

impl Vectorised for AddGradients<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        let Self { rows, gradients, width, sums } = self;
        let outputs = sums.len() / width;
        let together = rows.chunks_exact(TOGETHER * width);
        let (head, tail) = gradients.split_at(together.len() * TOGETHER * outputs);
        let rest = together.remainder().chunks_exact(width);
        for (rows, gradients) in together.zip(head.chunks_exact(TOGETHER * outputs)) {
            for (output, sums) in sums.chunks_exact_mut(width).enumerate() {
                let gradients = array::from_fn(|row| gradients[row * outputs + output]);
                add::<TOGETHER>(rows, gradients, sums);
            }
        }
        for (row, gradients) in rest.zip(tail.chunks_exact(outputs)) {
            for (&gradient, sums) in gradients.iter().zip(sums.chunks_exact_mut(width)) {
                add::<1>(row, [gradient], sums);
            }
        }
    }
}

/// Adds `N` rows, each times its gradient, one after another; the same bits whatever `N`.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn add<const N: usize>(rows: &[f32], gradients: [f32; N], sums: &mut [f32]) {
    let width = sums.len();
    let rows: [&[f32]; N] = array::from_fn(|row| &rows[row * width..][..width]);
    for column in 0..width {
        let mut sum = sums[column];
        for row in 0..N {
            sum += gradients[row] * rows[row][column];
        }
        sums[column] = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::{add_gradients, multiply};

    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    }

    /// Widths and rows that are and are not whole registers and groups of rows.
    #[test]
    fn products_are_those_of_the_definition() {
        for (n, width, outputs) in [(1, 1, 1), (4, 16, 2), (7, 35, 3), (9, 16, 1), (3, 5, 9)] {
            let (rows, weights) = (wave(n * width, 0.7), wave(outputs * width, 1.3));
            let found = multiply(&rows, &weights, width);
            let gradients = wave(n * outputs, 0.3);
            let mut sums = wave(outputs * width, 0.1);
            let before = sums.clone();
            add_gradients(&rows, &gradients, width, &mut sums);
            let at =
                |matrix: &[f32], row: usize, column: usize| f64::from(matrix[row * width + column]);
            for output in 0..outputs {
                for row in 0..n {
                    let dot = |c| at(&rows, row, c) * at(&weights, output, c);
                    let expected: f64 = (0..width).map(dot).sum();
                    assert!((f64::from(found[row * outputs + output]) - expected).abs() < 1e-5);
                }
                for column in 0..width {
                    let term =
                        |row| at(&rows, row, column) * f64::from(gradients[row * outputs + output]);
                    let expected = at(&before, output, column) + (0..n).map(term).sum::<f64>();
                    assert!((at(&sums, output, column) - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn bits_of_a_row_do_not_depend_on_other_rows() {
        let (rows, weights) = (wave(7 * 35, 0.7), wave(2 * 35, 1.3));
        let alone: Vec<f32> = rows.chunks(35).flat_map(|row| multiply(row, &weights, 35)).collect();
        assert_eq!(multiply(&rows, &weights, 35), alone);
    }
}
