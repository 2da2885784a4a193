//! Platt scaling: fits the sigmoids that turn decisions into probabilities, on rows of subjects that
//! the classifiers were not trained on. It never reverses a classifier.

use facefold_core::{FeatureDataset, Targets};

use super::fitted::SvmModel;
use super::subproblems::{ClassPair, Subproblem, Subproblems};
use crate::calibration::Sigmoid;
use crate::group_folds::count_subjects;

/// Subjects of either sign, at least, for calibration on validation rows. Rows of one subject are
/// alike: many of them say little more than one.
const LEAST_SUBJECTS: usize = 8;

/// Decisions on the rows of a subproblem, each by a classifier that was not trained on its subject;
/// `None` where there are too few subjects.
type HeldOut<'a> = &'a dyn Fn(&Subproblem) -> Option<Vec<f64>>;

/// Binary classifiers that were not calibrated on validation rows.
#[derive(Default)]
struct Others {
    on_training_rows: usize,
    not_calibrated: usize,
}

/// Fits the sigmoids on decisions on the validation rows; where one sign has too few subjects among
/// them, or the sigmoid would reverse the decisions, on out-of-fold decisions on training rows; and
/// where that would, too, leaves the classifier as it is.
pub(super) fn calibrate(
    model: &mut SvmModel,
    subproblems: &Subproblems,
    (decisions, validation): (&[f32], &FeatureDataset<'_>),
    held_out: Option<HeldOut<'_>>,
    notes: &mut Vec<String>,
) {
    let Targets::Classes { indices, .. } = validation.targets() else { return };
    let classifiers = subproblems.class_pairs.len();
    let subjects = validation.subjects();
    let (mut few, mut reversed) = (Others::default(), Others::default());
    for (at, class_pair) in subproblems.class_pairs.iter().enumerate() {
        let (values, positive): (Vec<f64>, Vec<bool>) = indices
            .iter()
            .zip(decisions.chunks_exact(classifiers))
            .filter_map(|(&class, row)| Some((f64::from(row[at]), class_pair.sign(class)?)))
            .unzip();
        let enough = subjects_of_rarer_sign(*class_pair, indices, &subjects) >= LEAST_SUBJECTS;
        let of_validation = if enough { Sigmoid::fit(&values, &positive) } else { None };
        if let Some(sigmoid) = of_validation {
            model.sigmoids[at] = sigmoid;
            continue;
        }
        let others = if enough { &mut reversed } else { &mut few };
        let subproblem = &subproblems.problems[at];
        let decisions = held_out.and_then(|held_out| held_out(subproblem));
        let of_training = decisions.and_then(|decisions| {
            let positive: Vec<bool> =
                subproblem.targets.iter().map(|&target| target > 0.0).collect();
            Sigmoid::fit(&decisions, &positive)
        });
        if of_training.is_some() {
            others.on_training_rows += 1;
        } else {
            others.not_calibrated += 1;
        }
        model.sigmoids[at] = of_training.unwrap_or(Sigmoid::UNCALIBRATED);
    }
    for (others, why) in [
        (few, "too few subjects among the validation rows"),
        (reversed, "decisions on the validation rows are wrong more often than right"),
    ] {
        if others.on_training_rows > 0 {
            notes.push(format!(
                "{why}: {} of {classifiers} binary classifiers are calibrated on out-of-fold \
                 decisions on the training rows",
                others.on_training_rows
            ));
        }
        if others.not_calibrated > 0 {
            notes.push(format!(
                "{why}: {} of {classifiers} binary classifiers are not calibrated",
                others.not_calibrated
            ));
        }
    }
}

/// The number of subjects with rows of the sign that has fewer.
fn subjects_of_rarer_sign(class_pair: ClassPair, indices: &[usize], subjects: &[usize]) -> usize {
    let of_sign = |sign: bool| {
        let rows = indices.iter().zip(subjects);
        count_subjects(
            rows.filter(|(class, _)| class_pair.sign(**class) == Some(sign))
                .map(|(_, &subject)| subject),
        )
    };
    of_sign(true).min(of_sign(false))
}
