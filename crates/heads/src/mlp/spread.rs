//! How sure a network is: how much its answers vary while units are dropped as in training.

use facefold_core::rng::seeded;
use facefold_core::{FeatureMatrix, HeadError, TargetKind};

use super::dropout::drop_values;
use super::{ANSWER_ROWS, Fitted};
use crate::threads::on_one_thread;

/// Standard deviation over the passes, one a row: of the years told, or of the probability of the
/// class that the passes tell most. `None` where the settings ask for no pass.
///
/// By the plain crops. The dropped units are drawn from a seed of their own: the same rows give the
/// same bits.
pub(super) fn spread(
    fitted: &Fitted,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Option<Vec<f32>>, HeadError> {
    let options = &fitted.stored.settings.options;
    let passes = options.spread_passes;
    if passes == 0 {
        return Ok(None);
    }
    fitted.features.check(matrix, rows)?;
    on_one_thread(|| {
        let mut generator = seeded(0, "mlp spread");
        let mut spreads = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(ANSWER_ROWS) {
            let values = fitted.features.rows(matrix.plain(), chunk, 1.0);
            let mut told: Vec<Vec<f32>> = Vec::with_capacity(passes);
            for _ in 0..passes {
                let mut seen = values.clone();
                if options.input_dropout > 0.0 {
                    drop_values(&mut seen, options.input_dropout, &mut generator);
                }
                let outputs = fitted.network.answer_dropping(seen, &mut generator)?;
                let shares = fitted.telling.shares(outputs);
                told.push(match fitted.stored.target {
                    TargetKind::Years => fitted.telling.years_of(shares),
                    TargetKind::Classes { .. } => shares,
                });
            }
            let width = told[0].len() / chunk.len();
            spreads.extend((0..chunk.len()).map(|row| {
                let moments = (row * width..(row + 1) * width).map(|at| moments(&told, at));
                // The class with the highest mean; years are one column.
                let best = moments.fold((f64::NEG_INFINITY, 0.0), |best, next| {
                    if next.0 > best.0 { next } else { best }
                });
                best.1 as f32
            }));
        }
        Ok(Some(spreads))
    })
}

/// Mean and standard deviation of one answer over the passes.
fn moments(told: &[Vec<f32>], at: usize) -> (f64, f64) {
    let n = told.len() as f64;
    let mean = told.iter().map(|pass| f64::from(pass[at])).sum::<f64>() / n;
    let squares = told.iter().map(|pass| (f64::from(pass[at]) - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0)).sqrt())
}
