//! Approximate training where the Gram matrix does not fit into memory: the primal problem with a
//! squared loss, on Nyström landmarks or, for a linear kernel, on the features themselves.
//!
//! minimise  |w|² / 2 + cost * sum of squared losses,  with 1 - y f as the loss of a row inside
//! its margin, or |f - z| - epsilon of one further from its target. With m landmarks drawn from the
//! training rows, and L L' their kernel matrix, f(x) = w' L^-1 k(x) + bias, where k(x) are the
//! kernel values of x with the landmarks (Williams and Seeger, "Using the Nystroem method to speed
//! up kernel machines", 2001). All classifiers of a head are fitted together.

use facefold_core::{FeatureDataset, HeadError};
use facefold_kernels::{Matrix, MatrixMut, Multiplier};

use super::classifiers::{BinaryClassifiers, DualCoefficients, Support};
use super::exact::{Trial, in_order};
use super::fitted::scale;
use super::kernel::KernelFunction;
use super::options::{Kernel, SvmOptions};
use super::subproblems::Subproblems;
use super::whiten::whitening;
use crate::features::Standardiser;
use crate::lbfgs::{Limits, Minimum};
use crate::state_dict::multiplier;
use crate::subsample::stratified;
use crate::surrogate::{minimise, minimise_with_subsample};

/// Rows that are worked on at a time.
const CHUNK: usize = 4096;
/// L-BFGS steps for each cost at most.
const STEPS: usize = 150;
/// Stop when no part of the mean loss's gradient is larger.
const GRADIENT: f64 = 1e-5;
/// Added to the diagonal of the landmarks' kernel matrix, relative to it: landmarks that are
/// nearly the same would otherwise get coefficients that f32 cannot hold.
const JITTER: f32 = 1e-4;
/// Training rows of the stratified subsample that a linear kernel's problem is solved on first, where there
/// are more than twice as many.
const SUBSAMPLE: usize = 100_000;
/// Landmarks are no fewer, whatever the memory.
const LEAST_LANDMARKS: usize = 16;

/// Why the primal is solved, and how many landmarks there is room for.
pub(super) struct Plan {
    pub(super) landmarks: usize,
    /// Bytes that the exact solver would need.
    pub(super) exact: f64,
}

/// A plan where the exact solver would need more memory than the options allow.
pub(super) fn plan(options: &SvmOptions, rows: usize, subproblems: &Subproblems) -> Option<Plan> {
    let members = subproblems.problems.iter().map(|subproblem| subproblem.members.len()).max();
    // The products, and the kernel matrix of the largest subproblem.
    let exact = pairs(rows) + 4.0 * (members.unwrap_or(0) as f64).powi(2);
    let allowed = options.memory_gb * 1e9;
    if exact <= allowed {
        return None;
    }
    // A value for each row and classifier, the targets, and one for each row and landmark.
    let room = allowed / (4.0 * rows as f64) - subproblems.problems.len() as f64;
    let landmarks = options.landmarks.min(room.max(0.0) as usize).max(LEAST_LANDMARKS);
    Some(Plan { landmarks, exact })
}

/// Bytes that the products of all pairs of rows take: f32, half a square.
pub(super) fn pairs(rows: usize) -> f64 {
    2.0 * (rows as f64).powi(2)
}

/// What is fitted on what.
pub(super) struct Primal<'a> {
    pub(super) features: &'a Standardiser,
    pub(super) training: &'a FeatureDataset<'a>,
    pub(super) validation: &'a FeatureDataset<'a>,
    pub(super) subproblems: &'a Subproblems,
    pub(super) options: &'a SvmOptions,
    /// What a gamma of 1 is for rows scaled like these.
    unit_gamma: f64,
    /// Positions of the landmarks among the training rows.
    pub(super) landmarks: &'a [usize],
    seed: u64,
    /// For each training row and classifier: its weight with the sign of its class (0 where it
    /// takes no part), or its regression target.
    targets: Vec<f32>,
}

impl<'a> Primal<'a> {
    pub(super) fn new(
        features: &'a Standardiser,
        (training, validation): (&'a FeatureDataset<'a>, &'a FeatureDataset<'a>),
        subproblems: &'a Subproblems,
        (options, unit_gamma): (&'a SvmOptions, f64),
        (landmarks, seed): (&'a [usize], u64),
    ) -> Self {
        let classifiers = subproblems.problems.len();
        let mut targets = vec![0.0; training.len() * classifiers];
        for (classifier, subproblem) in subproblems.problems.iter().enumerate() {
            let rows = subproblem.members.iter().zip(&subproblem.targets).zip(&subproblem.weights);
            for ((&member, &target), &weight) in rows {
                targets[member * classifiers + classifier] = target * weight;
            }
        }
        Self {
            features,
            training,
            validation,
            subproblems,
            options,
            unit_gamma,
            landmarks,
            seed,
            targets,
        }
    }

    /// The kernel at a gamma.
    pub(super) fn function(&self, gamma: f64) -> KernelFunction {
        KernelFunction::new(self.options, gamma * self.unit_gamma)
    }

    /// Fewer rows to begin with, and their targets, where features are read anew in each step and rows are
    /// many.
    fn subsample(&self) -> Result<Option<(FeatureDataset<'a>, Vec<f32>)>, HeadError> {
        let Self { training, targets, .. } = self;
        if self.options.kernel != Kernel::Linear || training.len() <= 2 * SUBSAMPLE {
            return Ok(None);
        }
        let chosen = stratified(training.targets(), SUBSAMPLE, self.seed);
        let rows = in_order(training.rows(), &chosen);
        let labels = training.targets().select(&chosen);
        let classifiers = self.subproblems.problems.len();
        let of_row = |&row: &usize| &targets[row * classifiers..][..classifiers];
        let targets = chosen.iter().flat_map(of_row).copied().collect();
        Ok(Some((FeatureDataset::new(training.matrix(), rows, labels)?, targets)))
    }

    /// Scaled features of examples at some positions.
    fn scaled(&self, examples: &FeatureDataset<'_>, positions: &[usize]) -> Vec<f32> {
        let rows = in_order(examples.rows(), positions);
        let width = self.features.width();
        self.features.rows(examples.matrix().plain(), &rows, scale(width))
    }

    /// The classifiers of a trial.
    pub(super) fn classifiers(&self, trial: &Trial) -> BinaryClassifiers {
        let (function, width) = (self.function(trial.gamma), self.features.width());
        if self.options.kernel == Kernel::Linear {
            return BinaryClassifiers::linear(function, width, &trial.duals);
        }
        let support =
            |chosen: &[usize]| self.scaled(self.training, &in_order(self.landmarks, chosen));
        BinaryClassifiers::join(function, width, &trial.duals, support)
    }

    /// All classifiers at every cost of one gamma, in the order of the options' costs.
    pub(super) fn trials(&self, gamma: f64) -> Result<Vec<Trial>, HeadError> {
        let mut view = View::new(self, gamma)?;
        let subsample = self.subsample()?;
        let mut subsample = match &subsample {
            Some((training, targets)) => Some(View::of_subsample(self, training, targets)?),
            None => None,
        };
        let (n, classifiers) = (self.training.len(), self.subproblems.problems.len());
        let costs = &self.options.c;
        let mut rising: Vec<usize> = (0..costs.len()).collect();
        rising.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let mut trials: Vec<Option<Trial>> = costs.iter().map(|_| None).collect();
        let mut at = vec![0.0; (view.width + 1) * classifiers];
        for place in rising {
            let penalty = 1.0 / (costs[place] * n as f64);
            let limits = Limits { steps: STEPS, gradient: GRADIENT };
            let found = view.minimise(subsample.as_mut(), at, limits, penalty);
            at = found.at;
            let coefficients = view.coefficients(&at);
            let biases = &at[view.width * classifiers..];
            let dual = |classifier: usize| DualCoefficients {
                coefficients: coefficients
                    .iter()
                    .skip(classifier)
                    .step_by(classifiers)
                    .copied()
                    .collect(),
                bias: biases[classifier] as f32,
            };
            let mut trial = Trial {
                cost: costs[place],
                gamma,
                duals: (0..classifiers).map(dual).collect(),
                decisions: Vec::new(),
                unfinished: if found.steps == STEPS { classifiers } else { 0 },
                passes: subsample.is_some().then_some(found.evaluations),
            };
            let fitted = self.classifiers(&trial);
            let positions: Vec<usize> = (0..self.validation.len()).collect();
            for chunk in positions.chunks(CHUNK) {
                let values = self.scaled(self.validation, chunk);
                trial.decisions.extend(fitted.decide(&values)?);
            }
            trials[place] = Some(trial);
        }
        Ok(trials.into_iter().flatten().collect())
    }
}

/// Training rows as a linear classifier sees them.
struct View<'a> {
    primal: &'a Primal<'a>,
    training: &'a FeatureDataset<'a>,
    targets: &'a [f32],
    /// Values of a row: landmarks, or features.
    width: usize,
    /// Kernel values with the landmarks, chunk by chunk, or scaled features of a subsample; empty for all rows of a
    /// linear kernel, whose features are scaled anew each time rather than held twice.
    stored: Vec<Vec<f32>>,
    /// L^-1, where there are landmarks.
    whitening: Option<Vec<f32>>,
    multiplier: Multiplier,
}

impl<'a> View<'a> {
    fn new(primal: &'a Primal<'a>, gamma: f64) -> Result<Self, HeadError> {
        if primal.options.kernel == Kernel::Linear {
            return Self::of_features(primal, primal.training, &primal.targets);
        }
        let mut multiplier = multiplier()?;
        let (function, m) = (primal.function(gamma), primal.landmarks.len());
        let values = primal.scaled(primal.training, primal.landmarks);
        let support = Support::new(values.clone(), primal.features.width());
        let mut own = support.kernel_values(&values, function, &mut multiplier);
        for at in 0..m {
            own[at * m + at] *= 1.0 + JITTER;
        }
        let whitening = whitening(&own, m).ok_or_else(|| {
            HeadError::Untrainable(format!("the kernel matrix of {m} landmarks is singular"))
        })?;
        let whitening = Some(whitening.iter().map(|&value| value as f32).collect());
        let positions: Vec<usize> = (0..primal.training.len()).collect();
        let similar = |chunk: &[usize]| {
            let values = primal.scaled(primal.training, chunk);
            support.kernel_values(&values, function, &mut multiplier)
        };
        let stored = positions.chunks(CHUNK).map(similar).collect();
        let (training, targets) = (primal.training, primal.targets.as_slice());
        Ok(Self { primal, training, targets, width: m, stored, whitening, multiplier })
    }

    /// Rows as their features, with the targets of each classifier.
    fn of_features(
        primal: &'a Primal<'a>,
        training: &'a FeatureDataset<'a>,
        targets: &'a [f32],
    ) -> Result<Self, HeadError> {
        let (width, multiplier) = (primal.features.width(), multiplier()?);
        let (stored, whitening) = (Vec::new(), None);
        Ok(Self { primal, training, targets, width, stored, whitening, multiplier })
    }

    /// The same of a subsample, whose features are kept where they fit into memory: its rows lie far apart, so that
    /// reading them reads nearly all from a disk.
    fn of_subsample(
        primal: &'a Primal<'a>,
        training: &'a FeatureDataset<'a>,
        targets: &'a [f32],
    ) -> Result<Self, HeadError> {
        let mut view = Self::of_features(primal, training, targets)?;
        let bytes = (training.len() * view.width * size_of::<f32>()) as f64;
        if bytes <= primal.options.memory_gb * 1e9 {
            let positions: Vec<usize> = (0..training.len()).collect();
            view.stored =
                positions.chunks(CHUNK).map(|chunk| primal.scaled(training, chunk)).collect();
        }
        Ok(view)
    }

    /// The weights and biases of least mean loss plus penalty; with a subsample of the rows in fewer passes.
    fn minimise(
        &mut self,
        subsample: Option<&mut Self>,
        start: Vec<f64>,
        limits: Limits,
        penalty: f64,
    ) -> Minimum {
        let whole = |at: &[f64]| self.evaluate(at, penalty);
        match subsample {
            Some(subsample) => {
                minimise_with_subsample(start, limits, whole, |at| subsample.evaluate(at, penalty))
            }
            None => minimise(start, limits, whole),
        }
    }

    /// What the values of a row are multiplied by, width x classifiers, at the weights `at`.
    fn coefficients(&mut self, at: &[f64]) -> Vec<f32> {
        let (width, classifiers) = (self.width, self.primal.subproblems.problems.len());
        let weights = at[..width * classifiers].iter().map(|&value| value as f32).collect();
        let Some(inverse) = &self.whitening else { return weights };
        let mut coefficients = vec![0.0; width * classifiers];
        self.multiplier.multiply(
            Matrix::new(inverse, width, width).transposed(),
            Matrix::new(&weights, width, classifiers),
            MatrixMut::new(&mut coefficients, width, classifiers),
        );
        coefficients
    }

    /// Mean loss plus penalty, and its gradient, at width x classifiers weights and the biases.
    fn evaluate(&mut self, at: &[f64], penalty: f64) -> (f64, Vec<f64>) {
        let (n, classifiers) = (self.training.len(), self.primal.subproblems.problems.len());
        let coefficients = self.coefficients(at);
        let coefficients = Matrix::new(&coefficients, self.width, classifiers);
        let (weights, biases) = at.split_at(self.width * classifiers);
        let epsilon =
            self.primal.subproblems.problems.first().and_then(|subproblem| subproblem.epsilon);
        let mut loss = 0.0;
        let mut bias_gradient = vec![0.0; classifiers];
        // Of a chunk in f32, of all chunks in f64: the rounding of a long sum in f32 is larger than the
        // gradient at which the search ends.
        let mut of_chunk = vec![0.0_f32; self.width * classifiers];
        let mut sums = vec![0.0_f64; self.width * classifiers];
        let mut read = Vec::new();
        for (place, chunk) in self.training.rows().chunks(CHUNK).enumerate() {
            let rows = if let Some(rows) = self.stored.get(place) {
                rows
            } else {
                let (features, source) = (self.primal.features, self.training.matrix().plain());
                features.write_rows(source, chunk, scale(features.width()), &mut read);
                &read
            };
            let rows = Matrix::new(rows, chunk.len(), self.width);
            let mut gradients = vec![0.0; chunk.len() * classifiers];
            let to = MatrixMut::new(&mut gradients, chunk.len(), classifiers);
            self.multiplier.multiply(rows, coefficients, to);
            let targets = &self.targets[place * CHUNK * classifiers..][..gradients.len()];
            for (at, (gradient, &target)) in gradients.iter_mut().zip(targets).enumerate() {
                let decision = f64::from(*gradient) + biases[at % classifiers];
                let (value, derivative) = match epsilon {
                    Some(epsilon) => distance_loss(decision, f64::from(target), f64::from(epsilon)),
                    None => margin_loss(decision, f64::from(target)),
                };
                loss += value;
                bias_gradient[at % classifiers] += derivative;
                *gradient = derivative as f32;
            }
            let gradients = Matrix::new(&gradients, chunk.len(), classifiers);
            let to = MatrixMut::new(&mut of_chunk, self.width, classifiers);
            self.multiplier.multiply(rows.transposed(), gradients, to);
            sums.iter_mut().zip(&of_chunk).for_each(|(sum, &part)| *sum += f64::from(part));
        }
        if let Some(inverse) = &self.whitening {
            let total: Vec<f32> = sums.iter().map(|&sum| sum as f32).collect();
            self.multiplier.multiply(
                Matrix::new(inverse, self.width, self.width),
                Matrix::new(&total, self.width, classifiers),
                MatrixMut::new(&mut of_chunk, self.width, classifiers),
            );
            sums.iter_mut().zip(&of_chunk).for_each(|(sum, &part)| *sum = f64::from(part));
        }
        let lengths: f64 = weights.iter().map(|weight| weight * weight).sum();
        let mut gradient: Vec<f64> = sums
            .iter()
            .zip(weights)
            .map(|(sum, weight)| sum / n as f64 + penalty * weight)
            .collect();
        gradient.extend(bias_gradient.iter().map(|gradient| gradient / n as f64));
        (loss / n as f64 + penalty * lengths / 2.0, gradient)
    }
}

/// Squared loss inside the margin, and its derivative; the target is the row's signed weight.
fn margin_loss(decision: f64, target: f64) -> (f64, f64) {
    let inside = (1.0 - target.signum() * decision).max(0.0);
    (target.abs() * inside * inside, -2.0 * target * inside)
}

/// Squared loss beyond epsilon from the target, and its derivative.
fn distance_loss(decision: f64, target: f64, epsilon: f64) -> (f64, f64) {
    let missed = decision - target;
    let beyond = (missed.abs() - epsilon).max(0.0);
    (beyond * beyond, 2.0 * beyond * missed.signum())
}
