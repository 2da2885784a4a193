//! Intervals of made-up predictions, whose coverage is known.

use rand::Rng as _;

use super::{
    AgeEstimate, AgeIntervals, CalibrationRow, age_deviation, balanced_weights,
    coverage_probabilities,
};
use crate::rng::{Rng, seeded};
use crate::threshold::quantile_age;

fn row(estimate: AgeEstimate, truth: f32) -> CalibrationRow {
    CalibrationRow { estimate, truth: (truth, truth), weight: 1.0, distance: 0.0, subject: 0 }
}

/// Intervals calibrated on rows of as many subjects.
fn fit(rows: &[CalibrationRow]) -> Option<AgeIntervals> {
    let alone = |(subject, row): (usize, &CalibrationRow)| CalibrationRow { subject, ..*row };
    AgeIntervals::fit(&rows.iter().enumerate().map(alone).collect::<Vec<_>>())
}

/// Rows of a head that predicts numbers.
fn numbers(predicted: &[f32], truth: &[f32]) -> Vec<CalibrationRow> {
    let rows = predicted.iter().zip(truth);
    rows.map(|(&years, &truth)| row(AgeEstimate::of_years(years), truth)).collect()
}

fn normal(generator: &mut Rng) -> f32 {
    (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.0
}

/// Rows of a head that knows how sure it is, but is off by twice as much, and more to one side.
fn unsure(n: usize, seed: u64) -> Vec<CalibrationRow> {
    let mut generator = seeded(seed, "unsure");
    (0..n)
        .map(|_| {
            let median: f32 = generator.random_range(25.0..80.0);
            let deviation = generator.random_range(1.0..6.0);
            let off = normal(&mut generator);
            let off = if off < 0.0 { 1.2 * off } else { 2.5 * off };
            let estimate = AgeEstimate { median, deviation: Some(deviation) };
            row(estimate, median + off * deviation)
        })
        .collect()
}

fn width(intervals: &AgeIntervals, estimate: &AgeEstimate, distance: f32) -> f32 {
    let (low, high) = intervals.around(estimate, distance);
    high - low
}

/// Errors that grow with the age, and lean to one side.
fn growing(n: usize, seed: u64) -> Vec<CalibrationRow> {
    let mut generator = seeded(seed, "intervals");
    let (predicted, truth): (Vec<f32>, Vec<f32>) = (0..n)
        .map(|_| {
            let predicted: f32 = generator.random_range(1.0..80.0);
            (predicted, predicted + predicted * (0.3 * generator.random::<f32>() - 0.1))
        })
        .unzip();
    numbers(&predicted, &truth)
}

/// Whole years: most are predicted as 26 and are right to within a year; the others are off by
/// up to 9.
fn whole_years(n: usize, seed: u64) -> Vec<CalibrationRow> {
    let mut generator = seeded(seed, "whole years");
    let (predicted, truth): (Vec<f32>, Vec<f32>) = (0..n)
        .map(|_| {
            let common = generator.random_bool(0.6);
            let predicted = if common { 26 } else { generator.random_range(16..36) };
            let most = if predicted == 26 { 1 } else { 9 };
            (predicted as f32, (predicted + generator.random_range(-most..=most)) as f32)
        })
        .unzip();
    numbers(&predicted, &truth)
}

#[test]
fn intervals_widen_with_uncertainty_and_keep_their_coverage() {
    let intervals = fit(&unsure(2_000, 1)).unwrap();
    assert!(intervals.is_valid());
    let new = unsure(20_000, 2);
    for deviations in [1.0..6.0, 1.0..2.0, 5.0..6.0] {
        let of = |row: &&CalibrationRow| deviations.contains(&row.estimate.deviation.unwrap());
        let chosen: Vec<CalibrationRow> = new.iter().filter(of).copied().collect();
        let share = intervals.coverage(&chosen);
        assert!((0.77..0.83).contains(&share), "{deviations:?}: {share}");
    }
    let of = |deviation| AgeEstimate { median: 40.0, deviation: Some(deviation) };
    let (narrow, wide) = (width(&intervals, &of(1.0), 0.0), width(&intervals, &of(3.0), 0.0));
    assert!((wide - 3.0 * narrow).abs() < 1e-3);
    let (low, high) = intervals.around(&of(2.0), 0.0);
    assert!(high - 40.0 > 1.5 * (40.0 - low), "{low} to {high}");
}

#[test]
fn datasets_have_equal_weight_whatever_their_size() {
    // A thousand rows that are off by a year, ten that are off by nine: by rows the ten are
    // nothing, as a set they are half of all.
    let mut generator = seeded(1, "sets");
    let mut rows = Vec::new();
    for (n, most) in [(1_000, 1.0), (100, 9.0)] {
        rows.extend((0..n).map(|_| {
            let estimate = AgeEstimate { median: 40.0, deviation: Some(1.0) };
            row(estimate, 40.0 + generator.random_range(-most..=most))
        }));
    }
    let by_row = fit(&rows).unwrap();
    for (row, weight) in rows.iter_mut().zip(balanced_weights(&[1_000, 100])) {
        row.weight = weight;
    }
    let by_set = fit(&rows).unwrap();
    let inside = |intervals: &AgeIntervals| {
        [&rows[..1_000], &rows[1_000..]].map(|set| intervals.coverage(set))
    };
    assert!(inside(&by_row)[1] < 0.2, "{:?}", inside(&by_row));
    let mean = inside(&by_set).iter().sum::<f64>() / 2.0;
    assert!((0.79..0.84).contains(&mean), "{:?}", inside(&by_set));
    assert_eq!(balanced_weights(&[1, 0, 3]), [2.0, 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0]);
}

#[test]
fn intervals_of_unfamiliar_faces_widen_to_keep_their_coverage() {
    let mut rows = unsure(4_000, 3);
    for (number, row) in rows.iter_mut().enumerate().filter(|(number, _)| number % 10 == 0) {
        // Errors grow with the distance, which the head does not know.
        row.distance = 1.0 + (number % 7) as f32 / 3.0;
        let off = (row.truth.0 - row.estimate.median) * row.distance * 1.2;
        row.truth = (row.estimate.median + off, row.estimate.median + off);
    }
    let (unfamiliar, familiar): (Vec<_>, Vec<_>) =
        rows.iter().copied().partition(|row| row.distance > 1.0);
    let intervals = fit(&rows).unwrap();
    let probabilities = [&unfamiliar, &familiar].map(|rows| intervals.coverage(rows));
    assert!(probabilities.iter().all(|share| (0.78..0.86).contains(share)), "{probabilities:?}");
    let estimate = rows[0].estimate;
    let widths = [0.0, 1.0, 1.5, 2.0, 4.0].map(|at| width(&intervals, &estimate, at));
    assert_eq!(widths[0], widths[1]);
    assert!(widths[1..].windows(2).all(|pair| pair[0] < pair[1]), "{widths:?}");
    // Where nothing is known of unfamiliar faces, they widen all the same.
    let intervals = fit(&familiar).unwrap();
    assert!(width(&intervals, &estimate, 2.0) > width(&intervals, &estimate, 1.0));
}

#[test]
fn ages_within_a_range_are_weighted_by_probability() {
    let estimate = AgeEstimate { median: 34.5, deviation: Some(1.0) };
    let range = CalibrationRow { truth: (30.0, 39.0), ..row(estimate, 0.0) };
    let alone = coverage_probabilities(&[None, Some(range.truth)], &[(0.0, 1.0), (30.5, 38.5)]);
    assert!(alone[0].is_none() && (alone[1].unwrap() - 0.8).abs() < 1e-6, "{alone:?}");
    // The ages 30 to 39 of all rows, of which nothing else is known: eight of ten are 31 to 38.
    let intervals = fit(&vec![range; 1_000]).unwrap();
    assert_eq!(intervals.around(&estimate, 0.0), (31.0, 38.0));
    assert!((intervals.coverage(&[range]) - 0.8).abs() < 1e-6);
}

#[test]
fn a_frequent_prediction_does_not_narrow_its_neighbours() {
    let intervals = fit(&whole_years(2_000, 1)).unwrap();
    assert!(intervals.is_valid());
    assert!(width(&intervals, &AgeEstimate::of_years(26.0), 0.0) <= 2.0);
    let new = whole_years(20_000, 2);
    for ages in [16.0..26.0, 27.0..36.0] {
        let of = |row: &&CalibrationRow| ages.contains(&row.estimate.median);
        let chosen: Vec<CalibrationRow> = new.iter().filter(of).copied().collect();
        let share = intervals.coverage(&chosen);
        assert!(share > 0.77, "{ages:?}: {share}");
    }
}

#[test]
fn coverage_is_80_percent_at_every_age() {
    let intervals = fit(&growing(2_000, 1)).unwrap();
    assert!(intervals.is_valid());
    let new = growing(20_000, 2);
    for ages in [0.0..80.0, 0.0..20.0, 60.0..80.0] {
        let of = |row: &&CalibrationRow| ages.contains(&row.estimate.median);
        let chosen: Vec<CalibrationRow> = new.iter().filter(of).copied().collect();
        let share = intervals.coverage(&chosen);
        assert!((0.76..0.84).contains(&share), "{ages:?}: {share}");
    }
    let width = |years| width(&intervals, &AgeEstimate::of_years(years), 0.0);
    assert!(width(70.0) > 4.0 * width(10.0));
}

#[test]
fn interval_ends_are_the_10th_and_90th_percentiles() {
    // 29 errors of -14 to 14: the third from either end, as 30 * 0.1 = 3.
    let truth: Vec<f32> = (0_i16..29).map(|i| 50.0 + f32::from(i - 14)).collect();
    let intervals = fit(&numbers(&[50.0; 29], &truth)).unwrap();
    assert_eq!(intervals.around(&AgeEstimate::of_years(50.0), 0.0), (38.0, 62.0));
    assert_eq!(intervals.around(&AgeEstimate::of_years(5.0), 0.0), (0.0, 17.0));
}

/// Rows of some subjects, twenty each, with errors of their subject and of their own, of these deviations.
fn people(n: usize, [shared, own]: [f32; 2], generator: &mut Rng) -> Vec<CalibrationRow> {
    let mut rows = Vec::new();
    for subject in 0..n {
        let off = shared * normal(generator);
        rows.extend((0..20).map(|_| {
            let estimate = AgeEstimate { median: 50.0, deviation: Some(1.0) };
            CalibrationRow { subject, ..row(estimate, 50.0 + off + own * normal(generator)) }
        }));
    }
    rows
}

#[test]
fn rows_of_few_subjects_keep_the_coverage_on_others() {
    let mut generator = seeded(1, "people");
    for (deviations, correlated) in [([5.0, 1.0], true), ([0.0, 5.0], false)] {
        let new = people(1_000, deviations, &mut generator);
        let (mut by_subject, mut by_row) = (0.0, 0.0);
        for _ in 0..300 {
            let rows = people(12, deviations, &mut generator);
            by_subject += AgeIntervals::fit(&rows).unwrap().coverage(&new) / 300.0;
            by_row += fit(&rows).unwrap().coverage(&new) / 300.0;
        }
        let found = format!("{deviations:?}: {by_subject}, {by_row}");
        if correlated {
            assert!((0.8..0.92).contains(&by_subject) && by_row < 0.785, "{found}");
        } else {
            assert!(
                (0.79..0.83).contains(&by_subject) && (0.79..0.82).contains(&by_row),
                "{found}"
            );
        }
    }
}

#[test]
fn quantiles_interpolate_between_whole_years() {
    let quarters = [0.25; 4];
    assert_eq!([0.25, 0.5, 0.875].map(|at| quantile_age(&quarters, at)), [0.5, 1.5, 3.0]);
    let mut one = [0.0; 117];
    one[7] = 1.0;
    assert_eq!(quantile_age(&one, 0.5), 7.0);
    // A head that is sure of one year is not believed.
    assert_eq!(AgeEstimate::of_distribution(&one).deviation, Some(0.5));
}

#[test]
fn deviation_of_a_distribution_is_in_years() {
    let mut probabilities = [0.0; 117];
    probabilities[30] = 1.0;
    assert_eq!(age_deviation(&probabilities), 0.0);
    (probabilities[30], probabilities[20]) = (0.5, 0.5);
    assert!((age_deviation(&probabilities) - 5.0).abs() < 1e-6);
}

#[test]
fn too_few_or_invalid_rows_give_no_intervals() {
    assert_eq!(fit(&numbers(&[1.0; 19], &[1.0; 19])), None);
    assert_eq!(fit(&numbers(&[f32::NAN; 30], &[1.0; 30])), None);
    let mut rows = unsure(30, 1);
    rows[3].weight = 0.0;
    assert_eq!(fit(&rows), None);
    for unsound in [
        r#"{"edges":[1.0],"factors":[[0.0,1.0]],"exponent":1.0}"#,
        r#"{"edges":[],"factors":[[-1.0,1.0]],"exponent":1.0}"#,
        r#"{"edges":[],"factors":[[1.0,1.0]],"exponent":-1.0}"#,
    ] {
        assert!(!serde_json::from_str::<AgeIntervals>(unsound).unwrap().is_valid());
    }
}
