//! Intervals around told ages, from how far a head was off on rows that it was not fitted on.

use serde::{Deserialize, Serialize};

/// Share of true ages that is left outside at either end.
const TAIL: f64 = 0.1;
/// Rows of each bin of told ages; fewer rows in all make one bin.
const BIN_ROWS: usize = 150;
/// With fewer rows than this the outer tenths hold none.
const LEAST_ROWS: usize = 20;

/// Intervals in which eight of ten true ages lie, by told age.
///
/// Split conformal prediction (Papadopoulos et al., "Inductive confidence machines for regression",
/// 2002), one tail at a time, within bins of told age (Mondrian; Boström and Johansson, 2020): a
/// head that is surer of children than of adults has narrower intervals there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeIntervals {
    /// Told ages that part the bins, ascending; one less than there are bins.
    edges: Vec<f32>,
    /// Of each bin the years from the told age to both ends of the interval.
    offsets: Vec<(f32, f32)>,
}

impl AgeIntervals {
    /// Intervals from told and true ages of rows that the head was not fitted on; none where there
    /// are fewer than 20, or an age is not finite.
    #[must_use]
    pub fn fit(told: &[f32], truth: &[f32]) -> Option<Self> {
        let mut rows: Vec<(f32, f32)> =
            told.iter().zip(truth).map(|(&told, &truth)| (told, truth - told)).collect();
        let finite = rows.iter().all(|(told, off)| told.is_finite() && off.is_finite());
        if rows.len() < LEAST_ROWS || told.len() != truth.len() || !finite {
            return None;
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = (rows.len() / BIN_ROWS).max(1);
        let (mut edges, mut offsets) = (Vec::new(), Vec::new());
        // Rows of one told age stay together: where ages are told in whole years, many are. A bin
        // ends before them or after them.
        let around = |bin: usize| {
            let told = rows[rows.len() * bin / bins].0;
            [rows.partition_point(|row| row.0 < told), rows.partition_point(|row| row.0 <= told)]
        };
        let mut starts = vec![0];
        for start in (1..bins).flat_map(around) {
            let apart = start >= starts[starts.len() - 1] + LEAST_ROWS;
            if apart && start + LEAST_ROWS <= rows.len() {
                starts.push(start);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([rows.len()]);
        for (&start, end) in starts.iter().zip(ends) {
            if start > 0 {
                edges.push(rows[start].0);
            }
            let mut off: Vec<f32> = rows[start..end].iter().map(|row| row.1).collect();
            off.sort_by(f32::total_cmp);
            // The k-th smallest of n values lies above a new one with probability k / (n + 1).
            let outside = (((off.len() + 1) as f64 * TAIL).floor() as usize).max(1);
            offsets.push((off[outside - 1], off[off.len() - outside]));
        }
        Some(Self { edges, offsets })
    }

    /// Both ends of the interval around a told age, in years; none below 0.
    #[must_use]
    pub fn around(&self, told: f32) -> (f32, f32) {
        let bin = self.edges.partition_point(|&edge| edge <= told);
        let (low, high) = self.offsets.get(bin).copied().unwrap_or_default();
        ((told + low).max(0.0), (told + high).max(0.0))
    }

    /// Whether the parts fit together, as those of [`Self::fit`] do.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ordered = self.offsets.iter().all(|(low, high)| low <= high);
        self.offsets.len() == self.edges.len() + 1 && self.edges.is_sorted() && ordered
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::AgeIntervals;
    use crate::rng::seeded;

    /// Errors that grow with the age, and lean to one side.
    fn rows(n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut generator = seeded(seed, "intervals");
        (0..n)
            .map(|_| {
                let told: f32 = generator.random_range(1.0..80.0);
                (told, told + told * (0.3 * generator.random::<f32>() - 0.1))
            })
            .unzip()
    }

    /// Whole years: most are told 26 and are right to within a year; the others are off by up to 9.
    fn whole_years(n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut generator = seeded(seed, "whole years");
        (0..n)
            .map(|_| {
                let common = generator.random_bool(0.6);
                let told = if common { 26 } else { generator.random_range(16..36) };
                let most = if told == 26 { 1 } else { 9 };
                (told as f32, (told + generator.random_range(-most..=most)) as f32)
            })
            .unzip()
    }

    #[test]
    fn an_age_told_to_many_does_not_narrow_its_neighbours() {
        let (told, truth) = whole_years(2_000, 1);
        let intervals = AgeIntervals::fit(&told, &truth).unwrap();
        assert!(intervals.is_sound());
        assert!(intervals.around(26.0).1 - intervals.around(26.0).0 <= 2.0);
        let (told, truth) = whole_years(20_000, 2);
        for ages in [16.0..26.0, 27.0..36.0] {
            let (mut inside, mut rows) = (0, 0);
            for (&told, &truth) in told.iter().zip(&truth).filter(|(told, _)| ages.contains(*told))
            {
                let (low, high) = intervals.around(told);
                inside += u32::from((low..=high).contains(&truth));
                rows += 1;
            }
            let share = f64::from(inside) / f64::from(rows);
            assert!(share > 0.77, "{ages:?}: {share}");
        }
    }

    #[test]
    fn eight_of_ten_new_ages_lie_inside_everywhere() {
        let (told, truth) = rows(2_000, 1);
        let intervals = AgeIntervals::fit(&told, &truth).unwrap();
        assert!(intervals.is_sound());
        let (told, truth) = rows(20_000, 2);
        for ages in [0.0..80.0, 0.0..20.0, 60.0..80.0] {
            let chosen = told.iter().zip(&truth).filter(|(told, _)| ages.contains(*told));
            let inside = |&(&told, &truth): &(&f32, &f32)| {
                let (low, high) = intervals.around(told);
                (low..=high).contains(&truth)
            };
            let share = chosen.clone().filter(inside).count() as f64 / chosen.count() as f64;
            assert!((0.76..0.84).contains(&share), "{ages:?}: {share}");
        }
        let width = |told| intervals.around(told).1 - intervals.around(told).0;
        assert!(width(70.0) > 4.0 * width(10.0));
    }

    #[test]
    fn ends_are_the_values_that_leave_a_tenth_outside() {
        // 29 errors of -14 to 14: the third from either end, as 30 * 0.1 = 3.
        let told = vec![50.0; 29];
        let truth: Vec<f32> = (0_i16..29).map(|i| 50.0 + f32::from(i - 14)).collect();
        let intervals = AgeIntervals::fit(&told, &truth).unwrap();
        assert_eq!(intervals.around(50.0), (38.0, 62.0));
        assert_eq!(intervals.around(5.0), (0.0, 17.0));
    }

    #[test]
    fn few_or_broken_rows_give_none() {
        assert_eq!(AgeIntervals::fit(&[1.0; 19], &[1.0; 19]), None);
        assert_eq!(AgeIntervals::fit(&[f32::NAN; 30], &[1.0; 30]), None);
        let unsound: AgeIntervals =
            serde_json::from_str(r#"{"edges":[1.0],"offsets":[[0.0,1.0]]}"#).unwrap();
        assert!(!unsound.is_sound());
    }
}
