//! Prediction intervals and familiarity of a fit's test rows, and their coverage.

use std::sync::{Arc, OnceLock};

use facefold_core::intervals::coverage_probabilities;
use facefold_core::{AgeEstimate, Familiarity, FamiliarityModel, HeadError, Prediction};

use super::{Fits, Job};
use crate::calibration::{Calibration, true_ages};
use crate::error::EvaluateError;
use crate::journal::FitRecord;
use crate::metrics::{Metric, Metrics, PredictedValues};
use crate::result::{FamiliarityCheck, IntervalCheck};
use crate::split::CvSplit;
use crate::statistics::bootstrap::bootstrap;
use crate::statistics::mean;
use crate::statistics::proportion;
use crate::statistics::sums::{SubjectSums, numbers_of};

/// Familiarity of a split's faces, made once for all heads and seeds.
pub(super) type SharedFamiliarity = Arc<OnceLock<Option<FamiliarityModel>>>;

/// Intervals and familiarity of a fit's test rows.
#[derive(Default)]
pub(super) struct Calibrated {
    /// Around the predicted age of each.
    pub(super) intervals: Option<Vec<(f32, f32)>>,
    /// How those do.
    pub(super) check: Option<IntervalCheck>,
    /// How familiar each face is.
    pub(super) familiarity: Option<Vec<Familiarity>>,
}

impl Fits<'_> {
    /// Calibrates a fit on the rows that it was not fitted on, and tries that on its test rows, by
    /// its predictions for its validation and test rows.
    pub(super) fn calibrated(
        &self,
        job: &Job<'_>,
        calibration: Calibration<'_>,
        [held_out, tested]: [&Prediction; 2],
    ) -> Result<Calibrated, HeadError> {
        let test = &job.split.test;
        let shared = self.shared_familiarity(job.split);
        if shared.get().is_none() {
            // A concurrent fit may have computed the same.
            let _ = shared.set(calibration.familiarity()?);
        }
        let model = shared.get().and_then(Option::as_ref);
        let rows = self.features_of(test);
        let familiarity = model.map(|model| model.of(self.plan.matrix, &rows)).transpose()?;
        let intervals = calibration.intervals(job.head, held_out, model, job.seed)?;
        let Some(calibrated) = intervals else {
            return Ok(Calibrated { familiarity, ..Calibrated::default() });
        };
        let distance = |row: usize| familiarity.as_ref().map_or(0.0, |faces| faces[row].distance);
        let estimates = AgeEstimate::of_prediction(tested);
        let around = |(row, estimate)| calibrated.intervals.around(estimate, distance(row));
        let intervals: Vec<(f32, f32)> = estimates.iter().enumerate().map(around).collect();
        let check = self.check_intervals(test, &intervals, calibrated.sets_left_out);
        Ok(Calibrated { intervals: Some(intervals), check, familiarity })
    }

    /// The familiarity of a split's faces, shared by its fits.
    fn shared_familiarity(&self, split: &CvSplit) -> SharedFamiliarity {
        let key = [split.train.as_slice(), &[usize::MAX], &split.validation].concat();
        match self.familiarity.lock() {
            Ok(mut known) => Arc::clone(known.entry(key).or_default()),
            Err(_) => SharedFamiliarity::default(),
        }
    }

    /// The check of a finished fit, by the subjects that its test rows have now: where names were
    /// corrected since, other rows are drawn together, and the fit is the same.
    pub(super) fn check_again(&self, test: &[usize], record: &FitRecord) -> Option<IntervalCheck> {
        let before = record.result.intervals?;
        self.check_intervals(test, record.intervals.as_deref()?, before.sets_left_out)
    }

    /// Coverage on the test rows with an age label.
    fn check_intervals(
        &self,
        test: &[usize],
        intervals: &[(f32, f32)],
        sets_left_out: usize,
    ) -> Option<IntervalCheck> {
        let truth = true_ages(&self.plan.targets.select(test));
        let fractions = coverage_probabilities(&truth, intervals).into_iter().enumerate();
        let inside: Vec<(usize, f64)> =
            fractions.filter_map(|(row, share)| Some((row, share?))).collect();
        if inside.is_empty() {
            return None;
        }
        let names = inside.iter().map(|&(row, _)| self.plan.rows[test[row]].subject_name());
        let subject_of = numbers_of(names);
        let fractions: Vec<f64> = inside.iter().map(|&(_, share)| share).collect();
        let widths: Vec<f64> =
            inside.iter().map(|&(row, _)| f64::from(intervals[row].1 - intervals[row].0)).collect();
        let sums = SubjectSums::of_values(&subject_of, &fractions);
        let drawn = bootstrap(&sums, &|sums| vec![sums[1] / sums[0]], self.plan.seed);
        let drawn = drawn.first()?;
        Some(IntervalCheck {
            rows: inside.len(),
            coverage: mean(&fractions),
            coverage_interval: proportion::interval(drawn.estimate, drawn.interval, || {
                sums.subjects()
            }),
            width: mean(&widths),
            sets_left_out,
        })
    }

    /// How a head does on test rows that are like its training faces, and on others.
    pub(super) fn check_familiarity(
        &self,
        split: &CvSplit,
        faces: &[Familiarity],
        predicted_values: &PredictedValues,
    ) -> Result<FamiliarityCheck, EvaluateError> {
        let (unfamiliar, familiar): (Vec<usize>, Vec<usize>) =
            (0..faces.len()).partition(|&row| faces[row].unfamiliar);
        let primary = Metric::primary(self.plan.task, &self.plan.targets);
        let value = |rows: &[usize]| -> Result<Option<f64>, EvaluateError> {
            let own: Vec<usize> = rows.iter().map(|&row| split.test[row]).collect();
            let truth = self.plan.targets.select(&own);
            let metrics =
                Metrics::measure(&predicted_values.of_rows(rows), &truth, self.plan.ordered())?;
            Ok(metrics.and_then(|metrics| metrics.get(primary)))
        };
        Ok(FamiliarityCheck {
            rows: faces.len(),
            unfamiliar_rows: unfamiliar.len(),
            familiar: value(&familiar)?,
            unfamiliar: value(&unfamiliar)?,
        })
    }
}
