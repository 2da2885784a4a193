//! Inner products of all pairs of rows, computed once for all classes and hyper-parameters.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::HeadError;
use facefold_kernels::{Matrix, MatrixMut, Multiplier, Panels};

use super::kernel::KernelFunction;
use super::solver::stride;
use crate::state_dict::multiplier;

/// Rows of a stripe: enough for a fast product, and a multiple of the width of its panels.
const HEIGHT: usize = 256;
/// Side of the squares by which a matrix is mirrored at its diagonal.
const TILE: usize = 64;

/// The inner products of n rows with each other: n² / 2 values.
///
/// A stripe holds a few rows, from its first row's own column on. Concurrent fits compute different
/// stripes, so fits that share a matrix share the work.
#[derive(Debug)]
pub(super) struct Gram {
    /// count x width.
    features: Vec<f32>,
    width: usize,
    count: usize,
    /// The features as the right factor of the products.
    panels: Panels,
    next: AtomicUsize,
    stripes: Vec<OnceLock<Vec<f32>>>,
}

impl Gram {
    /// Lays out `values`, rows of `width` features; nothing is multiplied yet.
    pub(super) fn new(values: Vec<f32>, width: usize) -> Result<Self, HeadError> {
        let count = values.len() / width.max(1);
        let panels = multiplier()?.pack(Matrix::new(&values, count, width).transposed());
        let stripes = (0..count.div_ceil(HEIGHT)).map(|_| OnceLock::new()).collect();
        Ok(Self { features: values, width, count, panels, next: AtomicUsize::new(0), stripes })
    }

    /// All products.
    pub(super) fn products(&self) -> Result<Products<'_>, HeadError> {
        let mut multiplier = multiplier()?;
        loop {
            let stripe = self.next.fetch_add(1, Ordering::Relaxed);
            if stripe >= self.stripes.len() {
                // Not to run over after many calls.
                self.next.store(self.stripes.len(), Ordering::Relaxed);
                break;
            }
            self.stripe(stripe, &mut multiplier);
        }
        // What is left is in other hands: this waits for them.
        let stripes: Vec<&[f32]> =
            (0..self.stripes.len()).map(|stripe| self.stripe(stripe, &mut multiplier)).collect();
        let mut products = Products { stripes, count: self.count, lengths: Vec::new() };
        let length = |row| {
            let (values, first) = products.upper(row);
            values[row - first]
        };
        products.lengths = (0..self.count).map(length).collect();
        Ok(products)
    }

    fn stripe(&self, stripe: usize, multiplier: &mut Multiplier) -> &[f32] {
        self.stripes[stripe].get_or_init(|| {
            let first = stripe * HEIGHT;
            let (height, width) = (HEIGHT.min(self.count - first), self.count - first);
            let rows = &self.features[first * self.width..][..height * self.width];
            let mut products = vec![0.0; height * width];
            multiplier.multiply_panels(
                Matrix::new(rows, height, self.width),
                &self.panels,
                first..self.count,
                MatrixMut::new(&mut products, height, width),
            );
            products
        })
    }
}

/// The products of a [`Gram`].
#[derive(Debug)]
pub(super) struct Products<'a> {
    stripes: Vec<&'a [f32]>,
    count: usize,
    /// The squared length of each row.
    lengths: Vec<f32>,
}

impl Products<'_> {
    /// The products of a row with the rows from its stripe's first row on, and that first row.
    fn upper(&self, row: usize) -> (&[f32], usize) {
        let first = row / HEIGHT * HEIGHT;
        let width = self.count - first;
        (&self.stripes[row / HEIGHT][(row - first) * width..][..width], first)
    }

    fn lengths_of(&self, rows: &[usize]) -> Vec<f32> {
        rows.iter().map(|&row| self.lengths[row]).collect()
    }

    /// Kernel values of rows, in ascending order and none twice, with each other, as the solver
    /// wants them.
    pub(super) fn among(&self, rows: &[usize], function: KernelFunction, matrix: &mut Vec<f32>) {
        let (n, stride) = (rows.len(), stride(rows.len()));
        matrix.resize(n * stride, 0.0);
        let lengths = self.lengths_of(rows);
        // Where rows of one class lie together, whole runs of products can be copied.
        let mut runs = runs(rows);
        let scattered = runs.len() * 8 > n;
        for (at, &row) in rows.iter().enumerate() {
            let (products, first) = self.upper(row);
            let values = &mut matrix[at * stride..(at + 1) * stride];
            if scattered {
                for (value, &other) in values[at..n].iter_mut().zip(&rows[at..]) {
                    *value = products[other - first];
                }
            } else {
                let mut place = at;
                for &(from, to) in &runs {
                    let part = &products[from - first..to - first];
                    values[place..place + part.len()].copy_from_slice(part);
                    place += part.len();
                }
            }
            values[n..].fill(0.0);
            function.apply(&mut values[at..n], self.lengths[row], &lengths[at..]);
            // The next row begins with itself.
            runs[0].0 += 1;
            if runs[0].0 == runs[0].1 {
                runs.remove(0);
            }
        }
        for top in (0..n).step_by(TILE) {
            for left in (0..=top).step_by(TILE) {
                for row in top..(top + TILE).min(n) {
                    for dual in left..(left + TILE).min(row) {
                        matrix[row * stride + dual] = matrix[dual * stride + row];
                    }
                }
            }
        }
    }

    /// Kernel values of some rows with others, row by row.
    pub(super) fn between(
        &self,
        rows: &[usize],
        others: &[usize],
        function: KernelFunction,
    ) -> Vec<f32> {
        let (lengths, width) = (self.lengths_of(others), others.len());
        let mut matrix = vec![0.0; rows.len() * width];
        for (values, &row) in matrix.chunks_exact_mut(width.max(1)).zip(rows) {
            let (products, first) = self.upper(row);
            for (value, &other) in values.iter_mut().zip(others) {
                if other >= first {
                    *value = products[other - first];
                }
            }
        }
        // What is left stands in the stripes of the others.
        let last = rows.iter().copied().max().unwrap_or(0);
        for (dual, &other) in others.iter().enumerate() {
            let (products, first) = self.upper(other);
            if last >= first + HEIGHT {
                for (values, &row) in matrix.chunks_exact_mut(width).zip(rows) {
                    if row >= first + HEIGHT {
                        values[dual] = products[row - first];
                    }
                }
            }
        }
        for (values, &row) in matrix.chunks_exact_mut(width.max(1)).zip(rows) {
            function.apply(values, self.lengths[row], &lengths);
        }
        matrix
    }
}

/// Consecutive numbers, as their first and one past their last.
fn runs(rows: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &row in rows {
        match runs.last_mut() {
            Some((_, end)) if *end == row => *end += 1,
            _ => runs.push((row, row + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::Gram;
    use crate::svm::kernel::KernelFunction;
    use crate::svm::options::Kernel;
    use facefold_core::rng::seeded;
    use rand::Rng as _;

    #[test]
    fn values_are_inner_products_in_every_stripe() {
        let (count, width) = (600, 7);
        let mut generator = seeded(1, "gram");
        let values: Vec<f32> =
            (0..count * width).map(|_| generator.random_range(-1.0..1.0)).collect();
        let gram = Gram::new(values.clone(), width).unwrap();
        // Two at a time, as two fits would.
        let lengths = std::thread::scope(|scope| {
            let other = scope.spawn(|| gram.products().unwrap().lengths);
            assert_eq!(gram.products().unwrap().lengths.len(), count);
            other.join().unwrap()
        });
        let row = |row: usize| &values[row * width..(row + 1) * width];
        let dot = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f32>();
        assert!((lengths[300] - dot(300, 300)).abs() < 1e-5);

        let products = gram.products().unwrap();
        let linear = KernelFunction { kernel: Kernel::Linear, gamma: 1.0, degree: 1 };
        let rows = [0, 3, 255, 256, 257, 511, 512, 599];
        let mut matrix = Vec::new();
        products.among(&rows, linear, &mut matrix);
        let others = [599, 256, 0, 255];
        let cross = products.between(&rows, &others, linear);
        for (i, &one) in rows.iter().enumerate() {
            for (j, &other) in rows.iter().enumerate() {
                assert!((matrix[i * 32 + j] - dot(one, other)).abs() < 1e-5, "{one} {other}");
            }
            for (j, &other) in others.iter().enumerate() {
                assert!((cross[i * 4 + j] - dot(one, other)).abs() < 1e-5, "{one} {other}");
            }
        }
    }
}
