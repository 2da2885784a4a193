//! Age groups from a predicted age distribution: a group's probability is the sum of the
//! distribution over its years.
//!
//! A head for groups learns nothing of a face of 35 but that it is in the group of 26 to 35. One
//! for years learns where in the group it is, and that its neighbours are near.

use facefold_core::{
    AgeGroups, FeatureDataset, FeatureMatrix, FittedHead, Head, HeadError, Predictions, StateDict,
    TargetKind, Targets, Task, TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::calibration;
use crate::loss::softmax;
use crate::members::{self, Member};
use crate::state_dict::{Reader, Stored};

pub(crate) const NAME: &str = "mlp-groups-from-age";

/// Lower limit of a group's probability, so that its logarithm is finite.
const LEAST: f32 = 1e-6;

/// Classifies age groups by an age regressor.
pub(crate) struct GroupsFromAge {
    member: Box<dyn Head>,
}

impl GroupsFromAge {
    /// Classifies by `member`, which must predict a distribution over ages.
    pub(crate) fn new(member: Box<dyn Head>) -> Self {
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
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let target = training.targets().kind();
        let Some(groups) = training.age_groups() else {
            // Not age groups: the member is used as it is.
            let member = self.member.fit(training, validation, seed)?;
            let log = member.log().clone();
            let settings = Settings { groups: None, members: Vec::new() };
            let stored = Stored { target, unit_columns: None, settings, log };
            return Ok(Box::new(Fitted { member, temperature: 1.0, stored }));
        };
        let years = ages_of(training)?;
        let member = self.member.fit(&years, &ages_of(validation)?, seed)?;
        if member.age_distribution(training.matrix(), &[])?.is_none() {
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
        let settings = Settings { groups: Some(groups.clone()), members: Vec::new() };
        let stored = Stored { target, unit_columns: None, settings, log };
        let mut fitted = Fitted { member, temperature: 1.0, stored };
        if let Targets::Classes { indices, count } = validation.targets()
            && !indices.is_empty()
        {
            let logits = fitted.logits(groups, validation.matrix(), validation.rows())?;
            fitted.temperature = calibration::temperature(&logits, indices, *count);
        }
        Ok(Box::new(fitted))
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
    member: Box<dyn FittedHead>,
    /// Temperature: divisor of the logarithms of the groups' probabilities.
    temperature: f32,
    stored: Stored<Settings>,
}

impl Fitted {
    /// Logarithms of the groups' probabilities of the year distribution, row by row. What falls
    /// between groups that have gaps counts for none of them.
    fn logits(
        &self,
        groups: &AgeGroups,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        let probabilities = self.member.age_distribution(matrix, rows)?.ok_or_else(|| {
            HeadError::Corrupt(format!("the member of a `{NAME}` head predicts no distribution"))
        })?;
        let mut logits = Vec::with_capacity(rows.len() * groups.ranges().len());
        for row in probabilities.rows() {
            for range in groups.ranges() {
                let inside =
                    row.iter().enumerate().filter(|(year, _)| range.contains(*year as f32));
                let probability: f32 = inside.map(|(_, probability)| probability).sum();
                logits.push((probability + LEAST).ln());
            }
        }
        Ok(logits)
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let Some(groups) = &self.stored.settings.groups else {
            return self.member.predict(matrix, rows);
        };
        let mut logits = self.logits(groups, matrix, rows)?;
        for logit in &mut logits {
            *logit /= self.temperature;
        }
        let count = groups.ranges().len();
        let mut probabilities = Array2::zeros((rows.len(), count));
        for (logits, mut probabilities) in logits.chunks(count).zip(probabilities.rows_mut()) {
            if let Some(probabilities) = probabilities.as_slice_mut() {
                softmax(logits, probabilities);
            }
        }
        Ok(Predictions::Classes(probabilities))
    }

    fn age_distribution(
        &self,
        matrix: &FeatureMatrix,
        rows: &[usize],
    ) -> Result<Option<Array2<f32>>, HeadError> {
        self.member.age_distribution(matrix, rows)
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

/// Restores the head from its state dict, and its member by `restore_member`.
pub(crate) fn restore(
    state: &StateDict,
    restore_member: members::Restore,
) -> Result<Box<dyn FittedHead>, HeadError> {
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
    let member = members::only(state, members, expected, restore_member)?;
    let settings = Settings { groups, members: Vec::new() };
    let stored = Stored { target: stored.target, unit_columns: None, settings, log: stored.log };
    Ok(Box::new(Fitted { member, temperature, stored }))
}
