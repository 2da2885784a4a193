//! Monte-Carlo dropout: the uncertainty of a prediction as its standard deviation over forward
//! passes with dropout (Gal and Ghahramani, "Dropout as a Bayesian approximation", 2016).

use facefold_core::rng::seeded;
use facefold_core::{FeatureMatrix, HeadError, TargetKind};

use super::Fitted;
use super::dropout::drop_values;

/// Standard deviation over the passes, one a row: of the predicted age in years, or of the
/// probability of the class with the highest mean. `None` if the settings have no passes.
///
/// On the plain crops. Each pass drops the same units of all rows, and the masks have a seed of
/// their own: a row's uncertainty has the same bits whatever the other rows.
pub(super) fn uncertainty(
    fitted: &Fitted,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Option<Vec<f32>>, HeadError> {
    if fitted.stored.settings.options.mc_dropout_passes == 0 {
        return Ok(None);
    }
    fitted.features.check(matrix, rows)?;
    let mut deviations = Vec::with_capacity(rows.len());
    for values in fitted.features.chunks(matrix.plain(), rows) {
        let n = values.len() / fitted.features.width();
        let predicted = passes(fitted, &values)?;
        let width = predicted[0].len() / n;
        deviations.extend((0..n).map(|row| {
            let moments = (row * width..(row + 1) * width).map(|at| moments(&predicted, at));
            // The class with the highest mean; years are one column.
            let best =
                moments.fold(
                    (f64::NEG_INFINITY, 0.0),
                    |best, next| {
                        if next.0 > best.0 { next } else { best }
                    },
                );
            best.1 as f32
        }));
    }
    Ok(Some(deviations))
}

/// Class probabilities or years of scaled rows, pass by pass.
fn passes(fitted: &Fitted, values: &[f32]) -> Result<Vec<Vec<f32>>, HeadError> {
    let options = &fitted.stored.settings.options;
    let mut generator = seeded(0, "mlp spread");
    let mut pass = || {
        let mut seen = values.to_vec();
        if options.input_dropout > 0.0 {
            let mut mask = vec![1.0; fitted.features.width()];
            drop_values(&mut mask, options.input_dropout, &mut generator);
            for row in seen.chunks_mut(mask.len()) {
                row.iter_mut().zip(&mask).for_each(|(value, factor)| *value *= factor);
            }
        }
        let outputs = fitted.network.predict_with_dropout(seen, &mut generator)?;
        let probabilities = fitted.decoder.probabilities(outputs);
        Ok(match fitted.stored.target {
            TargetKind::Regression => fitted.decoder.years_of(&probabilities),
            TargetKind::Classes { .. } => probabilities,
        })
    };
    (0..options.mc_dropout_passes).map(|_| pass()).collect()
}

/// Mean and standard deviation of one output over the passes.
fn moments(predicted: &[Vec<f32>], at: usize) -> (f64, f64) {
    let n = predicted.len() as f64;
    let mean = predicted.iter().map(|pass| f64::from(pass[at])).sum::<f64>() / n;
    let squares = predicted.iter().map(|pass| (f64::from(pass[at]) - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0)).sqrt())
}
