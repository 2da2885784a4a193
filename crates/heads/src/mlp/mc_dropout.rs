//! Monte-Carlo dropout: the uncertainty of a prediction as its standard deviation over forward
//! passes with dropout.

use facefold_core::rng::seeded;
use facefold_core::{FeatureMatrix, HeadError, TargetKind};

use super::dropout::drop_values;
use super::{Fitted, PREDICTION_ROWS};
use crate::threads::on_one_thread;

/// Standard deviation over the passes, one a row: of the predicted age in years, or of the
/// probability of the class with the highest mean. `None` if the settings have no passes.
///
/// On the plain crops. The dropout masks have a seed of their own: the same rows give the same
/// bits.
pub(super) fn uncertainty(
    fitted: &Fitted,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Option<Vec<f32>>, HeadError> {
    let options = &fitted.stored.settings.options;
    let passes = options.mc_dropout_passes;
    if passes == 0 {
        return Ok(None);
    }
    fitted.features.check(matrix, rows)?;
    on_one_thread(|| {
        let mut generator = seeded(0, "mlp spread");
        let mut deviations = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(PREDICTION_ROWS) {
            let values = fitted.features.rows(matrix.plain(), chunk, 1.0);
            let mut predicted: Vec<Vec<f32>> = Vec::with_capacity(passes);
            for _ in 0..passes {
                let mut seen = values.clone();
                if options.input_dropout > 0.0 {
                    drop_values(&mut seen, options.input_dropout, &mut generator);
                }
                let outputs = fitted.network.predict_with_dropout(seen, &mut generator)?;
                let probabilities = fitted.decoder.probabilities(outputs);
                predicted.push(match fitted.stored.target {
                    TargetKind::Regression => fitted.decoder.years_of(probabilities),
                    TargetKind::Classes { .. } => probabilities,
                });
            }
            let width = predicted[0].len() / chunk.len();
            deviations.extend((0..chunk.len()).map(|row| {
                let moments = (row * width..(row + 1) * width).map(|at| moments(&predicted, at));
                // The class with the highest mean; years are one column.
                let best = moments.fold((f64::NEG_INFINITY, 0.0), |best, next| {
                    if next.0 > best.0 { next } else { best }
                });
                best.1 as f32
            }));
        }
        Ok(Some(deviations))
    })
}

/// Mean and standard deviation of one output over the passes.
fn moments(predicted: &[Vec<f32>], at: usize) -> (f64, f64) {
    let n = predicted.len() as f64;
    let mean = predicted.iter().map(|pass| f64::from(pass[at])).sum::<f64>() / n;
    let squares = predicted.iter().map(|pass| (f64::from(pass[at]) - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0)).sqrt())
}
