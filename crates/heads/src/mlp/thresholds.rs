//! The thresholds of the ordinal loss: parameters beside the network's own.

use candle_core::{Device, Result, Var};
use facefold_core::{AgeTarget, HeadError, Targets};

use super::lesson::Lesson;
use super::optimiser::Parameter;
use super::product::Sink;
use super::{MlpOptions, YearsLoss};
use crate::loss::YEARS;
use crate::parts::backend;

/// One threshold for each question "older than k years", k from 0 to 115; none for other losses.
pub(super) struct Thresholds(Option<(Var, Sink)>);

impl Thresholds {
    /// Thresholds at which an output of 0 tells the shares of the training rows.
    pub(super) fn new(
        options: &MlpOptions,
        lesson: &Lesson<'_>,
    ) -> std::result::Result<Self, HeadError> {
        let ages = lesson.labels.iter().find_map(|labels| match labels.targets {
            Targets::Years(years) => Some(years),
            Targets::Classes { .. } => None,
        });
        let (YearsLoss::Ordinal, Some(ages)) = (options.years_loss, ages) else {
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
        Ok(Self(Some((variable, Sink::default()))))
    }

    /// What the optimiser steps.
    pub(super) fn parameter(&self) -> Option<Parameter> {
        let (variable, sink) = self.0.as_ref()?;
        Some(Parameter { variable: variable.clone(), decays: false, sink: Some(sink.clone()) })
    }

    /// The thresholds as they stand.
    pub(super) fn values(&self) -> Result<Vec<f32>> {
        self.0.as_ref().map_or_else(|| Ok(Vec::new()), |(variable, _)| variable.to_vec1())
    }

    /// Hands the optimiser a batch's gradient.
    pub(super) fn pull(&self, gradient: &[f32]) {
        if let Some((_, sink)) = &self.0 {
            sink.put(gradient.len(), |to| to.copy_from_slice(gradient));
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
