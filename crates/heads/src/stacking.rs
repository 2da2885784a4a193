//! Stacking: a first network predicts age groups, and its probabilities are additional inputs of a
//! second one, which predicts the age in years.

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, AgeTarget, FeatureDataset, FeatureMatrix, FeatureRows, Fit, FittedHead, Head,
    HeadError, PredictedTargets, Prediction, StateDict, TargetKind, Targets, TrainingLog,
};
use ndarray::{Array2, concatenate};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::group_folds::{count_subjects, stratified_group_folds};
use crate::members::{self, Member};
use crate::mlp::{self, Mlp};
use crate::options::require;
use crate::state_dict::{Reader, Stored, json};

pub(crate) const NAME: &str = "mlp-stacked";

/// Rows predicted at a time, which bounds the memory of their widened copies.
const PREDICTION_ROWS: usize = 2_000;

/// Settings of `mlp-stacked`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackingOptions {
    /// The age groups of the first step. They should have no gaps: rows in one go to the nearest
    /// group.
    pub groups: AgeGroups,
    /// Folds, 2 to 100: the group probabilities of the training rows are out-of-fold predictions of
    /// first steps that were not trained on their subjects. There are no more folds than subjects.
    pub folds: usize,
}

impl Default for StackingOptions {
    fn default() -> Self {
        Self { groups: AgeGroups::nine(), folds: 3 }
    }
}

/// Two heads, one after the other.
pub(crate) struct Stacking {
    member: Mlp,
    options: StackingOptions,
}

impl Stacking {
    /// Two steps, each a fit of `member`; checks the settings.
    pub(crate) fn new(member: Mlp, options: &StackingOptions) -> Result<Self, HeadError> {
        require((2..=100).contains(&options.folds), "stacking.folds", "2 to 100", options.folds)?;
        Ok(Self { member, options: options.clone() })
    }

    /// The group of each age; for a range, of its midpoint.
    fn groups_of(&self, ages: &[AgeTarget]) -> Targets {
        let groups = &self.options.groups;
        let group = |age: &AgeTarget| {
            let years = age.midpoint();
            groups.group_of(years).unwrap_or_else(|| groups.nearest(years))
        };
        Targets::Classes { indices: ages.iter().map(group).collect(), count: groups.ranges().len() }
    }

    /// The first step's probabilities of the training rows, each by a fit that did not see its
    /// subject, or, where all are of one subject, the row.
    fn held_out(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Array2<f32>, HeadError> {
        let n = training.len();
        let mut subjects = training.subjects();
        if count_subjects(subjects.iter().copied()) < 2 {
            subjects = (0..n).collect();
        }
        let folds = self.options.folds.min(count_subjects(subjects.iter().copied()));
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut seeded(seed, "two-step parts"));
        let fold_of = stratified_group_folds(&order, &subjects, &vec![0; n], folds);
        let mut probabilities = Array2::zeros((n, self.options.groups.ranges().len()));
        for fold in 0..folds {
            let (out, rest): (Vec<usize>, Vec<usize>) =
                order.iter().copied().partition(|&row| fold_of[row] == fold);
            let rows = |chosen: &[usize]| -> Vec<usize> {
                chosen.iter().map(|&at| training.rows()[at]).collect()
            };
            let dataset = FeatureDataset::new(
                training.matrix(),
                rows(&rest),
                training.targets().select(&rest),
            )?;
            let (fitted, ()) = self.member.fitted(&dataset, validation, seed, |_| Ok(()))?;
            let predicted = group_probabilities(&fitted, training.matrix(), &rows(&out))?;
            for (&at, predicted) in out.iter().zip(predicted.rows()) {
                probabilities.row_mut(at).assign(&predicted);
            }
        }
        Ok(probabilities)
    }
}

/// Probabilities of the groups, rows x groups.
fn group_probabilities(
    first: &mlp::Fitted,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Array2<f32>, HeadError> {
    match first.decode(first.averaged(matrix, rows)?)?.targets {
        PredictedTargets::Classes(probabilities) => Ok(probabilities),
        PredictedTargets::Regression(_) => {
            Err(HeadError::Corrupt("the first step predicts ages, expected age groups".to_owned()))
        }
    }
}

/// The rows alone, with the probabilities as further columns.
fn widened(
    matrix: &FeatureMatrix,
    rows: &[usize],
    probabilities: &Array2<f32>,
) -> Result<FeatureMatrix, HeadError> {
    let widen = |source: &FeatureRows| {
        let mut wide = Array2::zeros((rows.len(), source.width() + probabilities.ncols()));
        for ((&row, probabilities), mut out) in
            rows.iter().zip(probabilities.rows()).zip(wide.rows_mut())
        {
            let values = source.row(row).into_iter().chain(probabilities.iter().copied());
            for (out, value) in out.iter_mut().zip(values) {
                *out = value;
            }
        }
        wide
    };
    FeatureMatrix::new(widen(matrix.plain()), matrix.mirrored().map(widen))
}

impl Head for Stacking {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        let mut settings = self.member.settings();
        settings["stacking"] = json(&self.options);
        settings
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let (Targets::Regression(years), Targets::Regression(kept)) =
            (training.targets(), validation.targets())
        else {
            // Classes have no second step.
            let (only, ()) = self.member.fitted(training, validation, seed, |_| Ok(()))?;
            return Fit::of(Fitted::new(vec![only], training), validation);
        };
        let of_groups = |examples: &FeatureDataset<'_>, years: &[AgeTarget]| {
            let groups = self.groups_of(years);
            FeatureDataset::new(training.matrix(), examples.rows().to_vec(), groups)?
                .with_subjects(examples.subjects().into_owned())
        };
        let (training_groups, validation_groups) =
            (of_groups(training, years)?, of_groups(validation, kept)?);
        let probabilities = self.held_out(&training_groups, &validation_groups, seed)?;
        let (first, held_out) =
            self.member.fitted(&training_groups, &validation_groups, seed, |first| {
                group_probabilities(first, training.matrix(), validation.rows())
            })?;
        let rows: Vec<usize> = training.rows().iter().chain(validation.rows()).copied().collect();
        let all = concatenate![ndarray::Axis(0), probabilities, held_out];
        let wide = widened(training.matrix(), &rows, &all)?;
        let (n, all) = (training.len(), rows.len());
        let held_out: Vec<usize> = (n..all).collect();
        let (second, years) = self.member.fitted(
            &FeatureDataset::new(&wide, (0..n).collect(), training.targets().clone())?,
            &FeatureDataset::new(&wide, held_out.clone(), validation.targets().clone())?,
            seed,
            |second| second.decode(second.averaged(&wide, &held_out)?),
        )?;
        let head = Box::new(Fitted::new(vec![first, second], training));
        Ok(Fit { head, validation: years.targets.into() })
    }
}

struct Fitted {
    /// One head, or one for the groups and one for years.
    steps: Vec<mlp::Fitted>,
    target: TargetKind,
    log: TrainingLog,
}

impl Fitted {
    fn new(steps: Vec<mlp::Fitted>, training: &FeatureDataset<'_>) -> Self {
        let mut log = steps.last().map(|last| last.log().clone()).unwrap_or_default();
        if steps.len() > 1 {
            log.notes.push("the learning curve is the second step's".to_owned());
        }
        Self { steps, target: training.targets().kind(), log }
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let [first, second] = self.steps.as_slice() else {
            return self.steps[0].predict(matrix, rows);
        };
        let mut all = Vec::with_capacity(rows.len());
        for rows in rows.chunks(PREDICTION_ROWS) {
            let probabilities = group_probabilities(first, matrix, rows)?;
            let wide = widened(matrix, rows, &probabilities)?;
            let places: Vec<usize> = (0..rows.len()).collect();
            match second.decode(second.averaged(&wide, &places)?)?.targets {
                PredictedTargets::Regression(years) => all.extend(years),
                PredictedTargets::Classes(_) => {
                    return Err(HeadError::Corrupt(
                        "the second step predicts classes, expected ages".to_owned(),
                    ));
                }
            }
        }
        Ok(PredictedTargets::Regression(all).into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        let (members, tensors) = members::join(self.steps.iter().map(FittedHead::state_dict));
        let (target, log) = (self.target, self.log.clone());
        let stored = Stored { target, unit_columns: None, settings: members, log };
        stored.state_dict(NAME, tensors)
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let Stored { target, settings: stored, log, .. }: Stored<Vec<Member>> =
        Reader(state).stored()?;
    let steps = members::split(state, stored);
    match (steps.as_slice(), target) {
        ([only], _) => members::check(only, target)?,
        ([_, second], TargetKind::Regression) => members::check(second, target)?,
        _ => {
            return Err(HeadError::Corrupt(format!(
                "a `{NAME}` head of {} steps for {target:?}",
                steps.len()
            )));
        }
    }
    let steps = steps.iter().map(mlp::read).collect::<Result<_, _>>()?;
    Ok(Box::new(Fitted { steps, target, log }))
}

#[cfg(test)]
mod tests {
    use facefold_core::rng::seeded;
    use facefold_core::{FeatureDataset, FeatureMatrix, Targets};
    use ndarray::Array2;
    use rand::Rng as _;

    use super::{Stacking, StackingOptions};
    use crate::HeadOptions;
    use crate::mlp::{Architecture, Mlp};

    /// Eight rows each of 30 people whose group cannot be seen: the probability of the true group is
    /// high only where a first step was trained on other rows of the same person.
    #[test]
    fn out_of_fold_probabilities_are_of_people_not_trained_on() {
        let mut generator = seeded(1, "people");
        let faces = Array2::from_shape_fn((30, 16), |_| generator.random_range(-1.0..1.0_f32));
        let groups: Vec<usize> = (0..30).map(|_| generator.random_range(0..9)).collect();
        let plain = Array2::from_shape_fn((240, 16), |(row, column)| {
            faces[[row / 8, column]] + generator.random_range(-0.05..0.05)
        });
        let matrix = FeatureMatrix::new(plain, None).unwrap();
        let indices: Vec<usize> = (0..240).map(|row| groups[row / 8]).collect();
        let targets = Targets::Classes { indices: indices.clone(), count: 9 };
        let unnamed = FeatureDataset::new(&matrix, (0..240).collect(), targets).unwrap();
        let subjects = (0..240).map(|row| row / 8).collect();
        let named = unnamed.clone().with_subjects(subjects).unwrap();
        let own_rows = unnamed.clone().with_subjects((0..240).rev().collect()).unwrap();
        let one_subject = unnamed.clone().with_subjects(vec![7; 240]).unwrap();

        let mut options = HeadOptions::default();
        options.mlp.hidden_layer_sizes = vec![32];
        (options.mlp.epochs, options.mlp.min_steps, options.mlp.refit) = (10, 200, false);
        let member = Mlp::new(Architecture::Plain, &options).unwrap();
        let head = Stacking::new(member, &StackingOptions::default()).unwrap();
        let held_out =
            |dataset: &FeatureDataset<'_>| head.held_out(dataset, &dataset.empty(), 1).unwrap();
        let of_true_group = |dataset: &FeatureDataset<'_>| -> f32 {
            let rows = held_out(dataset);
            rows.rows().into_iter().zip(&indices).map(|(row, &group)| row[group]).sum::<f32>()
                / 240.0
        };
        let (by_subject, by_row) = (of_true_group(&named), of_true_group(&unnamed));
        assert!(by_subject < 0.2 && by_row > 0.35, "{by_subject} {by_row}");
        // Subjects of one row each, and one subject of all rows, are divided row by row.
        assert!(held_out(&own_rows) == held_out(&unnamed));
        assert!(held_out(&one_subject) == held_out(&unnamed));
    }
}
