//! The thresholds of the ordinal loss: parameters in addition to the network's.

use candle_core::{Device, Result, Var};
use facefold_core::{AgeTarget, HeadError, Targets};

use super::multi_task::MultiTaskData;
use super::optimizer::Parameter;
use super::product::GradientBuffer;
use super::{AgeLoss, MlpOptions};
use crate::loss::YEARS;
use crate::state_dict::backend;

/// One threshold for each binary target "older than k years", k from 0 to 115; none for other
/// losses.
pub(super) struct Thresholds(Option<(Var, GradientBuffer)>);

impl Thresholds {
    /// Thresholds at which an output of 0 gives the age distribution of the training rows.
    pub(super) fn new(
        options: &MlpOptions,
        data: &MultiTaskData<'_>,
    ) -> std::result::Result<Self, HeadError> {
        let ages = data.labels.iter().find_map(|labels| match labels.targets {
            Targets::Regression(years) => Some(years),
            Targets::Classes { .. } => None,
        });
        let (AgeLoss::Ordinal, Some(ages)) = (options.age_loss, ages) else {
            return Ok(Self(None));
        };
        let log_odds = |year: usize| {
            let older: f32 = ages.iter().map(|&age| older_than(age, year as f32)).sum();
            // Half a row on each side keeps the odds finite.
            ((older + 0.5) / (ages.len() as f32 - older + 0.5)).ln()
        };
        let values: Vec<f32> = (0..YEARS - 1).map(log_odds).collect();
        let variable = Var::from_vec(values, YEARS - 1, &Device::Cpu)
            .map_err(backend("making the thresholds of the ordinal loss"))?;
        Ok(Self(Some((variable, GradientBuffer::default()))))
    }

    /// What the optimizer steps, and how.
    pub(super) fn parameter(&self) -> Option<(Var, Parameter)> {
        let (variable, gradient_buffer) = self.0.as_ref()?;
        let gradient_buffer = Some(gradient_buffer.clone());
        Some((variable.clone(), Parameter { decays: false, gradient_buffer }))
    }

    /// The thresholds as they stand.
    pub(super) fn values(&self) -> Result<Vec<f32>> {
        self.0.as_ref().map_or_else(|| Ok(Vec::new()), |(variable, _)| variable.to_vec1())
    }

    /// Hands the optimiser a batch's gradient.
    pub(super) fn pull(&self, gradient: &[f32]) {
        if let Some((_, gradient_buffer)) = &self.0 {
            gradient_buffer.put(gradient.len(), |to| to.copy_from_slice(gradient));
        }
    }
}

/// Whether an age is above a year, 0 or 1; of a range the share of its years that are.
fn older_than(age: AgeTarget, year: f32) -> f32 {
    match age.exact_years() {
        Some(age) => f32::from(age > year),
        None => ((age.high() - year) / (age.high() - age.low() + 1.0)).clamp(0.0, 1.0),
    }
}
