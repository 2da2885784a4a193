//! A fitted support vector machine: from decisions to shares of classes or years.

use facefold_core::{
    FeatureMatrix, FeatureRows, FittedHead, HeadError, HeadParts, Predictions, TargetKind,
    TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::coupling::couple;
use super::kernel::KernelFunction;
use super::machines::Machines;
use super::options::{Kernel, Scheme};
use super::questions::{Contest, contests, present};
use crate::calibration::Sigmoid;
use crate::features::Standardiser;
use crate::linear::predictions;
use crate::parts::{Reader, Stored, Tensors};
use crate::sides::answer_both;

/// No pair of classes is surer than this, as in LIBSVM: a certain pair would end the coupling.
pub(super) const LEAST_PROBABILITY: f64 = 1e-7;

/// What was chosen, and how answers come of decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedSettings {
    pub(super) kernel: Kernel,
    pub(super) cost: f64,
    /// Of the kernel on the scaled features.
    pub(super) gamma: f64,
    pub(super) degree: u32,
    pub(super) scheme: Scheme,
}

impl FittedSettings {
    pub(super) fn function(&self) -> KernelFunction {
        KernelFunction { kernel: self.kernel, gamma: self.gamma as f32, degree: self.degree }
    }
}

#[derive(Debug)]
pub(super) struct Fitted {
    /// The name in the registry.
    pub(super) name: String,
    pub(super) features: Standardiser,
    pub(super) machines: Machines,
    pub(super) contests: Vec<Contest>,
    /// Turns a machine's decision into the probability of its first side; one a contest.
    pub(super) sigmoids: Vec<Sigmoid>,
    /// Number of training rows of each class; empty for years.
    pub(super) class_rows: Vec<f32>,
    /// Mean and standard deviation of the training years.
    pub(super) years: (f32, f32),
    pub(super) stored: Stored<FittedSettings>,
}

/// What rows are multiplied by after standardising, so that the kernel does not depend on their
/// width.
pub(super) fn scale(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

impl Fitted {
    /// Decisions, rows x machines, of plain rows.
    pub(super) fn decisions(
        &self,
        source: &FeatureRows,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        let mut all = Vec::with_capacity(rows.len() * self.machines.count());
        for chunk in rows.chunks(1024) {
            let values = self.features.rows(source, chunk, scale(self.features.width()));
            all.extend(self.machines.decide(&values, chunk.len())?);
        }
        Ok(all)
    }

    /// Class shares, or years.
    fn answers(&self, source: &FeatureRows, rows: &[usize]) -> Result<Vec<f32>, HeadError> {
        let decisions = self.decisions(source, rows)?;
        if self.stored.target == TargetKind::Years {
            return Ok(decisions.iter().map(|z| z * self.years.1 + self.years.0).collect());
        }
        if self.contests.is_empty() {
            return Ok((0..rows.len()).flat_map(|_| self.commonest()).collect());
        }
        Ok(decisions.chunks_exact(self.contests.len()).flat_map(|row| self.shares(row)).collect())
    }

    /// All of the answer for the class with the most training rows.
    fn commonest(&self) -> Vec<f32> {
        let most = self.class_rows.iter().copied().fold(0.0, f32::max);
        let class = self.class_rows.iter().position(|&rows| rows == most);
        (0..self.class_rows.len()).map(|at| f32::from(u8::from(Some(at) == class))).collect()
    }

    /// Shares of the classes, summing to 1, from a row of decisions.
    fn shares(&self, decisions: &[f32]) -> Vec<f32> {
        let told: Vec<bool> = self.class_rows.iter().map(|&rows| rows > 0.0).collect();
        let present = present(&told);
        let k = present.len();
        let place = |class: usize| present.iter().position(|&other| other == class).unwrap_or(0);
        let mut pairwise = vec![0.0; k * k];
        let mut single = vec![0.0; k];
        for ((contest, sigmoid), &decision) in
            self.contests.iter().zip(&self.sigmoids).zip(decisions)
        {
            let probability = sigmoid.of(f64::from(decision));
            let probability = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            let first = place(contest.first);
            match contest.second {
                None => single[first] = probability,
                Some(second) => {
                    let second = place(second);
                    pairwise[first * k + second] = probability;
                    pairwise[second * k + first] = 1.0 - probability;
                }
            }
        }
        let all_pairs = self.contests.iter().all(|contest| contest.second.is_some());
        let parts = match k {
            2 if all_pairs => vec![pairwise[1], pairwise[2]],
            _ if all_pairs => couple(&pairwise, k),
            _ => single,
        };
        let sum: f64 = parts.iter().sum();
        let mut shares = vec![0.0; told.len()];
        for (class, part) in present.into_iter().zip(parts) {
            shares[class] = (part / sum) as f32;
        }
        shares
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let side = |source: &FeatureRows, rows: &[usize]| self.answers(source, rows);
        predictions(self.stored.target, answer_both(&self.features, matrix, rows, side)?)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn parts(&self) -> HeadParts {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.machines.store(&mut tensors);
        let sigmoids = Array2::from_shape_fn((self.sigmoids.len(), 2), |(at, part)| {
            let Sigmoid { a, b } = self.sigmoids[at];
            if part == 0 { a as f32 } else { b as f32 }
        });
        tensors.insert("sigmoids".to_owned(), sigmoids.into_dyn());
        let class_rows = Array1::from(self.class_rows.clone());
        tensors.insert("class_rows".to_owned(), class_rows.into_dyn());
        let years = Array1::from(vec![self.years.0, self.years.1]);
        tensors.insert("years".to_owned(), years.into_dyn());
        self.stored.parts(&self.name, tensors)
    }
}

/// Makes the head from its stored parts.
pub(crate) fn restore(parts: &HeadParts) -> Result<Box<dyn FittedHead>, HeadError> {
    Ok(Box::new(read(parts)?))
}

pub(super) fn read(parts: &HeadParts) -> Result<Fitted, HeadError> {
    let reader = Reader(parts);
    let stored: Stored<FittedSettings> = reader.stored()?;
    let classes = match stored.target {
        TargetKind::Years => 0,
        TargetKind::Classes { count } => count,
    };
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let class_rows = reader.vector("class_rows", Some(classes))?;
    let told: Vec<bool> = class_rows.iter().map(|&rows| rows > 0.0).collect();
    let contests = contests(stored.settings.scheme, &present(&told));
    let count = if stored.target == TargetKind::Years { 1 } else { contests.len() };
    let function = stored.settings.function();
    let machines = Machines::restore(&reader, function, features.width(), count)?;
    let sigmoids = reader.matrix("sigmoids", (Some(contests.len()), Some(2)))?;
    let sigmoids = sigmoids
        .rows()
        .into_iter()
        .map(|row| Sigmoid { a: f64::from(row[0]), b: f64::from(row[1]) })
        .collect();
    let years = reader.vector("years", Some(2))?;
    let (name, years) = (parts.kind.clone(), (years[0], years[1]));
    Ok(Fitted { name, features, machines, contests, sigmoids, class_rows, years, stored })
}
