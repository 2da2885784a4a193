//! Ages in years: labels that are ranges, the validation error that chooses a fit, and predicted ages.

use facefold_core::{AgeTarget, Targets, exact_ages_decide};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};

/// A predicted age, or 0 where a regression went below it. What is no number stays none.
pub(crate) fn not_negative(years: f32) -> f32 {
    if years < 0.0 { 0.0 } else { years }
}

/// Exports the predicted age of a face from those of its crops: the mean, or 0 where that is below it.
pub(crate) fn export(years: Value, graph: &mut ComputationGraph) -> Value {
    let mean = graph.compute(Operation::MeanOfCrops { width: 1 }, &[years]);
    graph.rectify(mean)
}

/// The ages in years; for a range, its midpoint.
pub(crate) fn midpoints(ages: &[AgeTarget]) -> Vec<f32> {
    ages.iter().map(|age| age.midpoint()).collect()
}

/// Note for the training log of a head that was fitted to midpoints; `None` if all ages are exact.
pub(crate) fn midpoint_note(training: &Targets) -> Option<String> {
    let (ranges, rows) = (training.ranges(), training.len());
    let note = || format!("{ranges} of {rows} rows have an age range; its midpoint was used");
    (ranges > 0).then(note)
}

/// Note for the training log of an MLP on ranges; `None` if all ages are exact.
pub(crate) fn range_note(training: &Targets) -> Option<String> {
    let (ranges, rows) = (training.ranges(), training.len());
    let note = || format!("{ranges} of {rows} rows have an age range, and count by all its years");
    (ranges > 0).then(note)
}

/// Note on the validation error that chooses a fit, where some validation rows have a range.
pub(crate) fn choice_note(validation: &Targets) -> Option<String> {
    let Targets::Regression(ages) = validation else { return None };
    let exact = ages.len() - validation.ranges();
    let note = || {
        let name = error_name(ages);
        let rows = if exact_ages_decide(ages) { exact } else { ages.len() };
        format!("validation score: {name} of {rows} rows, {exact} of them with an exact age")
    };
    (exact < ages.len()).then(note)
}

/// The name of [`error`].
pub(crate) fn error_name(ages: &[AgeTarget]) -> &'static str {
    if exact_ages_decide(ages) {
        "mean absolute error in years"
    } else {
        "mean distance to the age range in years"
    }
}

/// The error of predicted ages: the mean absolute error of the rows with exact ages where those
/// decide ([`exact_ages_decide`]), else the mean distance of all rows to what is known; 0 of no
/// rows.
pub(crate) fn error(predicted: &[f32], ages: &[AgeTarget]) -> f64 {
    let only_exact = exact_ages_decide(ages);
    let rows = predicted.iter().zip(ages).filter(|(_, age)| !(only_exact && age.is_range()));
    let (mut sum, mut count) = (0.0, 0_usize);
    for (&predicted, age) in rows {
        sum += f64::from(age.distance(predicted));
        count += 1;
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{choice_note, error, midpoint_note};
    use facefold_core::{AgeTarget, Targets};

    #[test]
    fn validation_error_uses_ranges_if_few_ages_are_exact() {
        let decade = AgeTarget::range(20.0, 29.0).unwrap();
        let ages = |exact: usize| {
            let exact = vec![AgeTarget::exact(50.0); exact];
            [exact, vec![decade; 25]].concat()
        };
        // Every row is predicted as 40: 10 years from 50, 11 from the range.
        let (few, many) = (ages(20), ages(25));
        assert_eq!(error(&[40.0; 45], &few), (20.0 * 10.0 + 25.0 * 11.0) / 45.0);
        assert_eq!(error(&[40.0; 50], &many), 10.0);
        let note = choice_note(&Targets::Regression(few)).unwrap();
        assert!(note.contains("distance") && note.contains("of 45 rows, 20"), "{note}");
        let note = choice_note(&Targets::Regression(many.clone())).unwrap();
        assert!(note.contains("absolute") && note.contains("of 25 rows, 25"), "{note}");
        assert_eq!(choice_note(&Targets::exact_years(vec![1.0; 3])), None);
        let note = midpoint_note(&Targets::Regression(many)).unwrap();
        assert_eq!(note, "25 of 50 rows have an age range; its midpoint was used");
        assert_eq!(error(&[], &[]), 0.0);
    }
}
