//! Minors and adults among the rows, and rates over them.

use facefold_core::AgeTarget;

use super::{Decisions, MARGIN, Rate, RocPoint};
use crate::curves;
use crate::statistics::bootstrap::{Interval, bootstrap};
use crate::statistics::classical::clopper_pearson;
use crate::statistics::mean;
use crate::statistics::sums::SubjectSums;

/// False adult rates at which the ROC is given.
const ROC_RATES: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// Minors are parted so many years below the threshold: 0-12, 13-15 and 16-17 of those under 18.
const BAND_STARTS: [u32; 2] = [5, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgeClass {
    Minor,
    Adult,
}

/// Minor or adult; `None` for a range across the threshold.
pub(super) fn age_class(age: AgeTarget, threshold: u32) -> Option<AgeClass> {
    if age.high() < threshold as f32 {
        Some(AgeClass::Minor)
    } else if age.low() >= threshold as f32 {
        Some(AgeClass::Adult)
    } else {
        None
    }
}

/// The band of minors that all of an age lies in: `13-15`.
pub(super) fn band(age: AgeTarget, threshold: u32) -> Option<String> {
    let inner = BAND_STARTS.iter().filter_map(|years| threshold.checked_sub(*years));
    let mut starts: Vec<u32> = std::iter::once(0).chain(inner).collect();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([threshold]);
    let inside = |&(start, end): &(u32, u32)| age.low() >= start as f32 && age.high() < end as f32;
    let (start, end) = starts.iter().copied().zip(ends).find(inside)?;
    Some(format!("{start}-{}", end - 1))
}

/// How often a row is called over and under, over seeds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) over: f64,
    pub(super) under: f64,
}

/// Which rows are minors, adults, and older than the threshold by more than the margin.
pub(super) struct AgeStrata {
    pub(super) minors: Vec<usize>,
    pub(super) adults: Vec<usize>,
    pub(super) older: Vec<usize>,
}

impl AgeStrata {
    pub(super) fn new(truth: &[AgeTarget], threshold: u32) -> Self {
        Self::among(0..truth.len(), truth, threshold)
    }

    pub(super) fn among(
        rows: impl Iterator<Item = usize>,
        truth: &[AgeTarget],
        threshold: u32,
    ) -> Self {
        let (mut minors, mut adults) = (Vec::new(), Vec::new());
        for row in rows {
            match age_class(truth[row], threshold) {
                Some(AgeClass::Minor) => minors.push(row),
                Some(AgeClass::Adult) => adults.push(row),
                None => {}
            }
        }
        let old = |row: &usize| truth[*row].low() > (threshold + MARGIN) as f32;
        let older = adults.iter().copied().filter(old).collect();
        Self { minors, adults, older }
    }

    pub(super) fn decisions(&self, outcomes: &[Outcome]) -> Decisions {
        let over = |row: usize| outcomes[row].over;
        let under = |row: usize| outcomes[row].under;
        Decisions {
            minors_passed: Rate::of(&self.minors, over),
            minors_under: Rate::of(&self.minors, under),
            adults_passed: Rate::of(&self.adults, over),
            adults_under: Rate::of(&self.adults, under),
            older_passed: Rate::of(&self.older, over),
        }
    }

    /// The area under the ROC curve.
    pub(super) fn auc(&self, scores: &[f32]) -> Option<f64> {
        let of = |rows: &[usize]| -> Vec<f32> { rows.iter().map(|&row| scores[row]).collect() };
        curves::auc(of(&self.minors), &of(&self.adults))
    }

    /// The largest fraction of adults that pass with at most each rate of minors, averaged over
    /// seeds.
    pub(super) fn roc(&self, columns: &[Vec<f32>]) -> Vec<RocPoint> {
        if self.minors.is_empty() || self.adults.is_empty() {
            return Vec::new();
        }
        let passed = |scores: &Vec<f32>, rate: f64| {
            let mut minors: Vec<f32> = self.minors.iter().map(|&row| scores[row]).collect();
            minors.sort_unstable_by(|a, b| b.total_cmp(a));
            // Scores above that of the first minor who must not pass.
            let first =
                minors[((rate * minors.len() as f64).floor() as usize).min(minors.len() - 1)];
            let adults = self.adults.iter().filter(|&&row| scores[row] > first).count();
            adults as f64 / self.adults.len() as f64
        };
        let point = |&rate: &f64| {
            let fractions: Vec<f64> = columns.iter().map(|scores| passed(scores, rate)).collect();
            RocPoint { false_adult_rate: rate, adults_passed: mean(&fractions) }
        };
        ROC_RATES.iter().map(point).collect()
    }
}

impl Rate {
    pub(super) fn of(rows: &[usize], value: impl Fn(usize) -> f64) -> Self {
        let hits: f64 = rows.iter().map(|&row| value(row)).sum();
        let share = (!rows.is_empty()).then(|| hits / rows.len() as f64);
        Self { rows: rows.len(), hits, share, interval: None }
    }

    /// With the exact interval for independent rows.
    pub(super) fn exact(self) -> Self {
        let interval = self.share.map(|_| clopper_pearson(self.hits, self.rows));
        Self { interval, ..self }
    }

    /// With an interval that holds this one and the exact one.
    fn wide(self, drawn: Interval) -> Self {
        let exact = self.exact();
        let interval = exact.interval.map(|exact| Interval {
            low: exact.low.min(drawn.low),
            high: exact.high.max(drawn.high),
        });
        Self { interval, ..self }
    }
}

impl Decisions {
    pub(super) fn exact(self) -> Self {
        Self {
            minors_passed: self.minors_passed.exact(),
            minors_under: self.minors_under.exact(),
            adults_passed: self.adults_passed.exact(),
            adults_under: self.adults_under.exact(),
            older_passed: self.older_passed.exact(),
        }
    }

    /// With intervals by drawing subjects.
    pub(super) fn drawn(
        self,
        outcomes: &[Outcome],
        strata: &AgeStrata,
        subjects: &[usize],
        seed: u64,
    ) -> Self {
        /// Of a row: 1 and its outcomes as a minor, as an adult, and as an older adult.
        const WIDTH: usize = 8;
        let mut values = vec![0.0; outcomes.len() * WIDTH];
        for (rows, at) in [(&strata.minors, 0), (&strata.adults, 3)] {
            for &row in rows {
                let outcome = outcomes[row];
                values[row * WIDTH + at..][..3].copy_from_slice(&[
                    1.0,
                    outcome.over,
                    outcome.under,
                ]);
            }
        }
        for &row in &strata.older {
            values[row * WIDTH + 6..][..2].copy_from_slice(&[1.0, outcomes[row].over]);
        }
        let sums = SubjectSums::of(subjects, WIDTH, &values);
        let rates = |sums: &[f64]| {
            vec![
                sums[1] / sums[0],
                sums[2] / sums[0],
                sums[4] / sums[3],
                sums[5] / sums[3],
                sums[7] / sums[6],
            ]
        };
        let drawn = bootstrap(&sums, &rates, seed);
        Self {
            minors_passed: self.minors_passed.wide(drawn[0].interval),
            minors_under: self.minors_under.wide(drawn[1].interval),
            adults_passed: self.adults_passed.wide(drawn[2].interval),
            adults_under: self.adults_under.wide(drawn[3].interval),
            older_passed: self.older_passed.wide(drawn[4].interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::AgeTarget;

    use super::{AgeClass, AgeStrata, Outcome, Rate, age_class, band};

    #[test]
    fn a_range_counts_unless_it_extends_across_the_threshold() {
        let range = |text: &str| text.parse::<AgeTarget>().unwrap();
        assert_eq!(age_class(AgeTarget::exact(17.9), 18), Some(AgeClass::Minor));
        assert_eq!(age_class(AgeTarget::exact(18.0), 18), Some(AgeClass::Adult));
        let sides = ["15-17", "15-20", "18-24", "70+"].map(|age| age_class(range(age), 18));
        let adult = Some(AgeClass::Adult);
        assert_eq!(sides, [Some(AgeClass::Minor), None, adult, adult]);
        let bands = ["13-15", "10-14", "3", "17"].map(|age| band(range(age), 18));
        let expected = [Some("13-15"), None, Some("0-12"), Some("16-17")];
        assert_eq!(bands, expected.map(|band| band.map(str::to_owned)));
        assert_eq!(band(AgeTarget::exact(18.0), 18), None);
        assert_eq!(["0", "3"].map(|age| band(range(age), 4).unwrap()), ["0-1", "2-3"]);
    }

    #[test]
    fn rates_and_auc_match_manual_counts() {
        let truth = [10.0, 17.0, 16.0, 18.0, 25.0, 30.0, 31.0, 60.0].map(AgeTarget::exact);
        let strata = AgeStrata::new(&truth, 18);
        assert_eq!(strata.minors, [0, 1, 2]);
        assert_eq!(strata.adults, [3, 4, 5, 6, 7]);
        assert_eq!(strata.older, [6, 7], "older than 30");
        // sklearn.metrics.roc_auc_score([0, 0, 0, 1, 1, 1, 1, 1], [.1, .6, .2, .5, .6, .9, 1, 1])
        let scores = [0.1, 0.6, 0.2, 0.5, 0.6, 0.9, 1.0, 1.0];
        assert!((strata.auc(&scores).unwrap() - 0.9).abs() < 1e-12);
        // With no minor passed, who has more than 0.6 passes; with one of three, more than 0.2.
        let roc = strata.roc(&[scores.to_vec()]);
        let at = |rate: f64| roc.iter().find(|point| point.false_adult_rate == rate).unwrap();
        assert_eq!((at(0.01).adults_passed, at(0.5).adults_passed), (0.6, 1.0));
        let mut outcomes = [Outcome::default(); 8];
        (outcomes[1].over, outcomes[0].under, outcomes[6].over) = (0.5, 1.0, 1.0);
        let decisions = strata.decisions(&outcomes);
        let fractions = [
            decisions.minors_passed,
            decisions.minors_under,
            decisions.adults_passed,
            decisions.adults_under,
            decisions.older_passed,
        ]
        .map(|rate| rate.share.unwrap());
        assert_eq!(fractions, [0.5 / 3.0, 1.0 / 3.0, 0.2, 0.0, 0.5]);
        let none = Rate::of(&[], |_| 1.0).exact();
        assert_eq!((none.share, none.interval), (None, None));
    }
}
