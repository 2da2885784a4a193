//! The one way in which fitted heads answer: both crops of a face, on one thread.

use facefold_core::{FeatureMatrix, FeatureRows, HeadError};

use crate::features::Standardiser;
use crate::threads::on_one_thread;

/// What `answer` says of the plain rows, or the mean of that and of what it says of the mirrored
/// rows, where the matrix has those.
pub(crate) fn answer_both(
    features: &Standardiser,
    matrix: &FeatureMatrix,
    rows: &[usize],
    answer: impl Fn(&FeatureRows, &[usize]) -> Result<Vec<f32>, HeadError> + Sync,
) -> Result<Vec<f32>, HeadError> {
    features.check(matrix, rows)?;
    on_one_thread(|| {
        let mut answers = answer(matrix.plain(), rows)?;
        if let Some(mirrored) = matrix.mirrored() {
            for (answer, other) in answers.iter_mut().zip(answer(mirrored, rows)?) {
                *answer = f32::midpoint(*answer, other);
            }
        }
        Ok(answers)
    })
}
