//! A fitted support vector machine: from decisions to class probabilities or ages.

use facefold_core::{HeadError, TargetKind};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::classifiers::BinaryClassifiers;
use super::coupling::couple;
use super::kernel::KernelFunction;
use super::options::{Kernel, MultiClass};
use super::subproblems::{ClassPair, class_pairs, present_classes};
use crate::calibration::Sigmoid;
use crate::estimator::Model;
use crate::state_dict::{Reader, Tensors};

/// Lower limit of pairwise probabilities, as in LIBSVM: a probability of 0 would end the coupling.
pub(super) const LEAST_PROBABILITY: f64 = 1e-7;

/// The chosen hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FittedSettings {
    pub(super) kernel: Kernel,
    pub(super) cost: f64,
    /// Of the kernel on the scaled features.
    pub(super) gamma: f64,
    pub(super) degree: u32,
    pub(super) multi_class: MultiClass,
}

impl FittedSettings {
    pub(super) fn function(&self) -> KernelFunction {
        KernelFunction { kernel: self.kernel, gamma: self.gamma as f32, degree: self.degree }
    }
}

#[derive(Debug)]
pub(crate) struct SvmModel {
    pub(super) classifiers: BinaryClassifiers,
    pub(super) class_pairs: Vec<ClassPair>,
    /// Turn a classifier's decision into the probability of its positive class; one a class pair.
    pub(super) sigmoids: Vec<Sigmoid>,
    /// Number of training rows of each class; empty for years.
    pub(super) class_rows: Vec<f32>,
    /// Mean and standard deviation of the training years.
    pub(super) years: (f32, f32),
    pub(super) settings: FittedSettings,
}

/// What rows are multiplied by after standardising, so that the kernel does not depend on their
/// width.
pub(super) fn scale(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

impl SvmModel {
    /// Decisions, rows x classifiers.
    pub(super) fn decisions(&self, mut rows: Vec<f32>) -> Result<Vec<f32>, HeadError> {
        let factor = scale(self.classifiers.width());
        for value in &mut rows {
            *value *= factor;
        }
        self.classifiers.decide(&rows)
    }

    /// Probability 1 for the class with the most training rows.
    fn majority_class(&self) -> Vec<f32> {
        let most = self.class_rows.iter().copied().fold(0.0, f32::max);
        let class = self.class_rows.iter().position(|&rows| rows == most);
        (0..self.class_rows.len()).map(|at| f32::from(u8::from(Some(at) == class))).collect()
    }

    /// Shares of the classes, summing to 1, from a row of decisions.
    fn probabilities(&self, decisions: &[f32]) -> Vec<f32> {
        let has_rows: Vec<bool> = self.class_rows.iter().map(|&rows| rows > 0.0).collect();
        let present = present_classes(&has_rows);
        let k = present.len();
        let place = |class: usize| present.iter().position(|&other| other == class).unwrap_or(0);
        let mut pairwise = vec![0.0; k * k];
        let mut single = vec![0.0; k];
        for ((class_pair, sigmoid), &decision) in
            self.class_pairs.iter().zip(&self.sigmoids).zip(decisions)
        {
            let probability = sigmoid.of(f64::from(decision));
            let probability = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            let first = place(class_pair.first);
            match class_pair.second {
                None => single[first] = probability,
                Some(second) => {
                    let second = place(second);
                    pairwise[first * k + second] = probability;
                    pairwise[second * k + first] = 1.0 - probability;
                }
            }
        }
        let all_pairs = self.class_pairs.iter().all(|class_pair| class_pair.second.is_some());
        let scores = match k {
            2 if all_pairs => vec![pairwise[1], pairwise[2]],
            _ if all_pairs => couple(&pairwise, k),
            _ => single,
        };
        let sum: f64 = scores.iter().sum();
        let mut probabilities = vec![0.0; has_rows.len()];
        for (class, part) in present.into_iter().zip(scores) {
            probabilities[class] = (part / sum) as f32;
        }
        probabilities
    }
}

impl Model for SvmModel {
    type Settings = FittedSettings;

    fn predict(&self, target: TargetKind, rows: Vec<f32>) -> Result<Vec<f32>, HeadError> {
        let n = rows.len() / self.classifiers.width();
        let decisions = self.decisions(rows)?;
        Ok(match target {
            TargetKind::Regression => {
                decisions.iter().map(|z| z * self.years.1 + self.years.0).collect()
            }
            TargetKind::Classes { .. } if self.class_pairs.is_empty() => {
                self.majority_class().repeat(n)
            }
            TargetKind::Classes { .. } => decisions
                .chunks_exact(self.class_pairs.len())
                .flat_map(|row| self.probabilities(row))
                .collect(),
        })
    }

    fn settings(&self) -> &FittedSettings {
        &self.settings
    }

    fn store(&self, tensors: &mut Tensors) {
        self.classifiers.store(tensors);
        let sigmoids = Array2::from_shape_fn((self.sigmoids.len(), 2), |(at, part)| {
            let Sigmoid { a, b } = self.sigmoids[at];
            if part == 0 { a as f32 } else { b as f32 }
        });
        tensors.insert("sigmoids".to_owned(), sigmoids.into_dyn());
        let class_rows = Array1::from(self.class_rows.clone());
        tensors.insert("class_rows".to_owned(), class_rows.into_dyn());
        let years = Array1::from(vec![self.years.0, self.years.1]);
        tensors.insert("years".to_owned(), years.into_dyn());
    }

    fn restore(
        reader: &Reader<'_>,
        target: TargetKind,
        settings: FittedSettings,
        width: usize,
    ) -> Result<Self, HeadError> {
        let classes = match target {
            TargetKind::Regression => 0,
            TargetKind::Classes { count } => count,
        };
        let class_rows = reader.vector("class_rows", Some(classes))?;
        let has_rows: Vec<bool> = class_rows.iter().map(|&rows| rows > 0.0).collect();
        let class_pairs = class_pairs(settings.multi_class, &present_classes(&has_rows));
        let count = if target == TargetKind::Regression { 1 } else { class_pairs.len() };
        let classifiers = BinaryClassifiers::restore(reader, settings.function(), width, count)?;
        let sigmoids = reader.matrix("sigmoids", (Some(class_pairs.len()), Some(2)))?;
        let sigmoids = sigmoids
            .rows()
            .into_iter()
            .map(|row| Sigmoid { a: f64::from(row[0]), b: f64::from(row[1]) })
            .collect();
        let years = reader.vector("years", Some(2))?;
        let years = (years[0], years[1]);
        Ok(Self { classifiers, class_pairs, sigmoids, class_rows, years, settings })
    }
}
