//! Nonparametric estimation of true ages that are known as ranges only (interval-censored labels).

/// Cells of the discretised error axis.
const CELLS: usize = 1_000;
/// EM iterations: more change no probability by a hundredth.
const ITERATIONS: usize = 60;

/// A row whose true age lies in a range, with its predicted age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgeInterval {
    /// The youngest and the oldest whole years that the true age may be; equal where it is exact.
    pub truth: (f32, f32),
    /// The predicted age in years.
    pub predicted: f32,
    /// Unit of the row's errors, in years, above 0: rows are compared by errors in this unit.
    pub unit: f32,
    /// Sample weight, above 0.
    pub weight: f64,
}

impl AgeInterval {
    /// How many whole years the true age may be.
    fn years(&self) -> usize {
        (self.truth.1 - self.truth.0) as usize + 1
    }

    /// The error of an age, in the row's unit.
    fn error(&self, age: f32) -> f32 {
        (age - self.predicted) / self.unit
    }
}

/// For each row the probability of each whole year of its range, the youngest first: 1 where the
/// age is exact.
///
/// The errors of all rows, each in its own unit, are taken to be drawn from one distribution. That
/// is estimated from known ages and ranges together by self-consistency (Turnbull, "The empirical
/// distribution function with arbitrarily grouped, censored and truncated data", 1976), begun from
/// a uniform one; within its range an age is then as probable as its error. A uniform
/// distribution instead would make predictions look worse than they are, as a good prediction
/// follows the true age within the range.
#[must_use]
pub fn age_probabilities(rows: &[AgeInterval]) -> Vec<Vec<f64>> {
    if rows.iter().all(|row| row.years() == 1) {
        return vec![vec![1.0]; rows.len()];
    }
    let cells = Cells::around(rows);
    let cumulative = cells.self_consistent(rows);
    let probabilities = |row: &AgeInterval| {
        let probability = |year: usize| {
            let age = row.truth.0 + year as f32;
            cumulative.between(cells.at(row.error(age - 0.5)), cells.at(row.error(age + 0.5)))
        };
        let probabilities: Vec<f64> = (0..row.years()).map(probability).collect();
        let all: f64 = probabilities.iter().sum();
        // Where nothing was found, nothing is known but the range.
        let uniform = 1.0 / probabilities.len() as f64;
        probabilities
            .iter()
            .map(|probability| if all > 0.0 { probability / all } else { uniform })
            .collect()
    };
    rows.iter().map(probabilities).collect()
}

/// Equal parts of the space of errors.
struct Cells {
    first: f32,
    width: f32,
}

impl Cells {
    fn around(rows: &[AgeInterval]) -> Self {
        let ends = rows
            .iter()
            .flat_map(|row| [row.error(row.truth.0 - 0.5), row.error(row.truth.1 + 0.5)]);
        let (low, high) =
            ends.fold((f32::MAX, f32::MIN), |(low, high), end| (low.min(end), high.max(end)));
        Self { first: low, width: ((high - low) / CELLS as f32).max(f32::MIN_POSITIVE) }
    }

    /// Where an error lies, in cells from the first one's beginning.
    fn at(&self, error: f32) -> f64 {
        f64::from((error - self.first) / self.width).clamp(0.0, CELLS as f64)
    }

    /// The distribution of errors under which each row's expected errors, given its range, have
    /// that same distribution.
    fn self_consistent(&self, rows: &[AgeInterval]) -> CumulativeDistribution {
        let ends: Vec<(f64, f64)> = rows
            .iter()
            .map(|row| {
                let half = if row.years() == 1 { 0.0 } else { 0.5 };
                (self.at(row.error(row.truth.0 - half)), self.at(row.error(row.truth.1 + half)))
            })
            .collect();
        let mut cumulative = CumulativeDistribution::of(&[1.0; CELLS]);
        for _ in 0..ITERATIONS {
            let mut density = vec![0.0; CELLS + 1];
            for (row, &(low, high)) in rows.iter().zip(&ends) {
                // Whole cells, at least one.
                let (low, high) = (low.floor().min(CELLS as f64 - 1.0), high.ceil());
                let (low, high) = (low, high.max(low + 1.0));
                let mass = cumulative.between(low, high);
                let part = if mass > 0.0 { row.weight / mass } else { 0.0 };
                density[low as usize] += part;
                density[high as usize] -= part;
            }
            let mut sum = 0.0;
            let masses: Vec<f64> = (0..CELLS)
                .map(|cell| {
                    sum += density[cell];
                    let mass = cumulative.between(cell as f64, cell as f64 + 1.0);
                    (sum * mass).max(0.0)
                })
                .collect();
            cumulative = CumulativeDistribution::of(&masses);
        }
        cumulative
    }
}

/// A distribution over cells, by what lies below the beginning of each.
struct CumulativeDistribution(Vec<f64>);

impl CumulativeDistribution {
    fn of(masses: &[f64]) -> Self {
        let all: f64 = masses.iter().sum();
        let mut sum = 0.0;
        let below = masses.iter().map(|mass| {
            sum += mass / all;
            sum
        });
        Self(std::iter::once(0.0).chain(below).collect())
    }

    /// The cumulative probability at a place, linear within a cell.
    fn below(&self, place: f64) -> f64 {
        let cell = (place.floor() as usize).min(CELLS - 1);
        let [from, to] = [self.0[cell], self.0[cell + 1]];
        from + (to - from) * (place - cell as f64)
    }

    fn between(&self, low: f64, high: f64) -> f64 {
        (self.below(high) - self.below(low)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::{AgeInterval, age_probabilities};
    use crate::rng::seeded;

    fn row(truth: (f32, f32), predicted: f32) -> AgeInterval {
        AgeInterval { truth, predicted, unit: 4.0, weight: 1.0 }
    }

    #[test]
    fn a_known_age_is_certain_and_a_single_range_is_uniform() {
        assert_eq!(age_probabilities(&[row((30.0, 30.0), 50.0)]), [[1.0]]);
        let alone = age_probabilities(&[row((30.0, 39.0), 34.5)]);
        assert!(alone[0].iter().all(|probability| (probability - 0.1).abs() < 1e-6), "{alone:?}");
    }

    #[test]
    fn exact_ages_shape_the_distribution_within_ranges() {
        let mut rows: Vec<AgeInterval> =
            (0..400u16).map(|at| row((40.0, 40.0), 40.0 + f32::from(at % 9) / 2.0 - 2.0)).collect();
        rows.push(row((30.0, 39.0), 33.0));
        let probabilities = age_probabilities(&rows);
        let near: f64 = probabilities[400][1..=5].iter().sum();
        assert!(near > 0.95, "{:?}", probabilities[400]);
        assert!((probabilities[400].iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_error_distribution_is_estimated_from_ranges() {
        // Ages off by a normal error of 5 years, known to ten years.
        let mut generator = seeded(3, "censored");
        let mut normal = || (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.0;
        let drawn: Vec<(f32, f32)> = (0..4_000u16)
            .map(|at| {
                let age = 20.0 + f32::from(at % 50);
                (age, age + 5.0 * normal())
            })
            .collect();
        let rows: Vec<AgeInterval> = drawn
            .iter()
            .map(|&(age, predicted)| {
                let low = (age / 10.0).floor() * 10.0;
                row((low, low + 9.0), predicted)
            })
            .collect();
        let within = |age: f32, predicted: f32| (age - predicted).abs() <= 6.4;
        let true_probability =
            drawn.iter().filter(|&&(age, predicted)| within(age, predicted)).count() as f64
                / drawn.len() as f64;
        let probabilities = age_probabilities(&rows);
        let expected = |row: &AgeInterval, probabilities: &[f64]| -> f64 {
            let inside =
                |&(year, _): &(u8, &f64)| within(row.truth.0 + f32::from(year), row.predicted);
            (0..).zip(probabilities).filter(inside).map(|(_, probability)| probability).sum()
        };
        let found = rows
            .iter()
            .zip(&probabilities)
            .map(|(row, probabilities)| expected(row, probabilities))
            .sum::<f64>()
            / rows.len() as f64;
        let uniform =
            rows.iter().map(|row| expected(row, &[0.1; 10])).sum::<f64>() / rows.len() as f64;
        assert!((found - true_probability).abs() < 0.03, "{found} of {true_probability}");
        assert!(uniform < true_probability - 0.06, "{uniform} of {true_probability}");
    }
}
