//! Products of matrices of the shapes that the heads multiply, in GFLOP/s, by each kernel:
//! `cargo bench -p facefold-kernels --bench products`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that reports")]

use std::time::{Duration, Instant};

use facefold_kernels::{Kernel, Matrix, MatrixMut, Multiplier};

/// What is multiplied: rows, depth, columns, and whether the left and the right factor are
/// transposed.
type Shape = (&'static str, [usize; 3], [bool; 2]);

const SHAPES: [Shape; 6] = [
    ("MLP, forward", [250, 3584, 256], [false, false]),
    ("MLP, gradient of weights", [3584, 250, 256], [true, false]),
    ("MLP, gradient of inputs", [250, 256, 256], [false, true]),
    ("SVM, rows with rows", [256, 512, 8192], [false, true]),
    ("SVM, kernel values by machines", [256, 8192, 28], [false, false]),
    ("SVM, gradient in the primal", [1000, 4096, 28], [true, false]),
];

/// The shortest of many runs, in seconds: other work on the machine only adds.
fn shortest(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while start.elapsed() < Duration::from_millis(500) || runs < 5 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

fn main() {
    for kernel in Kernel::available() {
        let mut multiplier = Multiplier::new(kernel).unwrap();
        for (name, [rows, depth, columns], transposed) in SHAPES {
            let wave = |count: usize| -> Vec<f32> {
                (0..count).map(|at| (at % 251) as f32 / 251.0 - 0.5).collect()
            };
            let (left, right) = (wave(rows * depth), wave(depth * columns));
            let matrix = |values, rows, columns, transposed| {
                if transposed {
                    Matrix::new(values, columns, rows).transposed()
                } else {
                    Matrix::new(values, rows, columns)
                }
            };
            let left = matrix(&left[..], rows, depth, transposed[0]);
            let right = matrix(&right[..], depth, columns, transposed[1]);
            let mut product = vec![0.0; rows * columns];
            let seconds = shortest(|| {
                multiplier.multiply(left, right, MatrixMut::new(&mut product, rows, columns));
            });
            let rate = 2.0 * (rows * depth * columns) as f64 / seconds / 1e9;
            println!("{kernel:8} {name:32} {rate:7.1} GFLOP/s");
        }
    }
}
