//! Age groups from a predicted age distribution: a group's probability is the sum of the
//! distribution over its years.
//!
//! A head for groups learns nothing of a face of 35 but that it is in the group of 26 to 35. One
//! for years learns where in the group it is, and that its neighbours are near.

use facefold_core::{
    AgeGroups, FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, Prediction,
    StateDict, TargetKind, Targets, Task, TrainingLog,
};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::calibration;
use crate::estimator::predicted_targets;
use crate::loss::{YEARS, softmax};
use crate::members::{self, Member};
use crate::mlp::{self, Mlp};
use crate::state_dict::{Reader, Stored};

pub(crate) const NAME: &str = "mlp-groups-from-age";

/// Lower limit of a group's probability, so that its logarithm is finite.
const LEAST: f32 = 1e-6;

/// Classifies age groups by an age regressor.
pub(crate) struct GroupsFromAge {
    member: Mlp,
}

impl GroupsFromAge {
    /// Classifies by `member`, which must predict a distribution over ages.
    pub(crate) fn new(member: Mlp) -> Self {
        Self { member }
    }
}

impl Head for GroupsFromAge {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        self.member.settings()
    }

    fn uses_auxiliary_tasks(&self) -> bool {
        true
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let target = training.targets().kind();
        let stored = |groups: Option<&AgeGroups>, log| {
            let settings = Settings { groups: groups.cloned(), members: Vec::new() };
            Stored { target, unit_columns: None, settings, log }
        };
        let Some(groups) = training.age_groups() else {
            // Not age groups: the member is used as it is.
            let (member, ()) = self.member.fitted(training, validation, seed, |_| Ok(()))?;
            let stored = stored(None, member.log().clone());
            return Fit::of(Fitted { member, temperature: 1.0, stored }, validation);
        };
        let years = ages_of(training)?;
        let (member, ()) = self.member.fitted(&years, &ages_of(validation)?, seed, |_| Ok(()))?;
        if !member.predicts_distribution() {
            return Err(HeadError::Setting(format!(
                "`{NAME}` needs a distribution over ages: expected mlp.age_loss distribution or \
                 ordinal"
            )));
        }
        let mut log = member.log().clone();
        log.notes.push(format!(
            "trained on the years of {} rows, which choose the epoch too; the learning curve is in \
             years",
            years.len()
        ));
        let distribution = member.averaged(validation.matrix(), validation.rows())?;
        let mut fitted = Fitted { member, temperature: 1.0, stored: stored(Some(groups), log) };
        if let Targets::Classes { indices, count } = validation.targets()
            && !indices.is_empty()
        {
            let logits = logits(groups, &distribution);
            fitted.temperature = calibration::temperature(&logits, indices, *count);
        }
        let validation = fitted.predict_groups(groups, distribution)?;
        Ok(Fit { head: Box::new(fitted), validation })
    }
}

/// The rows with an age label, as a regression dataset.
fn ages_of<'a>(examples: &FeatureDataset<'a>) -> Result<FeatureDataset<'a>, HeadError> {
    let ages =
        examples.auxiliary_tasks().iter().find(|auxiliary| auxiliary.kind == Task::Age.into());
    match ages {
        Some(ages) => {
            FeatureDataset::new(examples.matrix(), ages.rows.clone(), ages.targets.clone())
        }
        None => Err(HeadError::Untrainable(format!(
            "`{NAME}` needs ages in years, and no row has one: use the head `mlp`"
        ))),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    /// The age groups; none where the member is used as it is.
    groups: Option<AgeGroups>,
    members: Vec<Member>,
}

struct Fitted {
    /// Predicts a distribution over ages where there are groups.
    member: mlp::Fitted,
    /// Temperature: divisor of the logarithms of the groups' probabilities.
    temperature: f32,
    stored: Stored<Settings>,
}

/// Logarithms of the groups' probabilities of distributions over ages, row by row. What falls
/// between groups that have gaps counts for none of them.
fn logits(groups: &AgeGroups, distribution: &[f32]) -> Vec<f32> {
    let mut logits = Vec::with_capacity(distribution.len() / YEARS * groups.ranges().len());
    for row in distribution.chunks(YEARS) {
        for range in groups.ranges() {
            let inside = row.iter().enumerate().filter(|(year, _)| range.contains(*year as f32));
            let probability: f32 = inside.map(|(_, probability)| probability).sum();
            logits.push((probability + LEAST).ln());
        }
    }
    logits
}

impl Fitted {
    /// The prediction of the groups from the member's distribution over ages.
    fn predict_groups(
        &self,
        groups: &AgeGroups,
        distribution: Vec<f32>,
    ) -> Result<Prediction, HeadError> {
        let mut logits = logits(groups, &distribution);
        for logit in &mut logits {
            *logit /= self.temperature;
        }
        let count = groups.ranges().len();
        let mut probabilities = vec![0.0; logits.len()];
        for (logits, probabilities) in logits.chunks(count).zip(probabilities.chunks_mut(count)) {
            softmax(logits, probabilities);
        }
        let age_distribution = Some(mlp::distribution(distribution)?);
        let targets = predicted_targets(TargetKind::Classes { count }, probabilities)?;
        Ok(Prediction { age_distribution, ..targets.into() })
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        match &self.stored.settings.groups {
            Some(groups) => self.predict_groups(groups, self.member.averaged(matrix, rows)?),
            None => self.member.predict(matrix, rows),
        }
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn state_dict(&self) -> StateDict {
        let (members, mut tensors) = members::join([self.member.state_dict()].into_iter());
        let temperature = Array1::from(vec![self.temperature]).into_dyn();
        tensors.insert("temperature".to_owned(), temperature);
        let groups = self.stored.settings.groups.clone();
        let stored = Stored {
            target: self.stored.target,
            unit_columns: None,
            settings: Settings { groups, members },
            log: self.stored.log.clone(),
        };
        stored.state_dict(NAME, tensors)
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let reader = Reader(state);
    let stored: Stored<Settings> = reader.stored()?;
    let temperature = reader.vector("temperature", Some(1))?[0];
    if temperature <= 0.0 {
        return Err(HeadError::Corrupt(format!("a temperature of {temperature}")));
    }
    let Settings { groups, members } = stored.settings;
    let expected = match &groups {
        Some(groups) => {
            let count = groups.ranges().len();
            if stored.target != (TargetKind::Classes { count }) {
                return Err(HeadError::Corrupt(format!(
                    "{count} age groups for a head that predicts {:?}",
                    stored.target
                )));
            }
            TargetKind::Regression
        }
        None => stored.target,
    };
    let member = mlp::read(&members::only(state, members, expected)?)?;
    if groups.is_some() && !member.predicts_distribution() {
        return Err(HeadError::Corrupt(format!(
            "the member of a `{NAME}` head predicts no distribution"
        )));
    }
    let settings = Settings { groups, members: Vec::new() };
    let stored = Stored { target: stored.target, unit_columns: None, settings, log: stored.log };
    Ok(Box::new(Fitted { member, temperature, stored }))
}
