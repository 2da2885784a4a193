//! Inner products of rows with the rows that a model keeps: support vectors, or neighbours.

use facefold_kernels::{Matrix, MatrixMut, Multiplier};

/// Rows fewer than these are multiplied as the right factor, which is laid out anew each time, so
/// that one picture does not pay for laying out all kept rows. The bits are the same.
const FEW: usize = 16;

/// The inner products of each row with each of the `kept` ones, all of `width` numbers: rows x
/// kept.
pub(crate) fn inner_products(
    rows: &[f32],
    kept: &[f32],
    width: usize,
    multiplier: &mut Multiplier,
) -> Vec<f32> {
    let (n, count) = (rows.len() / width, kept.len() / width);
    let (rows, kept) = (Matrix::new(rows, n, width), Matrix::new(kept, count, width));
    let mut products = vec![0.0; n * count];
    if n < FEW {
        let mut turned = vec![0.0; n * count];
        multiplier.multiply(kept, rows.transposed(), MatrixMut::new(&mut turned, count, n));
        for (at, product) in products.iter_mut().enumerate() {
            *product = turned[at % count * n + at / count];
        }
    } else {
        multiplier.multiply(rows, kept.transposed(), MatrixMut::new(&mut products, n, count));
    }
    products
}
