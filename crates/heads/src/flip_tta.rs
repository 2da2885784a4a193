//! Horizontal-flip test-time augmentation: predictions averaged over a face's crop and its mirror
//! image.

use facefold_core::{FeatureMatrix, FeatureRows, HeadError};

use crate::features::Standardiser;

/// The predictions of `predict`, which gets scaled features, for the plain rows, averaged with
/// those for the mirrored rows where the matrix has mirrored rows.
pub(crate) fn flip_averaged(
    features: &Standardiser,
    matrix: &FeatureMatrix,
    rows: &[usize],
    predict: impl Fn(Vec<f32>) -> Result<Vec<f32>, HeadError>,
) -> Result<Vec<f32>, HeadError> {
    features.check(matrix, rows)?;
    let of_crops = |source: &FeatureRows| -> Result<Vec<f32>, HeadError> {
        let mut predictions = Vec::new();
        for values in features.chunks(source, rows) {
            predictions.extend(predict(values)?);
        }
        Ok(predictions)
    };
    let mut predictions = of_crops(matrix.plain())?;
    if let Some(mirrored) = matrix.mirrored() {
        for (prediction, other) in predictions.iter_mut().zip(of_crops(mirrored)?) {
            *prediction = f32::midpoint(*prediction, other);
        }
    }
    Ok(predictions)
}
