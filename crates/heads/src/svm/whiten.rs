//! The whitening of a kernel matrix: what turns kernel values into features whose inner products
//! are kernel values.

use facefold_kernels::{Vectorised, dispatch_simd};

/// Independent partial sums.
const LANES: usize = 16;

/// The inverse of the Cholesky factor of `matrix`, n x n, symmetric and positive definite: lower
/// triangular, so that inverse * matrix * inverse' = 1. `None` where it is not positive definite.
pub(super) fn whitening(matrix: &[f32], n: usize) -> Option<Vec<f64>> {
    dispatch_simd(Whitening { matrix, n })
}

struct Whitening<'a> {
    matrix: &'a [f32],
    n: usize,
}

impl Vectorised for Whitening<'_> {
    type Output = Option<Vec<f64>>;

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) -> Option<Vec<f64>> {
        let n = self.n;
        let mut factor = vec![0.0_f64; n * n];
        for i in 0..n {
            let (above, row) = factor.split_at_mut(i * n);
            for j in 0..i {
                let other = &above[j * n..=j * n + j];
                let rest = f64::from(self.matrix[i * n + j]) - dot(&row[..j], &other[..j]);
                row[j] = rest / other[j];
            }
            let square = f64::from(self.matrix[i * n + i]) - dot(&row[..i], &row[..i]);
            if square.is_nan() || square <= 0.0 {
                return None;
            }
            row[i] = square.sqrt();
        }
        let mut inverse = vec![0.0_f64; n * n];
        for i in 0..n {
            let (above, row) = inverse.split_at_mut(i * n);
            let pivot = factor[i * n + i];
            for k in 0..i {
                let times = -factor[i * n + k] / pivot;
                for (sum, &value) in row[..=k].iter_mut().zip(&above[k * n..=k * n + k]) {
                    *sum += times * value;
                }
            }
            row[i] = 1.0 / pivot;
        }
        Some(inverse)
    }
}

#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let ((ones, one_rest), (others, other_rest)) =
        (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    for (one, other) in ones.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    let rest: f64 = one_rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::whitening;

    #[test]
    fn the_inverse_factor_whitens_the_matrix() {
        let n = 37;
        let entry = |i: usize, j: usize| {
            (-((i as f32 - j as f32) / 5.0).powi(2)).exp() + if i == j { 0.01 } else { 0.0 }
        };
        let matrix: Vec<f32> = (0..n * n).map(|at| entry(at / n, at % n)).collect();
        let inverse = whitening(&matrix, n).unwrap();
        for i in 0..n {
            for j in 0..n {
                let mut sum = 0.0;
                for k in 0..n {
                    for l in 0..n {
                        let value = f64::from(matrix[k * n + l]);
                        sum += inverse[i * n + k] * value * inverse[j * n + l];
                    }
                }
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((sum - expected).abs() < 1e-8, "{i} {j}: {sum}");
            }
        }
        assert!(whitening(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
