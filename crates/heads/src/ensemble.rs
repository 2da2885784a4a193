//! Several fits of one head under different seeds, answering together: their mean.

use facefold_core::{
    Examples, FeatureMatrix, FittedHead, Head, HeadError, HeadParts, Predictions, TargetKind,
    TrainingLog,
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::formula::{Formula, Value};
use crate::members::{self, Member};
use crate::mlp::{self, Mlp};
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

/// Several fits of one multi-layer perceptron.
pub(crate) struct Ensemble {
    name: &'static str,
    member: Mlp,
    members: usize,
}

impl Ensemble {
    /// An ensemble of this name, of fits of `member`.
    pub(crate) fn new(
        name: &'static str,
        member: Mlp,
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
            self.member.fitted(training, validation, seed)
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
    /// At least one, and all of the same kind.
    members: Vec<mlp::Fitted>,
    target: TargetKind,
    log: TrainingLog,
}

impl Fitted {
    /// The mean of the members' shares of classes or of years, or of the years they tell.
    ///
    /// Years are answered from the mean distribution: the mean of the members' own answers is no
    /// whole year, and misses by more (0.006 years on UTKFace).
    fn mean(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
        fit: fn(&mlp::Fitted) -> &mlp::Fitted,
    ) -> Result<Vec<f32>, HeadError> {
        let mut sum: Vec<f32> = Vec::new();
        for member in &self.members {
            let shares = fit(member).averaged(matrix, rows)?;
            sum.resize(shares.len(), 0.0);
            for (sum, share) in sum.iter_mut().zip(shares) {
                *sum += share;
            }
        }
        let share = 1.0 / self.members.len() as f32;
        for sum in &mut sum {
            *sum *= share;
        }
        Ok(sum)
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        self.members[0].answers(self.mean(matrix, rows, |member| member)?)
    }

    fn predict_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Predictions, HeadError> {
        self.members[0].answers(self.mean(matrix, rows, mlp::Fitted::before)?)
    }

    fn year_distribution(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        if !self.members[0].tells_distribution() {
            return Ok(None);
        }
        mlp::distribution(rows.len(), self.mean(matrix, rows, |member| member)?).map(Some)
    }

    fn year_distribution_validation(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        if !self.members[0].tells_distribution() {
            return Ok(None);
        }
        mlp::distribution(rows.len(), self.mean(matrix, rows, mlp::Fitted::before)?).map(Some)
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn parts(&self) -> HeadParts {
        let (members, tensors) = members::join(self.members.iter().map(FittedHead::parts));
        let (target, log) = (self.target, self.log.clone());
        let stored = Stored { target, unit_columns: None, settings: members, log };
        stored.parts(&self.kind, tensors)
    }
}

/// Makes the ensemble from its stored parts.
pub(crate) fn restore(parts: &HeadParts) -> Result<Box<dyn FittedHead>, HeadError> {
    let (members, target, log) = read(parts)?;
    Ok(Box::new(Fitted { kind: parts.kind.clone(), members, target, log }))
}

/// Writes what the ensemble of these parts computes.
pub(crate) fn write(parts: &HeadParts, formula: &mut Formula) -> Result<Value, HeadError> {
    mlp::write_mean(&read(parts)?.0, formula)
}

/// The members, of which there is at least one, and which tell the same kind of thing.
fn read(parts: &HeadParts) -> Result<(Vec<mlp::Fitted>, TargetKind, TrainingLog), HeadError> {
    let stored: Stored<Vec<Member>> = Reader(parts).stored()?;
    let members = members::split(parts, stored.settings);
    let members = members.iter().map(mlp::read).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = members.first() else {
        return Err(HeadError::Damaged(format!("a `{}` head without members", parts.kind)));
    };
    if members.iter().any(|member| !member.tells_like(first)) {
        return Err(HeadError::Damaged("members of an ensemble answer differently".to_owned()));
    }
    Ok((members, stored.target, stored.log))
}
