//! Products of matrices by every kernel that this machine has, against f64.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use facefold_kernels::{Kernel, Matrix, MatrixMut, Multiplier};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A factor: its values, its shape, its stride, and whether it is stored by columns.
struct Factor {
    values: Vec<f32>,
    shape: [usize; 2],
    stride: usize,
    transposed: bool,
}

impl Factor {
    fn draw(generator: &mut ChaCha8Rng, shape: [usize; 2], gap: usize, transposed: bool) -> Self {
        let [lines, length] = if transposed { [shape[1], shape[0]] } else { shape };
        let stride = length + gap;
        let count = if lines == 0 { 0 } else { (lines - 1) * stride + length };
        let values = (0..count).map(|_| generator.random_range(-2.0..2.0)).collect();
        Self { values, shape, stride, transposed }
    }

    fn matrix(&self) -> Matrix<'_> {
        let [rows, columns] = self.shape;
        if self.transposed {
            Matrix::strided(&self.values, columns, rows, self.stride).transposed()
        } else {
            Matrix::strided(&self.values, rows, columns, self.stride)
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        let (line, place) = if self.transposed { (column, row) } else { (row, column) };
        f64::from(self.values[line * self.stride + place])
    }
}

/// A value of the product, and the sum of the absolute values of its terms.
fn exactly(left: &Factor, right: &Factor, row: usize, column: usize) -> (f64, f64) {
    let terms = (0..right.shape[0]).map(|k| left.at(row, k) * right.at(k, column));
    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

fn multipliers() -> Vec<Multiplier> {
    Kernel::available().into_iter().map(|kernel| Multiplier::new(kernel).unwrap()).collect()
}

/// Largest error as a share of the sum of the absolute values of the terms: roundings of the
/// running sum, with random signs.
const TOLERANCE: f64 = 2e-6;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_are_those_of_f64(
        rows in 0..70_usize,
        depth in 0..600_usize,
        columns in 0..90_usize,
        gaps in (0..5_usize, 0..5_usize, 0..5_usize),
        transposed in (any::<bool>(), any::<bool>()),
        seed in any::<u64>(),
    ) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let left = Factor::draw(&mut generator, [rows, depth], gaps.0, transposed.0);
        let right = Factor::draw(&mut generator, [depth, columns], gaps.1, transposed.1);
        let stride = columns + gaps.2;
        for mut multiplier in multipliers() {
            let mut product = vec![7.0; rows * stride];
            let to = MatrixMut::strided(&mut product, rows, columns, stride);
            multiplier.multiply(left.matrix(), right.matrix(), to);
            for row in 0..rows {
                for column in 0..columns {
                    let (sum, size) = exactly(&left, &right, row, column);
                    let found = f64::from(product[row * stride + column]);
                    prop_assert!(
                        (found - sum).abs() <= TOLERANCE * size,
                        "{multiplier:?} {row} {column}: {found} {sum}"
                    );
                }
                // What lies between the rows is left alone.
                let between = &product[row * stride + columns..(row + 1) * stride];
                prop_assert!(between.iter().all(|&value| value == 7.0));
            }

            // The same bits from panels that were laid out before.
            let panels = multiplier.pack(right.matrix());
            prop_assert_eq!((panels.rows(), panels.columns()), (depth, columns));
            let mut again = vec![7.0; rows * stride];
            let to = MatrixMut::strided(&mut again, rows, columns, stride);
            multiplier.multiply_panels(left.matrix(), &panels, 0..columns, to);
            prop_assert_eq!(&again, &product);

            // Added to itself, it doubles.
            if depth <= 256 {
                let to = MatrixMut::strided(&mut again, rows, columns, stride);
                multiplier.accumulate(left.matrix(), right.matrix(), to);
                for row in 0..rows {
                    let span = row * stride..row * stride + columns;
                    for (again, once) in again[span.clone()].iter().zip(&product[span]) {
                        prop_assert_eq!(*again, 2.0 * once);
                    }
                }
            }
        }
    }

    /// The bits of a value depend on its row and its column alone: not on what surrounds them, how
    /// they are stored, or which product the multiplier made before.
    #[test]
    fn bits_depend_on_the_operands_alone(
        rows in 1..50_usize,
        depth in 1..600_usize,
        columns in 1..1200_usize,
        seed in any::<u64>(),
    ) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let left = Factor::draw(&mut generator, [rows, depth], 0, false);
        let right = Factor::draw(&mut generator, [depth, columns], 0, false);
        let turned = |factor: &Factor| -> Vec<f32> {
            let [rows, columns] = factor.shape;
            let value = |at: usize| factor.values[at % rows * columns + at / rows];
            (0..rows * columns).map(value).collect()
        };
        let (left_turned, right_turned) = (turned(&left), turned(&right));
        let row = generator.random_range(0..rows);
        for mut multiplier in multipliers() {
            let mut product = vec![0.0; rows * columns];
            multiplier.multiply(
                left.matrix(),
                right.matrix(),
                MatrixMut::new(&mut product, rows, columns),
            );
            let mut other = vec![0.0; rows * columns];
            multiplier.multiply(
                Matrix::new(&left_turned, depth, rows).transposed(),
                Matrix::new(&right_turned, columns, depth).transposed(),
                MatrixMut::new(&mut other, rows, columns),
            );
            prop_assert_eq!(&product, &other);
            // Left and right exchanged.
            multiplier.multiply(
                right.matrix().transposed(),
                left.matrix().transposed(),
                MatrixMut::new(&mut other, columns, rows),
            );
            for (at, value) in other.iter().enumerate() {
                prop_assert_eq!(*value, product[at % rows * columns + at / rows]);
            }

            // One row, and the columns from some panel on.
            let panels = multiplier.pack(right.matrix());
            let width = multiplier.panel_width();
            let first = generator.random_range(0..columns) / width * width;
            let mut part = vec![0.0; columns - first];
            multiplier.multiply_panels(
                Matrix::new(&left.values[row * depth..], 1, depth),
                &panels,
                first..columns,
                MatrixMut::new(&mut part, 1, columns - first),
            );
            prop_assert_eq!(&part, &product[row * columns + first..(row + 1) * columns]);
        }
    }
}

#[test]
fn large_products_cross_every_block() {
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    for transposed in [false, true] {
        let left = Factor::draw(&mut generator, [45, 1030], 0, transposed);
        let right = Factor::draw(&mut generator, [1030, 1100], 0, transposed);
        for mut multiplier in multipliers() {
            let mut product = vec![0.0; 45 * 1100];
            multiplier.multiply(
                left.matrix(),
                right.matrix(),
                MatrixMut::new(&mut product, 45, 1100),
            );
            for (row, column) in [(0, 0), (13, 511), (14, 512), (44, 1023), (31, 1099)] {
                let (sum, size) = exactly(&left, &right, row, column);
                let found = f64::from(product[row * 1100 + column]);
                assert!((found - sum).abs() <= TOLERANCE * size, "{multiplier:?} {row} {column}");
            }
        }
    }
}

#[test]
fn a_product_of_no_depth_is_zero() {
    for mut multiplier in multipliers() {
        let mut product = [3.0; 6];
        let none = Matrix::new(&[], 2, 0);
        multiplier.multiply(
            none,
            Matrix::new(&[], 3, 0).transposed(),
            MatrixMut::new(&mut product, 2, 3),
        );
        assert_eq!(product, [0.0; 6]);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let values = [0.0; 12];
    let shape = |rows, columns| Matrix::new(&values, rows, columns);
    let refused = |work: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
    };
    let made = |make: &dyn Fn() -> usize| refused(&mut || assert!(make() > 0));
    let mut multiplier = Multiplier::new(Kernel::Portable).unwrap();
    let mut product = [0.0; 9];
    assert!(refused(&mut || {
        multiplier.multiply(shape(3, 4), shape(3, 3), MatrixMut::new(&mut product, 3, 3));
    }));
    assert!(made(&|| Matrix::strided(&values, 3, 4, 3).rows()));
    assert!(made(&|| Matrix::new(&values, 4, 4).rows()));
}
