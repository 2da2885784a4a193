//! Years in two steps: a first network tells age groups, and their probabilities are further
//! inputs of a second one, which tells years.

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, AgeTarget, Examples, FeatureMatrix, FeatureRows, FittedHead, Head, HeadError,
    HeadParts, Predictions, TargetKind, Targets, TrainingLog,
};
use ndarray::{Array2, concatenate};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::members::{self, Member};
use crate::options::require;
use crate::parts::{Reader, Stored, json};

pub(crate) const NAME: &str = "mlp-two-step";

/// Rows answered at a time, which bounds the memory of their widened copies.
const ANSWER_ROWS: usize = 2_000;

/// Settings of `mlp-two-step`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoStepOptions {
    /// The age groups of the first step. They should have no gaps: rows in one go to the nearest
    /// group.
    pub groups: AgeGroups,
    /// The training rows' probabilities come from first steps that did not see them: fits on all
    /// but one of so many parts. At least 2.
    pub parts: usize,
}

impl Default for TwoStepOptions {
    fn default() -> Self {
        Self { groups: AgeGroups::nine(), parts: 3 }
    }
}

/// Two heads, one after the other.
pub(crate) struct TwoStep {
    member: Box<dyn Head>,
    options: TwoStepOptions,
}

impl TwoStep {
    /// Two steps, each a fit of `member`; checks the settings.
    pub(crate) fn new(member: Box<dyn Head>, options: &TwoStepOptions) -> Result<Self, HeadError> {
        require((2..=100).contains(&options.parts), "two_step.parts", "2 to 100", options.parts)?;
        Ok(Self { member, options: options.clone() })
    }

    /// The group of each age; of a range, of its middle.
    fn groups_of(&self, ages: &[AgeTarget]) -> Targets {
        let groups = &self.options.groups;
        let group = |age: &AgeTarget| {
            let years = age.midpoint();
            groups.group_of(years).unwrap_or_else(|| groups.nearest(years))
        };
        Targets::Classes { indices: ages.iter().map(group).collect(), count: groups.ranges().len() }
    }

    /// The first step's probabilities of the training rows, each by a fit that did not see it.
    fn held_out(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Array2<f32>, HeadError> {
        let n = training.len();
        let parts = self.options.parts.min(n);
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut seeded(seed, "two-step parts"));
        let mut shares = Array2::zeros((n, self.options.groups.ranges().len()));
        for part in 0..parts {
            let in_part = |position: &usize| position % parts == part;
            let (out, rest): (Vec<usize>, Vec<usize>) = (0..n).partition(in_part);
            let pick = |places: &[usize]| -> Vec<usize> {
                places.iter().map(|&place| order[place]).collect()
            };
            let (out, rest) = (pick(&out), pick(&rest));
            let rows = |chosen: &[usize]| -> Vec<usize> {
                chosen.iter().map(|&at| training.rows()[at]).collect()
            };
            let examples =
                Examples::new(training.matrix(), rows(&rest), training.targets().pick(&rest))?;
            let fitted = self.member.fit(&examples, validation, seed)?;
            let told = group_shares(fitted.as_ref(), training.matrix(), &rows(&out))?;
            for (&at, told) in out.iter().zip(told.rows()) {
                shares.row_mut(at).assign(&told);
            }
        }
        Ok(shares)
    }
}

/// Probabilities of the groups, rows x groups.
fn group_shares(
    first: &dyn FittedHead,
    matrix: &FeatureMatrix,
    rows: &[usize],
) -> Result<Array2<f32>, HeadError> {
    match first.predict(matrix, rows)? {
        Predictions::Classes(shares) => Ok(shares),
        Predictions::Years(_) => {
            Err(HeadError::Damaged("a first step that tells years, not groups".to_owned()))
        }
    }
}

/// The rows alone, with the shares as further columns.
fn widened(
    matrix: &FeatureMatrix,
    rows: &[usize],
    shares: &Array2<f32>,
) -> Result<FeatureMatrix, HeadError> {
    let side = |side: &FeatureRows| {
        let mut wide = Array2::zeros((rows.len(), side.width() + shares.ncols()));
        for ((&row, shares), mut out) in rows.iter().zip(shares.rows()).zip(wide.rows_mut()) {
            let values = side.row(row).into_iter().chain(shares.iter().copied());
            for (out, value) in out.iter_mut().zip(values) {
                *out = value;
            }
        }
        wide
    };
    FeatureMatrix::new(side(matrix.plain()), matrix.mirrored().map(side))
}

impl Head for TwoStep {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        let mut settings = self.member.settings();
        settings["two_step"] = json(&self.options);
        settings
    }

    fn fit(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let (Targets::Years(years), Targets::Years(kept)) =
            (training.targets(), validation.targets())
        else {
            // Classes have no second step.
            let only = self.member.fit(training, validation, seed)?;
            return Ok(Box::new(Fitted::new(vec![only], training)));
        };
        let of_groups = |examples: &Examples<'_>, years: &[AgeTarget]| {
            Examples::new(training.matrix(), examples.rows().to_vec(), self.groups_of(years))
        };
        let (training_groups, validation_groups) =
            (of_groups(training, years)?, of_groups(validation, kept)?);
        let shares = self.held_out(&training_groups, &validation_groups, seed)?;
        let first = self.member.fit(&training_groups, &validation_groups, seed)?;
        let kept_shares = group_shares(first.as_ref(), training.matrix(), validation.rows())?;
        let rows: Vec<usize> = training.rows().iter().chain(validation.rows()).copied().collect();
        let all = concatenate![ndarray::Axis(0), shares, kept_shares];
        let wide = widened(training.matrix(), &rows, &all)?;
        let (n, all) = (training.len(), rows.len());
        let second = self.member.fit(
            &Examples::new(&wide, (0..n).collect(), training.targets().clone())?,
            &Examples::new(&wide, (n..all).collect(), validation.targets().clone())?,
            seed,
        )?;
        Ok(Box::new(Fitted::new(vec![first, second], training)))
    }
}

struct Fitted {
    /// One head, or one for the groups and one for years.
    steps: Vec<Box<dyn FittedHead>>,
    target: TargetKind,
    log: TrainingLog,
}

impl Fitted {
    fn new(steps: Vec<Box<dyn FittedHead>>, training: &Examples<'_>) -> Self {
        let mut log = steps.last().map(|last| last.log().clone()).unwrap_or_default();
        if steps.len() > 1 {
            log.notes.push("the learning curve is the second step's".to_owned());
        }
        Self { steps, target: training.targets().kind(), log }
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let [first, second] = self.steps.as_slice() else {
            return self.steps[0].predict(matrix, rows);
        };
        let mut all = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ANSWER_ROWS) {
            let shares = group_shares(first.as_ref(), matrix, rows)?;
            let wide = widened(matrix, rows, &shares)?;
            match second.predict(&wide, &(0..rows.len()).collect::<Vec<_>>())? {
                Predictions::Years(years) => all.extend(years),
                Predictions::Classes(_) => {
                    return Err(HeadError::Damaged("a second step that tells classes".to_owned()));
                }
            }
        }
        Ok(Predictions::Years(all))
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn parts(&self) -> HeadParts {
        let (members, tensors) = members::join(self.steps.iter().map(|step| step.parts()));
        let (target, log) = (self.target, self.log.clone());
        let stored = Stored { target, unit_columns: None, settings: members, log };
        stored.parts(NAME, tensors)
    }
}

/// Makes the head from its stored parts, and each step by `restore_member`.
pub(crate) fn restore(
    parts: &HeadParts,
    restore_member: members::Restore,
) -> Result<Box<dyn FittedHead>, HeadError> {
    let Stored { target, settings: stored, log, .. }: Stored<Vec<Member>> =
        Reader(parts).stored()?;
    let steps = members::split(parts, stored);
    match (steps.as_slice(), target) {
        ([only], _) => members::check(only, target)?,
        ([_, second], TargetKind::Years) => members::check(second, target)?,
        _ => {
            return Err(HeadError::Damaged(format!(
                "a `{NAME}` head of {} steps for {target:?}",
                steps.len()
            )));
        }
    }
    let steps = steps.iter().map(restore_member).collect::<Result<_, _>>()?;
    Ok(Box::new(Fitted { steps, target, log }))
}
