//! Whether a table of predictions is the one that a result was measured on.

use std::path::Path;

use facefold_core::Task;

use crate::error::EvaluateError;
use crate::metrics::{Metric, Metrics};
use crate::predictions::RowPredictions;
use crate::result::{CvResult, FitResult, SplitSummary};

/// Metrics measured anew may differ so much, by rounding.
const ROUNDING: f64 = 1e-6;

impl RowPredictions {
    /// Measures the predictions anew and compares the figures with those of their result; gives how many
    /// test rows of the result are not there any more. Splits without such a row are compared.
    ///
    /// # Errors
    /// [`EvaluateError::File`] for `path`, with the first figure or column that is another, or where there
    /// are rows that the result does not have.
    pub fn check(&self, result: &CvResult, path: &Path) -> Result<usize, EvaluateError> {
        let other = |message: String| EvaluateError::File { path: path.to_owned(), message };
        let mut missing = 0;
        let mut known = 0;
        for split in &result.splits {
            let rows: Vec<usize> =
                (0..self.rows.len()).filter(|&row| *self.rows[row].split == *split.name).collect();
            known += rows.len();
            if rows.len() > split.test {
                return Err(other(format!(
                    "expected the {} test rows of `{}` that its report.json has, found {}",
                    split.test,
                    split.name,
                    rows.len()
                )));
            }
            missing += split.test - rows.len();
            let predictions = self.of_rows(&rows);
            for head in &result.heads {
                for fit in head.fits.iter().filter(|fit| fit.split == split.name) {
                    predictions.check_fit(&head.name, fit, split).map_err(other)?;
                }
            }
        }
        if known < self.rows.len() {
            return Err(other(
                "expected rows of the splits of its report.json, found others".to_owned(),
            ));
        }
        Ok(missing)
    }

    /// Compares the figures of one fit with its rows.
    fn check_fit(&self, head: &str, fit: &FitResult, split: &SplitSummary) -> Result<(), String> {
        let column =
            self.columns.iter().find(|column| column.head == head && column.seed == fit.seed);
        let Some(column) = column else {
            return Err(format!("expected a column `{head}/{}`, found none", fit.seed));
        };
        if self.rows.len() < split.test {
            return Ok(());
        }
        let ordered = self.task == Task::AgeGroup;
        let measured = Metrics::measure(&column.predicted_values, &self.truth, ordered);
        let Some(measured) = measured.map_err(|error| error.to_string())? else { return Ok(()) };
        for &metric in Metric::of(self.task) {
            let (reported, found) = (fit.test.get(metric), measured.get(metric));
            let agrees = match (reported, found) {
                (Some(a), Some(b)) => (a - b).abs() <= ROUNDING * (1.0 + a.abs()),
                (a, b) => a == b,
            };
            if !agrees {
                let number =
                    |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |v| v.to_string());
                return Err(format!(
                    "expected the {metric} of `{head}` on `{}` with seed {} that its report.json has, {}, \
                     found {} in these rows: one of the two files was changed",
                    fit.split,
                    fit.seed,
                    number(reported),
                    number(found)
                ));
            }
        }
        Ok(())
    }
}
