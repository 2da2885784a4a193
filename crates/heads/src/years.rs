//! Ages known only as ranges: what heads that learn one number a row take instead, and what fits
//! are chosen by.

use facefold_core::{AgeTarget, Targets};

/// Fits are chosen by rows with exact ages where there are at least so many of them.
const LEAST_EXACT: usize = 20;

/// The ages in years, of each range its middle.
pub(crate) fn midpoints(ages: &[AgeTarget]) -> Vec<f32> {
    ages.iter().map(|age| age.midpoint()).collect()
}

/// What a training log says of a head that learnt from midpoints; nothing where all ages are exact.
pub(crate) fn midpoint_note(training: &Targets) -> Option<String> {
    let (ranges, rows) = (training.ranges(), training.len());
    let note = || format!("{ranges} of {rows} rows have an age range; its midpoint was used");
    (ranges > 0).then(note)
}

/// What the training log of an MLP says of ranges; nothing where all ages are exact.
pub(crate) fn range_note(training: &Targets) -> Option<String> {
    let (ranges, rows) = (training.ranges(), training.len());
    let note = || format!("{ranges} of {rows} rows have an age range, and count by all its years");
    (ranges > 0).then(note)
}

/// What fits are chosen by, where some validation rows have a range.
pub(crate) fn choice_note(validation: &Targets) -> Option<String> {
    let Targets::Years(ages) = validation else { return None };
    let exact = ages.len() - validation.ranges();
    let note = || {
        let name = error_name(ages);
        let rows = if exact < LEAST_EXACT { ages.len() } else { exact };
        format!("validation score: {name} of {rows} rows, {exact} of them with an exact age")
    };
    (exact < ages.len()).then(note)
}

/// The name of [`error`].
pub(crate) fn error_name(ages: &[AgeTarget]) -> &'static str {
    let exact = ages.iter().filter(|age| !age.is_range()).count();
    if exact == ages.len() || exact >= LEAST_EXACT {
        "mean absolute error in years"
    } else {
        "mean distance to the age range in years"
    }
}

/// By what predicted years miss: the mean absolute error of the rows with exact ages where there
/// are at least 20 of them, else the mean distance of all rows to what is known; 0 of no rows.
pub(crate) fn error(predicted: &[f32], ages: &[AgeTarget]) -> f64 {
    let exact = ages.iter().filter(|age| !age.is_range()).count();
    let only_exact = exact >= LEAST_EXACT;
    let rows = predicted.iter().zip(ages).filter(|(_, age)| !(only_exact && age.is_range()));
    let sum: f64 = rows.map(|(&predicted, age)| f64::from(age.distance(predicted))).sum();
    sum / (if only_exact { exact } else { ages.len() }).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{choice_note, error, midpoint_note};
    use facefold_core::{AgeTarget, Targets};

    #[test]
    fn few_exact_ages_do_not_choose() {
        let decade = AgeTarget::range(20.0, 29.0).unwrap();
        let ages = |exact: usize| {
            let exact = vec![AgeTarget::exact(50.0); exact];
            [exact, vec![decade; 5]].concat()
        };
        // Every row is told as 40: 10 years from 50, 11 from the range.
        let (few, many) = (ages(15), ages(20));
        assert_eq!(error(&[40.0; 20], &few), (15.0 * 10.0 + 5.0 * 11.0) / 20.0);
        assert_eq!(error(&[40.0; 25], &many), 10.0);
        let note = choice_note(&Targets::Years(few)).unwrap();
        assert!(note.contains("distance") && note.contains("of 20 rows, 15"), "{note}");
        let note = choice_note(&Targets::Years(many.clone())).unwrap();
        assert!(note.contains("absolute") && note.contains("of 20 rows, 20"), "{note}");
        assert_eq!(choice_note(&Targets::exact_years(vec![1.0; 3])), None);
        let note = midpoint_note(&Targets::Years(many)).unwrap();
        assert_eq!(note, "5 of 25 rows have an age range; its midpoint was used");
        assert_eq!(error(&[], &[]), 0.0);
    }
}
