//! The leading principal components of rows of features.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::Rng as _;

use crate::head::HeadError;
use crate::rng::Rng;

/// Leading principal components that are stored.
pub(crate) const COMPONENTS: usize = 36;
/// Extra directions of the randomised search, so that it converges sooner.
const OVERSAMPLED: usize = 28;
/// Passes of the search over the training rows.
const PASSES: usize = 5;
/// Sweeps of Jacobi's method; after six to eight nothing changes any more.
const SWEEPS: usize = 12;

/// Mean and 1 / standard deviation of each column.
pub(crate) fn moments(values: &Array2<f32>) -> Result<(Vec<f32>, Vec<f32>), HeadError> {
    let rows = values.mapv(f64::from);
    let n = rows.nrows() as f64;
    let mean: Array1<f64> = rows.sum_axis(Axis(0)) / n;
    let squares: Array1<f64> = (&rows - &mean).mapv(|off| off * off).sum_axis(Axis(0)) / n;
    if let Some(column) = squares.iter().position(|square| !square.is_finite()) {
        return Err(HeadError::Untrainable(format!(
            "column {column} of the training rows holds values that are not finite"
        )));
    }
    let scale = |(square, mean): (&f64, &f64)| {
        let deviation = square.sqrt();
        if deviation > 1e-6 * mean.abs().max(1e-6) { (1.0 / deviation) as f32 } else { 0.0 }
    };
    let scale = squares.iter().zip(&mean).map(scale).collect();
    Ok((mean.iter().map(|&mean| mean as f32).collect(), scale))
}

/// Values less their mean, in standard deviations.
pub(crate) fn standardised(values: Array2<f32>, mean: &[f32], scale: &[f32]) -> Array2<f32> {
    let (mean, scale) = (ArrayView1::from(mean), ArrayView1::from(scale));
    (values - mean) * scale
}

/// The leading principal components of standardised rows, by subspace iteration (Halko, Martinsson
/// and Tropp, "Finding structure with randomness", 2011) with a Rayleigh-Ritz step at its end: of
/// what the search spans, those with the largest variance.
pub(crate) fn leading(rows: &Array2<f32>, generator: &mut Rng) -> Array2<f32> {
    let (n, d) = rows.dim();
    let wanted = COMPONENTS.min(n).min(d);
    let carried = (wanted + OVERSAMPLED).min(n).min(d);
    let mut basis = Array2::from_shape_fn((carried, d), |_| generator.random_range(-1.0..1.0));
    orthonormalise(&mut basis);
    for _ in 0..PASSES {
        basis = basis.dot(&rows.t()).dot(rows);
        orthonormalise(&mut basis);
    }
    let projected = basis.dot(&rows.t());
    let axes = principal_axes(&projected.dot(&projected.t()));
    axes.slice_axis(Axis(0), (..wanted).into()).dot(&basis)
}

/// Eigenvectors of a symmetric matrix as rows, by falling eigenvalue: Jacobi's cyclic method (Golub
/// and Van Loan, "Matrix Computations", 8.5).
fn principal_axes(matrix: &Array2<f32>) -> Array2<f32> {
    let n = matrix.nrows();
    let mut matrix = matrix.mapv(f64::from);
    let mut axes = Array2::<f64>::eye(n);
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[[p, q]];
                if off == 0.0 {
                    continue;
                }
                let theta = (matrix[[q, q]] - matrix[[p, p]]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let rotated = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
                for k in 0..n {
                    let (a, b) = rotated(matrix[[p, k]], matrix[[q, k]]);
                    (matrix[[p, k]], matrix[[q, k]]) = (a, b);
                    let (a, b) = rotated(axes[[p, k]], axes[[q, k]]);
                    (axes[[p, k]], axes[[q, k]]) = (a, b);
                }
                for k in 0..n {
                    let (a, b) = rotated(matrix[[k, p]], matrix[[k, q]]);
                    (matrix[[k, p]], matrix[[k, q]]) = (a, b);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| matrix[[b, b]].total_cmp(&matrix[[a, a]]));
    axes.select(Axis(0), &order).mapv(|value| value as f32)
}

/// Makes rows orthonormal one after another (modified Gram-Schmidt, twice); a row that depends on
/// those before it becomes 0.
fn orthonormalise(basis: &mut Array2<f32>) {
    for row in 0..basis.nrows() {
        let (before, mut rest) = basis.view_mut().split_at(Axis(0), row);
        let mut own = rest.row_mut(0);
        let length = own.dot(&own).sqrt();
        for _ in 0..2 {
            for other in before.rows() {
                let along = own.dot(&other);
                own.scaled_add(-along, &other);
            }
        }
        let left = own.dot(&own).sqrt();
        let factor = if left > 1e-5 * length { 1.0 / left } else { 0.0 };
        own.mapv_inplace(|value| value * factor);
    }
}

/// Components as whole numbers up to 127, and the unit of each.
pub(crate) fn quantised(components: &Array2<f32>) -> (Array2<i8>, Vec<f32>) {
    let largest = |row: ArrayView1<'_, f32>| {
        row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()))
    };
    let units: Vec<f32> = components
        .rows()
        .into_iter()
        .map(|row| largest(row).max(f32::MIN_POSITIVE) / f32::from(i8::MAX))
        .collect();
    let mut whole = Array2::zeros(components.dim());
    for ((mut whole, row), unit) in whole.rows_mut().into_iter().zip(components.rows()).zip(&units)
    {
        whole.zip_mut_with(&row, |whole, value| *whole = (value / unit).round() as i8);
    }
    (whole, units)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};
    use rand::Rng as _;

    use super::{COMPONENTS, leading, principal_axes};
    use crate::rng::seeded;

    /// Rows of 120 columns whose variances fall by a thirtieth from each direction to the next, the
    /// directions being those of a random rotation.
    fn rows() -> Array2<f32> {
        let mut generator = seeded(1, "principal components");
        let mut random =
            |shape| Array2::from_shape_fn(shape, |_| generator.random_range(-1.0..1.0));
        let square: Array2<f32> = random((120, 120));
        let rotation = principal_axes(&(&square + &square.t()));
        let mut hidden = random((600, 120));
        for (direction, mut column) in hidden.columns_mut().into_iter().enumerate() {
            column *= (1.0 - 1.0 / 30.0_f32).powi(direction as i32).sqrt();
        }
        hidden.dot(&rotation)
    }

    #[test]
    fn axes_are_orthonormal_and_leave_a_diagonal_by_falling_variance() {
        let rows = rows();
        let covariance = rows.t().dot(&rows);
        let axes = principal_axes(&covariance);
        let own = axes.dot(&axes.t());
        let turned = axes.dot(&covariance).dot(&axes.t());
        for ((row, column), value) in turned.indexed_iter() {
            if row == column {
                assert!((own[[row, column]] - 1.0).abs() < 1e-4);
                assert!(row == 0 || turned[[row - 1, row - 1]] >= value - 1e-2);
            } else {
                assert!(own[[row, column]].abs() < 1e-4);
                assert!(value.abs() < 1e-2, "{row}, {column}: {value}");
            }
        }
    }

    #[test]
    fn the_search_finds_nearly_all_of_the_variance_that_can_be_found() {
        let rows = rows();
        let variance = |components: Array2<f32>| {
            let along = rows.dot(&components.t());
            f64::from(along.iter().map(|value| value * value).sum::<f32>())
        };
        let all = principal_axes(&rows.t().dot(&rows));
        let best = variance(all.slice_axis(Axis(0), (..COMPONENTS).into()).to_owned());
        let found = variance(leading(&rows, &mut seeded(2, "principal components")));
        assert!(found <= best * 1.001 && found > 0.995 * best, "{found} of {best}");
    }
}
