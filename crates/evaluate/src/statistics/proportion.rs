//! Intervals of proportions that are equal for all subjects.
//!
//! The bootstrap draws from the subjects that there are. Where all have the same value, as where all
//! rows are right, so has every set that is drawn, and the interval has no width, although other
//! subjects could well differ. There the exact interval stands in its place, with subjects as the
//! trials.

use super::bootstrap::Interval;
use super::classical::clopper_pearson;

/// Draws that differ by no more differ by rounding errors alone.
const ROUNDING: f64 = 1e-9;

/// The 95 % interval of a proportion: the one that was drawn, or, where no draw differs from another,
/// that of Clopper and Pearson (1934), with so many subjects as independent trials. Where all rows
/// of n subjects are right it ends at 0.025^(1/n), about 3.7/n below 1 (the rule of three, two-sided).
pub(crate) fn interval(
    proportion: f64,
    drawn: Interval,
    subjects: impl FnOnce() -> usize,
) -> Interval {
    if drawn.high - drawn.low > ROUNDING || !proportion.is_finite() {
        return drawn;
    }
    let subjects = subjects();
    let hits = proportion * subjects as f64;
    let whole = hits.round();
    let hits = if (hits - whole).abs() < 1e-6 { whole } else { hits };
    clopper_pearson(hits, subjects)
}

/// Whether a proportion is 0 or 1.
pub(crate) fn is_extreme(proportion: f64) -> bool {
    proportion.abs().min((proportion - 1.0).abs()) < ROUNDING
}

#[cfg(test)]
mod tests {
    use super::interval;
    use crate::metrics::{Metric, PredictedValues};
    use crate::predictions::{PredictedRow, PredictionColumn, RowPredictions};
    use crate::statistics::bootstrap::{Interval, bootstrap};
    use crate::statistics::sums::{RowScores, SubjectSums};
    use facefold_core::{AgeTarget, Targets, Task};

    // scipy.stats.beta.ppf(.025, 12, 1); beta.ppf([.025, .975], [6, 7], [7, 6])
    #[test]
    fn equal_proportions_have_the_exact_interval_of_their_subjects() {
        let constant = |value: f64, subjects: usize| {
            interval(value, Interval { low: value, high: value }, || subjects)
        };
        let all = constant(1.0, 12);
        assert!((all.low - 0.735_351_530_602_948_8).abs() < 1e-9, "{all:?}");
        assert_eq!((all.high, constant(0.0, 12).low), (1.0, 0.0));
        assert!((constant(0.0, 12).high - (1.0 - all.low)).abs() < 1e-9);
        let half = constant(0.5, 12);
        assert!((half.low - 0.210_944_64).abs() < 1e-6, "{half:?}");
        assert!((half.high - 0.789_055_36).abs() < 1e-6, "{half:?}");
        // A third of twelve, but for its rounding, is four.
        assert_eq!(constant(1.0 - 2.0 / 3.0, 12), constant(1.0 / 3.0, 12));
        assert_eq!(constant(0.9, 1), Interval { low: 0.0, high: 1.0 });
        let drawn = Interval { low: 0.99, high: 1.0 };
        assert_eq!(interval(0.995, drawn, || 12), drawn);
    }

    /// Predictions of rows, each with its subject.
    fn predictions(
        subjects: &[usize],
        truth: Targets,
        predicted_values: PredictedValues,
    ) -> RowPredictions {
        let row = |(number, subject): (usize, &usize)| PredictedRow {
            path: format!("{number}.jpg").into(),
            subject: format!("person {subject}").into(),
            split: "split".into(),
        };
        let classes = match &truth {
            Targets::Classes { count, .. } => (0..*count).map(|class| class.to_string()).collect(),
            Targets::Regression(_) => Vec::new(),
        };
        RowPredictions {
            task: if classes.is_empty() { Task::Age } else { Task::AgeGroup },
            classes,
            rows: subjects.iter().enumerate().map(row).collect(),
            truth,
            familiarity: None,
            columns: vec![PredictionColumn {
                head: "head".to_owned(),
                seed: 0,
                predicted_values,
                intervals: None,
            }],
        }
    }

    /// The interval of a metric of the predictions, and whether it is the one drawn.
    fn found(predictions: &RowPredictions, metric: Metric) -> (Interval, bool) {
        let scores = RowScores::of_head(predictions, "head").unwrap();
        let sums = SubjectSums::new(&scores, &predictions.rows);
        let drawn = bootstrap(&sums, &|totals| vec![scores.metric(totals, metric)], 1)[0];
        let interval = scores.interval(&sums, metric, &drawn);
        (interval, interval == drawn.interval)
    }

    fn low(subjects: f64) -> f64 {
        0.025_f64.powf(1.0 / subjects)
    }

    #[test]
    fn metrics_count_the_subjects_that_they_are_measured_on() {
        // Ten people with two pictures each; two are of class 0, the others of class 1.
        let subjects: Vec<usize> = (0..20).map(|row| row / 2).collect();
        let classes: Vec<usize> =
            subjects.iter().map(|&subject| usize::from(subject > 1)).collect();
        let truth = Targets::Classes { indices: classes.clone(), count: 3 };
        let of_classes = |predicted: Vec<usize>| {
            let probabilities = predicted
                .iter()
                .flat_map(|&class| [0, 1, 2].map(|other| f32::from(u8::from(class == other))));
            let probabilities = probabilities.collect();
            predictions(
                &subjects,
                truth.clone(),
                PredictedValues::Classes { predicted, probabilities },
            )
        };
        let right = of_classes(classes.clone());
        for (metric, trials) in [
            (Metric::Accuracy, 10.0),
            (Metric::OneOffAccuracy, 10.0),
            (Metric::BalancedAccuracy, 4.0),
        ] {
            let (interval, drawn) = found(&right, metric);
            assert!(!drawn && (interval.low - low(trials)).abs() < 1e-9, "{metric}: {interval:?}");
            assert_eq!(interval.high, 1.0, "{metric}");
        }
        // A constant prediction has a balanced accuracy of one over the classes by definition.
        let baseline = of_classes(vec![1; 20]);
        assert!(found(&baseline, Metric::BalancedAccuracy).1);
        let mut once_wrong = classes;
        once_wrong[5] = 0;
        assert!(found(&of_classes(once_wrong), Metric::Accuracy).1);

        // Ages: seven people with exact ones, three with ranges.
        let ages = |&subject: &usize| match subject {
            0..7 => AgeTarget::exact(30.0),
            _ => AgeTarget::range(30.0, 39.0).unwrap(),
        };
        let truth = Targets::Regression(subjects.iter().map(ages).collect());
        let predictions =
            predictions(&subjects, truth, PredictedValues::Regression(vec![31.0; 20]));
        for (metric, trials) in [(Metric::CumulativeScore5, 7.0), (Metric::InsideRange, 3.0)] {
            let (interval, _) = found(&predictions, metric);
            assert!((interval.low - low(trials)).abs() < 1e-9, "{metric}: {interval:?}");
        }
        let years = found(&predictions, Metric::MeanAbsoluteError);
        assert_eq!(years, (Interval { low: 1.0, high: 1.0 }, true));
    }
}
