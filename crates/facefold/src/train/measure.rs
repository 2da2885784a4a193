//! What is measured of a trained head on the subjects that were kept for validation.

use facefold_core::{AgeGroups, Targets, Task};
use facefold_evaluate::{Metrics, PredictedValues};
use serde_json::json;

use crate::data::TaskData;
use crate::error::Result;

/// The mean predicted uncertainty of rows with small errors and of rows with large ones: of classes,
/// rows predicted right and wrong; of years, the halves below and from the median error. A head whose
/// uncertainty is worth something has more of it where its errors are large. None for heads that
/// predict no uncertainty.
pub(super) fn uncertainty_by_error(
    uncertainty: Option<&[f32]>,
    answers: &PredictedValues,
    truth: &Targets,
) -> Option<serde_json::Value> {
    let uncertainty = uncertainty?;
    let errors: Vec<f32> = match (answers, truth) {
        (PredictedValues::Regression(predicted), Targets::Regression(truth)) => {
            predicted.iter().zip(truth).map(|(&predicted, age)| age.distance(predicted)).collect()
        }
        (PredictedValues::Classes { predicted, .. }, Targets::Classes { indices, .. }) => {
            predicted.iter().zip(indices).map(|(a, b)| f32::from(a != b)).collect()
        }
        _ => return None,
    };
    let mut sorted = errors.clone();
    sorted.sort_by(f32::total_cmp);
    let border = match truth {
        Targets::Regression(_) => sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
        Targets::Classes { .. } => 0.5,
    };
    let mean = |large: bool| {
        let rows = uncertainty.iter().zip(&errors);
        let chosen: Vec<f64> = rows
            .filter(|(_, error)| (**error >= border) == large)
            .map(|(value, _)| f64::from(*value))
            .collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    };
    Some(json!({ "of_small_errors": mean(false), "of_large_errors": mean(true) }))
}

/// The error in years for each group of true ages that has rows (of age ranges, those that lie in
/// it): a mean over all ages hides how much worse it is for old people. Empty for classes.
pub(super) fn by_age_group(
    answers: &PredictedValues,
    targets: &Targets,
) -> Result<Vec<serde_json::Value>> {
    let (PredictedValues::Regression(predicted), Targets::Regression(truth)) = (answers, targets)
    else {
        return Ok(Vec::new());
    };
    let mut groups = Vec::new();
    for range in AgeGroups::nine().ranges() {
        let inside = || predicted.iter().zip(truth).filter(|(_, age)| range.covers(**age));
        let answers =
            PredictedValues::Regression(inside().map(|(predicted, _)| *predicted).collect());
        let targets = Targets::Regression(inside().map(|(_, truth)| *truth).collect());
        if let Some(Metrics::Regression(years)) = Metrics::measure(&answers, &targets, false)? {
            let mut group = json!({ "group": range.to_string() });
            if let Some(exact) = years.exact {
                group["rows"] = exact.rows.into();
                group["mean_absolute_error"] = exact.mean_absolute_error.into();
                group["mean_error"] = exact.mean_error.into();
            }
            if let Some(ranges) = years.ranges {
                group["ranges"] = json!(ranges);
            }
            groups.push(group);
        }
    }
    Ok(groups)
}

/// What is measured on the kept rows of each data set, where there are several.
pub(super) fn by_set(
    data: &TaskData,
    kept: &[usize],
    predicted: &PredictedValues,
) -> Result<Vec<serde_json::Value>> {
    let mut sets = Vec::new();
    for set in data.set_rows.keys() {
        let of_set = |&place: &usize| data.rows[kept[place]].set.as_ref() == Some(set);
        let places: Vec<usize> = (0..kept.len()).filter(of_set).collect();
        let kept: Vec<usize> = places.iter().map(|&place| kept[place]).collect();
        let targets = data.labels.select(&kept);
        let measured =
            Metrics::measure(&predicted.of_rows(&places), &targets, data.task == Task::AgeGroup)?;
        let figures = match measured {
            None => continue,
            Some(Metrics::Classes(classes)) => json!({
                "set": set,
                "rows": classes.rows,
                "accuracy": classes.accuracy,
                "balanced_accuracy": classes.balanced_accuracy,
                "one_off_accuracy": classes.one_off_accuracy,
            }),
            Some(Metrics::Regression(years)) => json!({
                "set": set,
                "rows": years.exact.as_ref().map(|exact| exact.rows),
                "mean_absolute_error": years.exact.as_ref().map(|exact| exact.mean_absolute_error),
                "mean_error": years.exact.as_ref().map(|exact| exact.mean_error),
                "range_rows": years.ranges.map(|ranges| ranges.rows),
                "inside_range": years.ranges.map(|ranges| ranges.inside),
            }),
        };
        sets.push(figures);
    }
    Ok(sets)
}
