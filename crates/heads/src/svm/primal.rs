//! Machines for more rows than a Gram matrix can be held for: the primal problem with a squared
//! loss, on landmarks or, for a linear kernel, on the features themselves.
//!
//! minimise  |w|² / 2 + cost * sum of squared losses,  with 1 - y f as the loss of a row inside
//! its margin, or |f - z| - epsilon of one further from its goal. With m landmarks drawn from the
//! training rows, and L L' their kernel matrix, f(x) = w' L^-1 k(x) + bias, where k(x) are the
//! kernel values of x with the landmarks (Williams and Seeger, "Using the Nystroem method to speed
//! up kernel machines", 2001). All machines of a head are fitted side by side.

use facefold_core::{Examples, HeadError};
use facefold_engine::{Matrix, MatrixMut, Multiplier};

use super::exact::{Trial, in_order};
use super::fitted::scale;
use super::kernel::KernelFunction;
use super::machines::{Column, Machines, Support};
use super::options::{Kernel, SvmOptions};
use super::questions::Questions;
use super::whiten::whitening;
use crate::features::Standardiser;
use crate::lbfgs::{Limits, minimise};
use crate::parts::multiplier;

/// Rows that are worked on at a time.
const CHUNK: usize = 4096;
/// L-BFGS steps for each cost at most.
const STEPS: usize = 150;
/// Stop when no part of the mean loss's gradient is larger.
const GRADIENT: f64 = 1e-5;
/// Added to the diagonal of the landmarks' kernel matrix, as a share of it: landmarks that are
/// nearly the same would otherwise get coefficients that f32 cannot hold.
const JITTER: f32 = 1e-4;
/// Landmarks are no fewer, whatever the memory.
const LEAST_LANDMARKS: usize = 16;

/// Why the primal is solved, and how many landmarks there is room for.
pub(super) struct Plan {
    pub(super) landmarks: usize,
    /// Bytes that the exact solver would need.
    pub(super) exact: f64,
}

/// A plan where the exact solver would need more memory than the options allow.
pub(super) fn plan(options: &SvmOptions, rows: usize, questions: &Questions) -> Option<Plan> {
    let members = questions.asked.iter().map(|question| question.members.len()).max();
    // The products, and the kernel matrix of the largest question.
    let exact = pairs(rows) + 4.0 * (members.unwrap_or(0) as f64).powi(2);
    let allowed = options.memory * 1e9;
    if exact <= allowed {
        return None;
    }
    // A value for each row and machine, the goals, and one for each row and landmark.
    let room = allowed / (4.0 * rows as f64) - questions.asked.len() as f64;
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
    pub(super) training: &'a Examples<'a>,
    pub(super) validation: &'a Examples<'a>,
    pub(super) questions: &'a Questions,
    pub(super) options: &'a SvmOptions,
    /// What a gamma of 1 is for rows scaled like these.
    unit_gamma: f64,
    /// Positions of the landmarks among the training rows.
    pub(super) landmarks: &'a [usize],
    /// For each training row and machine: its weight, with the sign of the side that it is on (0
    /// where it has no part), or its goal.
    goals: Vec<f32>,
}

impl<'a> Primal<'a> {
    pub(super) fn new(
        features: &'a Standardiser,
        (training, validation): (&'a Examples<'a>, &'a Examples<'a>),
        questions: &'a Questions,
        (options, unit_gamma): (&'a SvmOptions, f64),
        landmarks: &'a [usize],
    ) -> Self {
        let machines = questions.asked.len();
        let mut goals = vec![0.0; training.len() * machines];
        for (machine, question) in questions.asked.iter().enumerate() {
            let rows = question.members.iter().zip(&question.goals).zip(&question.weights);
            for ((&member, &goal), &weight) in rows {
                goals[member * machines + machine] = goal * weight;
            }
        }
        Self { features, training, validation, questions, options, unit_gamma, landmarks, goals }
    }

    /// The kernel at a gamma.
    pub(super) fn function(&self, gamma: f64) -> KernelFunction {
        KernelFunction::new(self.options, gamma * self.unit_gamma)
    }

    /// Scaled features of examples at some positions.
    fn scaled(&self, examples: &Examples<'_>, positions: &[usize]) -> Vec<f32> {
        let rows = in_order(examples.rows(), positions);
        let width = self.features.width();
        self.features.rows(examples.matrix().plain(), &rows, scale(width))
    }

    /// The machines of a trial.
    pub(super) fn machines(&self, trial: &Trial) -> Machines {
        let (function, width) = (self.function(trial.gamma), self.features.width());
        if self.options.kernel == Kernel::Linear {
            return Machines::linear(function, width, &trial.columns);
        }
        let support =
            |chosen: &[usize]| self.scaled(self.training, &in_order(self.landmarks, chosen));
        Machines::join(function, width, &trial.columns, support)
    }

    /// All machines at every cost of one gamma, in the order of the options' costs.
    pub(super) fn trials(&self, gamma: f64) -> Result<Vec<Trial>, HeadError> {
        let mut view = View::new(self, gamma)?;
        let (n, machines) = (self.training.len(), self.questions.asked.len());
        let costs = &self.options.cost;
        let mut rising: Vec<usize> = (0..costs.len()).collect();
        rising.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let mut trials: Vec<Option<Trial>> = costs.iter().map(|_| None).collect();
        let mut at = vec![0.0; (view.width + 1) * machines];
        for place in rising {
            let penalty = 1.0 / (costs[place] * n as f64);
            let limits = Limits { steps: STEPS, gradient: GRADIENT };
            let found = minimise(at, limits, |at| -> Result<_, HeadError> {
                Ok(view.evaluate(at, penalty))
            })?;
            at = found.at;
            let coefficients = view.coefficients(&at);
            let biases = &at[view.width * machines..];
            let column = |machine: usize| Column {
                coefficients: coefficients
                    .iter()
                    .skip(machine)
                    .step_by(machines)
                    .copied()
                    .collect(),
                bias: biases[machine] as f32,
            };
            let mut trial = Trial {
                cost: costs[place],
                gamma,
                columns: (0..machines).map(column).collect(),
                decisions: Vec::new(),
                unfinished: if found.steps == STEPS { machines } else { 0 },
            };
            let fitted = self.machines(&trial);
            let positions: Vec<usize> = (0..self.validation.len()).collect();
            for chunk in positions.chunks(CHUNK) {
                let values = self.scaled(self.validation, chunk);
                trial.decisions.extend(fitted.decide(&values, chunk.len())?);
            }
            trials[place] = Some(trial);
        }
        Ok(trials.into_iter().flatten().collect())
    }
}

/// The training rows as a linear machine sees them.
struct View<'a> {
    primal: &'a Primal<'a>,
    /// Values of a row: landmarks, or features.
    width: usize,
    /// Kernel values with the landmarks, chunk by chunk; empty for a linear kernel, whose features
    /// are scaled anew each time rather than held twice.
    stored: Vec<Vec<f32>>,
    /// L^-1, where there are landmarks.
    whitening: Option<Vec<f32>>,
    multiplier: Multiplier,
}

impl<'a> View<'a> {
    fn new(primal: &'a Primal<'a>, gamma: f64) -> Result<Self, HeadError> {
        let mut multiplier = multiplier()?;
        if primal.options.kernel == Kernel::Linear {
            let width = primal.features.width();
            return Ok(Self { primal, width, stored: Vec::new(), whitening: None, multiplier });
        }
        let (function, m) = (primal.function(gamma), primal.landmarks.len());
        let values = primal.scaled(primal.training, primal.landmarks);
        let support = Support::new(values.clone(), primal.features.width());
        let mut own = support.similar(&values, function, &mut multiplier);
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
            support.similar(&values, function, &mut multiplier)
        };
        let stored = positions.chunks(CHUNK).map(similar).collect();
        Ok(Self { primal, width: m, stored, whitening, multiplier })
    }

    /// What the values of a row are multiplied by, width x machines, at the weights `at`.
    fn coefficients(&mut self, at: &[f64]) -> Vec<f32> {
        let (width, machines) = (self.width, self.primal.questions.asked.len());
        let weights = at[..width * machines].iter().map(|&value| value as f32).collect();
        let Some(inverse) = &self.whitening else { return weights };
        let mut coefficients = vec![0.0; width * machines];
        self.multiplier.multiply(
            Matrix::new(inverse, width, width).transposed(),
            Matrix::new(&weights, width, machines),
            MatrixMut::new(&mut coefficients, width, machines),
        );
        coefficients
    }

    /// Mean loss plus penalty, and its gradient, at width x machines weights and the biases.
    fn evaluate(&mut self, at: &[f64], penalty: f64) -> (f64, Vec<f64>) {
        let (n, machines) = (self.primal.training.len(), self.primal.questions.asked.len());
        let coefficients = self.coefficients(at);
        let coefficients = Matrix::new(&coefficients, self.width, machines);
        let (weights, biases) = at.split_at(self.width * machines);
        let epsilon = self.primal.questions.asked.first().and_then(|question| question.epsilon);
        let mut loss = 0.0;
        let mut bias_gradient = vec![0.0; machines];
        let mut gradient = vec![0.0; self.width * machines];
        let positions: Vec<usize> = (0..n).collect();
        for (place, chunk) in positions.chunks(CHUNK).enumerate() {
            let scaled;
            let rows = if let Some(rows) = self.stored.get(place) {
                rows
            } else {
                scaled = self.primal.scaled(self.primal.training, chunk);
                &scaled
            };
            let rows = Matrix::new(rows, chunk.len(), self.width);
            let mut slopes = vec![0.0; chunk.len() * machines];
            let to = MatrixMut::new(&mut slopes, chunk.len(), machines);
            self.multiplier.multiply(rows, coefficients, to);
            let goals = &self.primal.goals[chunk[0] * machines..][..slopes.len()];
            for (at, (slope, &goal)) in slopes.iter_mut().zip(goals).enumerate() {
                let decision = f64::from(*slope) + biases[at % machines];
                let (value, derivative) = match epsilon {
                    Some(epsilon) => distance_loss(decision, f64::from(goal), f64::from(epsilon)),
                    None => margin_loss(decision, f64::from(goal)),
                };
                loss += value;
                bias_gradient[at % machines] += derivative;
                *slope = derivative as f32;
            }
            let slopes = Matrix::new(&slopes, chunk.len(), machines);
            let to = MatrixMut::new(&mut gradient, self.width, machines);
            self.multiplier.accumulate(rows.transposed(), slopes, to);
        }
        if let Some(inverse) = &self.whitening {
            let sums = gradient.clone();
            self.multiplier.multiply(
                Matrix::new(inverse, self.width, self.width),
                Matrix::new(&sums, self.width, machines),
                MatrixMut::new(&mut gradient, self.width, machines),
            );
        }
        let lengths: f64 = weights.iter().map(|weight| weight * weight).sum();
        let slopes = gradient.iter().zip(weights);
        let mut gradient: Vec<f64> =
            slopes.map(|(&slope, weight)| f64::from(slope) / n as f64 + penalty * weight).collect();
        gradient.extend(bias_gradient.iter().map(|slope| slope / n as f64));
        (loss / n as f64 + penalty * lengths / 2.0, gradient)
    }
}

/// Squared loss inside the margin, and its derivative; the goal is the row's signed weight.
fn margin_loss(decision: f64, goal: f64) -> (f64, f64) {
    let inside = (1.0 - goal.signum() * decision).max(0.0);
    (goal.abs() * inside * inside, -2.0 * goal * inside)
}

/// Squared loss beyond epsilon from the goal, and its derivative.
fn distance_loss(decision: f64, goal: f64, epsilon: f64) -> (f64, f64) {
    let missed = decision - goal;
    let beyond = (missed.abs() - epsilon).max(0.0);
    (beyond * beyond, 2.0 * beyond * missed.signum())
}
