//! A fitted support vector machine: from decisions to class probabilities or ages.

use facefold_core::{
    FeatureMatrix, FeatureRows, FittedHead, HeadError, Predictions, StateDict, TargetKind,
    TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::classifiers::BinaryClassifiers;
use super::coupling::couple;
use super::kernel::KernelFunction;
use super::options::{Kernel, MultiClass};
use super::subproblems::{ClassPair, class_pairs, present_classes};
use crate::calibration::Sigmoid;
use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::linear::predictions;
use crate::state_dict::{Reader, Stored, Tensors};

/// Lower limit of pairwise probabilities, as in LIBSVM: a probability of 0 would end the coupling.
pub(super) const LEAST_PROBABILITY: f64 = 1e-7;

/// The chosen hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedSettings {
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
pub(super) struct Fitted {
    /// The name in the registry.
    pub(super) name: String,
    pub(super) features: Standardiser,
    pub(super) classifiers: BinaryClassifiers,
    pub(super) class_pairs: Vec<ClassPair>,
    /// Turn a classifier's decision into the probability of its positive class; one a class pair.
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
    /// Decisions, rows x classifiers, of plain rows.
    pub(super) fn decisions(
        &self,
        source: &FeatureRows,
        rows: &[usize],
    ) -> Result<Vec<f32>, HeadError> {
        let mut all = Vec::with_capacity(rows.len() * self.classifiers.count());
        for chunk in rows.chunks(1024) {
            let values = self.features.rows(source, chunk, scale(self.features.width()));
            all.extend(self.classifiers.decide(&values, chunk.len())?);
        }
        Ok(all)
    }

    /// Class probabilities, or ages in years.
    fn decoded(&self, source: &FeatureRows, rows: &[usize]) -> Result<Vec<f32>, HeadError> {
        let decisions = self.decisions(source, rows)?;
        if self.stored.target == TargetKind::Regression {
            return Ok(decisions.iter().map(|z| z * self.years.1 + self.years.0).collect());
        }
        if self.class_pairs.is_empty() {
            return Ok((0..rows.len()).flat_map(|_| self.majority_class()).collect());
        }
        Ok(decisions
            .chunks_exact(self.class_pairs.len())
            .flat_map(|row| self.probabilities(row))
            .collect())
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

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let predict = |source: &FeatureRows, rows: &[usize]| self.decoded(source, rows);
        predictions(self.stored.target, flip_averaged(&self.features, matrix, rows, predict)?)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn state_dict(&self) -> StateDict {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.classifiers.store(&mut tensors);
        let sigmoids = Array2::from_shape_fn((self.sigmoids.len(), 2), |(at, part)| {
            let Sigmoid { a, b } = self.sigmoids[at];
            if part == 0 { a as f32 } else { b as f32 }
        });
        tensors.insert("sigmoids".to_owned(), sigmoids.into_dyn());
        let class_rows = Array1::from(self.class_rows.clone());
        tensors.insert("class_rows".to_owned(), class_rows.into_dyn());
        let years = Array1::from(vec![self.years.0, self.years.1]);
        tensors.insert("years".to_owned(), years.into_dyn());
        self.stored.state_dict(&self.name, tensors)
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    Ok(Box::new(read(state)?))
}

pub(super) fn read(state: &StateDict) -> Result<Fitted, HeadError> {
    let reader = Reader(state);
    let stored: Stored<FittedSettings> = reader.stored()?;
    let classes = match stored.target {
        TargetKind::Regression => 0,
        TargetKind::Classes { count } => count,
    };
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let class_rows = reader.vector("class_rows", Some(classes))?;
    let has_rows: Vec<bool> = class_rows.iter().map(|&rows| rows > 0.0).collect();
    let class_pairs = class_pairs(stored.settings.multi_class, &present_classes(&has_rows));
    let count = if stored.target == TargetKind::Regression { 1 } else { class_pairs.len() };
    let function = stored.settings.function();
    let classifiers = BinaryClassifiers::restore(&reader, function, features.width(), count)?;
    let sigmoids = reader.matrix("sigmoids", (Some(class_pairs.len()), Some(2)))?;
    let sigmoids = sigmoids
        .rows()
        .into_iter()
        .map(|row| Sigmoid { a: f64::from(row[0]), b: f64::from(row[1]) })
        .collect();
    let years = reader.vector("years", Some(2))?;
    let (name, years) = (state.kind.clone(), (years[0], years[1]));
    Ok(Fitted { name, features, classifiers, class_pairs, sigmoids, class_rows, years, stored })
}
