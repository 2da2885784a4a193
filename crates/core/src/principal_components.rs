//! The leading principal components of rows of features.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::Rng as _;

use crate::head::HeadError;
use crate::rng::Rng;

/// Leading principal components that are stored.
const COMPONENTS: usize = 48;
/// Extra directions of the randomised search, so that it converges sooner.
const OVERSAMPLED: usize = 16;
/// Passes of the search over the training rows.
const PASSES: usize = 5;

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
/// and Tropp, "Finding structure with randomness", 2011).
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
    basis.slice_axis_inplace(Axis(0), (..wanted).into());
    basis
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
