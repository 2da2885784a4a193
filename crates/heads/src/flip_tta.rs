//! Horizontal-flip test-time augmentation: predictions averaged over a face's crop and its mirror
//! image, on one thread.

use facefold_core::{FeatureMatrix, FeatureRows, HeadError};

use crate::features::Standardiser;
use crate::threads::on_one_thread;

/// The predictions of `predict` for the plain rows, averaged with those for the mirrored rows where
/// the matrix has mirrored rows.
pub(crate) fn flip_averaged(
    features: &Standardiser,
    matrix: &FeatureMatrix,
    rows: &[usize],
    predict: impl Fn(&FeatureRows, &[usize]) -> Result<Vec<f32>, HeadError> + Sync,
) -> Result<Vec<f32>, HeadError> {
    features.check(matrix, rows)?;
    on_one_thread(|| {
        let mut predictions = predict(matrix.plain(), rows)?;
        if let Some(mirrored) = matrix.mirrored() {
            for (prediction, other) in predictions.iter_mut().zip(predict(mirrored, rows)?) {
                *prediction = f32::midpoint(*prediction, other);
            }
        }
        Ok(predictions)
    })
}
