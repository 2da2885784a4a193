//! Several fits of one head under different seeds, answering together: their mean.

use facefold_core::{
    Examples, FeatureMatrix, FittedHead, Head, HeadError, HeadParts, Predictions, TargetKind,
    TrainingLog,
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::formula::{Formula, Operation, Value};
use crate::members::{self, Member};
use crate::options::{HeadOptions, require};
use crate::parts::{Reader, Stored};

/// Settings of `mlp-ensemble` and `mlp-joint-ensemble`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleOptions {
    /// Number of fits.
    pub members: usize,
}

impl Default for EnsembleOptions {
    fn default() -> Self {
        Self { members: 5 }
    }
}

/// Several fits of one head.
pub(crate) struct Ensemble {
    name: &'static str,
    member: Box<dyn Head>,
    members: usize,
}

impl Ensemble {
    /// An ensemble of this name, of fits of `member`.
    pub(crate) fn new(
        name: &'static str,
        member: Box<dyn Head>,
        options: &HeadOptions,
    ) -> Result<Self, HeadError> {
        let members = options.ensemble.members;
        require((1..=1000).contains(&members), "ensemble.members", "1 to 1,000", members)?;
        Ok(Self { name, member, members })
    }
}

impl Head for Ensemble {
    fn name(&self) -> &str {
        self.name
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "members": self.members, "member": self.member.settings() })
    }

    fn uses_companions(&self) -> bool {
        self.member.uses_companions()
    }

    fn fit(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let fits = (0..self.members as u64).map(|member| {
            // The first member is the head alone under this seed; golden-ratio steps keep the
            // others' seeds away from those of a run over neighbouring seeds.
            let seed = seed.wrapping_add(member.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            self.member.fit(training, validation, seed)
        });
        let members = fits.collect::<Result<Vec<_>, _>>()?;
        let mut log = members.first().map(|member| member.log().clone()).unwrap_or_default();
        log.notes.push(format!(
            "mean of {} fits under different seeds; the learning curve is the first one's",
            self.members
        ));
        let target = training.targets().kind();
        Ok(Box::new(Fitted { kind: self.name.to_owned(), members, target, log }))
    }
}

/// The fits.
struct Fitted {
    kind: String,
    members: Vec<Box<dyn FittedHead>>,
    target: TargetKind,
    log: TrainingLog,
}

impl Fitted {
    /// The mean of what the members answer.
    fn mean(
        &self,
        answer: impl Fn(&dyn FittedHead) -> Result<Predictions, HeadError>,
    ) -> Result<Predictions, HeadError> {
        let mut sum: Option<Predictions> = None;
        for member in &self.members {
            let answers = answer(member.as_ref())?;
            sum = Some(match sum {
                None => answers,
                Some(sum) => add(sum, answers)?,
            });
        }
        let share = 1.0 / self.members.len() as f32;
        match sum {
            Some(Predictions::Classes(sum)) => Ok(Predictions::Classes(sum * share)),
            Some(Predictions::Years(sum)) => {
                Ok(Predictions::Years(sum.into_iter().map(|years| years * share).collect()))
            }
            None => Err(HeadError::Damaged("an ensemble without members".to_owned())),
        }
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        self.mean(|member| member.predict(matrix, rows))
    }

    fn predict_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Predictions, HeadError> {
        self.mean(|member| member.predict_validation(matrix, rows))
    }

    fn year_distribution(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        let mut sum: Option<Array2<f32>> = None;
        for member in &self.members {
            let Some(shares) = member.year_distribution(matrix, rows)? else { return Ok(None) };
            sum = Some(match sum {
                None => shares,
                Some(sum) => sum + shares,
            });
        }
        Ok(sum.map(|sum| sum / self.members.len() as f32))
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn parts(&self) -> HeadParts {
        let (members, tensors) = members::join(self.members.iter().map(|member| member.parts()));
        let (target, log) = (self.target, self.log.clone());
        let stored = Stored { target, unit_columns: None, settings: members, log };
        stored.parts(&self.kind, tensors)
    }
}

/// Makes the ensemble from its stored parts, and each member by `restore_member`.
pub(crate) fn restore(
    parts: &HeadParts,
    restore_member: members::Restore,
) -> Result<Box<dyn FittedHead>, HeadError> {
    let (members, target, log) = read(parts)?;
    let members = members.iter().map(restore_member).collect::<Result<_, _>>()?;
    Ok(Box::new(Fitted { kind: parts.kind.clone(), members, target, log }))
}

/// Writes what the ensemble of these parts computes, and what each member does by `write_member`.
pub(crate) fn write(
    parts: &HeadParts,
    formula: &mut Formula,
    write_member: members::Write,
) -> Result<Value, HeadError> {
    let (members, ..) = read(parts)?;
    let answers = members.iter().map(|member| write_member(member, formula));
    let answers = answers.collect::<Result<Vec<_>, _>>()?;
    let add = |sum, answer| formula.compute(Operation::Add, &[sum, answer]);
    let count = answers.len();
    let sum = answers.into_iter().reduce(add).unwrap_or(Value::FEATURES);
    Ok(formula.with(Operation::Multiply, sum, 1.0 / count as f32))
}

/// The parts of the members, of which there is at least one.
fn read(parts: &HeadParts) -> Result<(Vec<HeadParts>, TargetKind, TrainingLog), HeadError> {
    let stored: Stored<Vec<Member>> = Reader(parts).stored()?;
    if stored.settings.is_empty() {
        return Err(HeadError::Damaged(format!("a `{}` head without members", parts.kind)));
    }
    Ok((members::split(parts, stored.settings), stored.target, stored.log))
}

fn add(one: Predictions, other: Predictions) -> Result<Predictions, HeadError> {
    match (one, other) {
        (Predictions::Classes(one), Predictions::Classes(other)) if one.dim() == other.dim() => {
            Ok(Predictions::Classes(one + other))
        }
        (Predictions::Years(one), Predictions::Years(other)) if one.len() == other.len() => {
            Ok(Predictions::Years(one.iter().zip(other).map(|(a, b)| a + b).collect()))
        }
        _ => Err(HeadError::Damaged("members of an ensemble answer differently".to_owned())),
    }
}
