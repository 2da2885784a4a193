//! An ensemble: the mean prediction of several fits of one head under different seeds.

use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, Prediction, StateDict,
    TargetKind, TrainingLog,
};
use facefold_onnx::computation::{ComputationGraph, Value};
use serde::{Deserialize, Serialize};

use crate::members::{self, Member};
use crate::mlp::{self, Mlp};
use crate::options::{HeadOptions, require};
use crate::state_dict::{Reader, Stored};

/// Settings of `mlp-ensemble` and `mlp-multi-task-ensemble`.
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

    fn uses_auxiliary_tasks(&self) -> bool {
        self.member.uses_auxiliary_tasks()
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let mut mean = Mean::default();
        let mut members = Vec::with_capacity(self.members);
        for member in 0..self.members as u64 {
            // The first member is the head alone under this seed; golden-ratio steps keep the
            // others' seeds away from those of a run over neighbouring seeds.
            let seed = seed.wrapping_add(member.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let evaluate = |first: &mlp::Fitted| {
                mean.add(&first.averaged(validation.matrix(), validation.rows())?);
                Ok(())
            };
            members.push(self.member.fitted(training, validation, seed, evaluate)?.0);
        }
        let mut log = members.first().map(|member| member.log().clone()).unwrap_or_default();
        log.notes.push(format!(
            "mean of {} fits under different seeds; the learning curve is the first one's",
            self.members
        ));
        let target = training.targets().kind();
        let head = Fitted { kind: self.name.to_owned(), members, target, log };
        let validation = head.members[0].decode(mean.values())?;
        Ok(Fit { head: Box::new(head), validation })
    }
}

/// The mean of the members' probabilities of classes or of ages, or of their predicted ages.
///
/// Ages are decoded from the mean distribution: the mean of the members' own predictions is no
/// whole year, and its error is larger (by 0.006 years on UTKFace).
#[derive(Default)]
struct Mean {
    sum: Vec<f32>,
    members: usize,
}

impl Mean {
    fn add(&mut self, probabilities: &[f32]) {
        self.sum.resize(probabilities.len(), 0.0);
        for (sum, share) in self.sum.iter_mut().zip(probabilities) {
            *sum += share;
        }
        self.members += 1;
    }

    fn values(mut self) -> Vec<f32> {
        let share = 1.0 / self.members as f32;
        for sum in &mut self.sum {
            *sum *= share;
        }
        self.sum
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

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let mut mean = Mean::default();
        for member in &self.members {
            mean.add(&member.averaged(matrix, rows)?);
        }
        self.members[0].decode(mean.values())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        let (members, tensors) = members::join(self.members.iter().map(FittedHead::state_dict));
        let (target, log) = (self.target, self.log.clone());
        let stored = Stored { target, unit_columns: None, settings: members, log };
        stored.state_dict(&self.kind, tensors)
    }
}

/// Makes the ensemble from its stored parts.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let (members, target, log) = read(state)?;
    Ok(Box::new(Fitted { kind: state.kind.clone(), members, target, log }))
}

/// Exports the computation of the ensemble of this state dict.
pub(crate) fn export(state: &StateDict, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
    mlp::export_mean(&read(state)?.0, graph)
}

/// The members: at least one, all with the same kind of output.
fn read(state: &StateDict) -> Result<(Vec<mlp::Fitted>, TargetKind, TrainingLog), HeadError> {
    let stored: Stored<Vec<Member>> = Reader(state).stored()?;
    let members = members::split(state, stored.settings);
    let members = members.iter().map(mlp::read).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = members.first() else {
        return Err(HeadError::Corrupt(format!("a `{}` head without members", state.kind)));
    };
    if members.iter().any(|member| !member.is_compatible_with(first)) {
        return Err(HeadError::Corrupt(
            "the members of an ensemble have different outputs".to_owned(),
        ));
    }
    Ok((members, stored.target, stored.log))
}

#[cfg(test)]
mod tests {
    use facefold_core::{FeatureDataset, FeatureMatrix, Head, Targets};
    use ndarray::Array2;

    use super::Ensemble;
    use crate::HeadOptions;
    use crate::mlp::{Architecture, Mlp, PASSES};

    /// Years, their distribution and the intervals around them come from the same passes.
    #[test]
    fn five_faces_take_one_forward_pass_a_member() {
        let plain =
            Array2::from_shape_fn((60, 4), |(row, column)| ((row * 7 + column) as f32).sin());
        let matrix = FeatureMatrix::new(plain, None).unwrap();
        let examples = |rows: std::ops::Range<usize>| {
            let years = rows.clone().map(|row| 20.0 + row as f32).collect();
            FeatureDataset::new(&matrix, rows.collect(), Targets::exact_years(years)).unwrap()
        };
        let mut options = HeadOptions::default();
        options.mlp.hidden_layer_sizes = vec![8];
        (options.mlp.epochs, options.mlp.min_steps) = (1, 1);
        let member = Mlp::new(Architecture::Plain, &options).unwrap();
        let head = Ensemble::new("mlp-ensemble", member, &options).unwrap();
        let fit = head.fit(&examples(0..40), &examples(40..60), 1).unwrap();
        PASSES.take();
        let prediction = fit.head.predict(&matrix, &[0, 10, 20, 30, 40]).unwrap();
        assert!(prediction.len() == 5 && prediction.age_distribution.is_some());
        assert_eq!(PASSES.take(), [5; 5]);
    }
}
