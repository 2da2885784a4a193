//! Calibration on rows that a head was not fitted on: intervals
//! around ages, and which faces are unlike the training faces.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use facefold_core::intervals::balanced_weights;
use facefold_core::{
    AgeEstimate, AgeIntervals, CalibrationRow, FamiliarityModel, FeatureMatrix, Head, HeadError,
    Prediction, Targets, WeightedRows,
};

use crate::auxiliary::{AuxiliaryLabels, MainTaskRows};
use crate::sets::SetName;

/// The rows of a fit, to calibrate it with.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// All rows of the task.
    pub own: MainTaskRows<'a>,
    /// What else is known of them.
    pub auxiliary_labels: &'a AuxiliaryLabels,
    /// The rows that were fitted.
    pub training: &'a [usize],
    /// Rows of the same data sets whose subjects were not fitted.
    pub held_out: &'a [usize],
}

/// Intervals around predicted ages, and what they were calibrated on.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibratedIntervals {
    /// The intervals.
    pub intervals: AgeIntervals,
    /// Data sets that were left out in turn to calibrate on; 0 where all calibration rows are of
    /// the sets that were fitted.
    pub sets_left_out: usize,
}

impl Calibration<'_> {
    /// Fits familiarity on the training rows, each data set with equal weight, with its border on
    /// the held-out rows. `None` where too few rows are held out.
    ///
    /// # Errors
    /// As [`FamiliarityModel::fit`].
    pub fn familiarity(&self) -> Result<Option<FamiliarityModel>, HeadError> {
        let sets: Vec<Vec<usize>> = self.by_set(self.training).into_values().collect();
        let sizes: Vec<usize> = sets.iter().map(Vec::len).collect();
        let training = WeightedRows {
            rows: &self.features_of(&sets.concat()),
            weights: &balanced_weights(&sizes),
        };
        FamiliarityModel::fit(self.own.matrix, training, &self.features_of(self.held_out))
    }

    /// Calibrates intervals around the ages that a head predicts: on the held-out rows, for which
    /// it predicted `held_out`, and, where it was fitted on several data sets, on those of each
    /// set as predicted by the head fitted on the others. The held-out rows and each set have
    /// equal weight. None where classes are predicted, or too few rows are known.
    ///
    /// # Errors
    /// As [`Head::fit`] and its fitted head's `predict`.
    pub fn intervals(
        &self,
        head: &dyn Head,
        held_out: &Prediction,
        familiarity: Option<&FamiliarityModel>,
        seed: u64,
    ) -> Result<Option<CalibratedIntervals>, HeadError> {
        if !matches!(self.own.targets, Targets::Regression(_)) {
            return Ok(None);
        }
        let mut groups = vec![self.calibration_rows(self.held_out, held_out, familiarity)?];
        for set in self.by_set(self.training).into_keys() {
            groups.extend(self.left_out(set, head, seed)?);
        }
        let sets_left_out = groups.len() - 1;
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let mut rows = groups.concat();
        for (row, weight) in rows.iter_mut().zip(balanced_weights(&sizes)) {
            row.weight = weight;
        }
        let intervals = AgeIntervals::fit(&rows);
        Ok(intervals.map(|intervals| CalibratedIntervals { intervals, sets_left_out }))
    }

    /// The training rows of one data set, as predicted by a fit on those of all others; none where
    /// there are no others.
    fn left_out(
        &self,
        set: Option<&str>,
        head: &dyn Head,
        seed: u64,
    ) -> Result<Option<Vec<CalibrationRow>>, HeadError> {
        let parted = |rows: &[usize]| -> (Vec<usize>, Vec<usize>) {
            rows.iter().copied().partition(|&row| self.set_of(row) == set)
        };
        let (left_out, training) = parted(self.training);
        let (_, held_out) = parted(self.held_out);
        let subjects: BTreeSet<&str> =
            training.iter().map(|&row| self.own.rows[row].subject_name()).collect();
        let unseen = |row: &usize| !subjects.contains(self.own.rows[*row].subject_name());
        let left_out: Vec<usize> = left_out.into_iter().filter(unseen).collect();
        if training.is_empty() || held_out.is_empty() || left_out.is_empty() {
            return Ok(None);
        }
        let (fit, validation) = self.auxiliary_labels.datasets(self.own, &training, &held_out)?;
        let fit = head.fit(&fit, &validation, seed)?;
        let others = Calibration { training: &training, held_out: &held_out, ..*self };
        let familiarity = others.familiarity()?;
        let prediction = fit.head.predict(self.own.matrix, &self.features_of(&left_out))?;
        self.calibration_rows(&left_out, &prediction, familiarity.as_ref()).map(Some)
    }

    /// Rows with their predictions and true ages, those left out of which too little is known.
    fn calibration_rows(
        &self,
        rows: &[usize],
        prediction: &Prediction,
        familiarity: Option<&FamiliarityModel>,
    ) -> Result<Vec<CalibrationRow>, HeadError> {
        let distances = distances(familiarity, self.own.matrix, &self.features_of(rows))?;
        let truth = true_ages(&self.own.targets.select(rows));
        let known = truth.into_iter().zip(AgeEstimate::of_prediction(prediction)).zip(distances);
        // By the number of a subject's first row: subjects of several groups have other numbers.
        let mut subjects = HashMap::new();
        Ok(known
            .zip(rows)
            .filter_map(|(((truth, estimate), distance), &row)| {
                let subject = *subjects.entry(self.own.rows[row].subject_name()).or_insert(row);
                Some(CalibrationRow { estimate, truth: truth?, weight: 1.0, distance, subject })
            })
            .collect())
    }

    fn features_of(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&row| self.own.matrix_rows[row]).collect()
    }

    /// The data set of a row; none where there is one only.
    fn set_of(&self, row: usize) -> Option<&str> {
        self.own.rows[row].set.as_ref().map(SetName::as_str)
    }

    fn by_set(&self, rows: &[usize]) -> BTreeMap<Option<&str>, Vec<usize>> {
        let mut sets: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for &row in rows {
            sets.entry(self.set_of(row)).or_default().push(row);
        }
        sets
    }
}

/// Distances of rows from the training faces; 0 where nothing is known of familiarity.
///
/// # Errors
/// As [`FamiliarityModel::of`].
pub fn distances(
    familiarity: Option<&FamiliarityModel>,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Vec<f32>, HeadError> {
    let Some(familiarity) = familiarity else { return Ok(vec![0.0; rows.len()]) };
    Ok(familiarity.of(matrix, rows)?.iter().map(|face| face.distance).collect())
}

/// The youngest and the oldest age that each true one may be; none for a class.
pub(crate) fn true_ages(targets: &Targets) -> Vec<Option<(f32, f32)>> {
    match targets {
        Targets::Regression(ages) => ages.iter().map(|age| Some((age.low(), age.high()))).collect(),
        Targets::Classes { indices, .. } => vec![None; indices.len()],
    }
}
