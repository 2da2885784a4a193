//! The linear head: logistic regression for classes, ridge regression for ages.

mod export;
mod products;

use std::ops::Range;

use facefold_core::{FeatureDataset, HeadError, TargetKind, Targets, TrainingLog};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::estimator::{Algorithm, Estimator, Model};
use crate::features::Standardiser;
use crate::lbfgs::{Limits, Minimum};
use crate::loss::{self, Loss, WeightedTarget, softmax};
use crate::options::{ClassWeights, HeadOptions, require};
use crate::state_dict::{Reader, Tensors, json};
use crate::subsample::stratified;
use crate::surrogate::{minimise, minimise_with_subsample};
use crate::svm::Scaling;
use crate::years;

pub(crate) use export::export;
use products::{add_gradients, block_rows, multiply};

pub(crate) const NAME: &str = "linear";

/// Settings of the linear head.
///
/// The objective is mean loss + penalty / 2 * squared length of the weights, over standardised
/// features: cross-entropy for classes, half the squared error of standardised years.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearOptions {
    /// Penalties to try, each > 0; the best on the validation rows is kept (the first, where
    /// there are none).
    pub l2_penalties: Vec<f64>,
    /// At most so many L-BFGS steps for each penalty.
    pub max_iter: usize,
    /// Gigabytes that the standardised training rows may take. More of them are read from the store, and
    /// standardised, in each step.
    pub memory_gb: f64,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self { l2_penalties: vec![0.1, 0.01, 0.001], max_iter: 150, memory_gb: 4.0 }
    }
}

/// Training rows of the stratified subsample that is fitted first, where there are more than twice as
/// many.
const SUBSAMPLE: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Linear {
    options: LinearOptions,
    class_weights: ClassWeights,
}

impl Linear {
    /// The head with these settings, which are checked.
    pub(crate) fn head(options: &HeadOptions) -> Result<Estimator<Self>, HeadError> {
        let linear = options.linear.clone();
        let positive = |penalty: &f64| *penalty > 0.0 && penalty.is_finite();
        let ok = !linear.l2_penalties.is_empty() && linear.l2_penalties.iter().all(positive);
        require(ok, "linear.l2_penalties", "a list of numbers above 0", &linear.l2_penalties)?;
        require(linear.max_iter > 0, "linear.max_iter", "at least 1", linear.max_iter)?;
        let memory = linear.memory_gb;
        let positive = memory > 0.0 && memory.is_finite();
        require(positive, "linear.memory_gb", "above 0 gigabytes", memory)?;
        Ok(Estimator {
            name: NAME,
            settings: serde_json::json!({
                "class_weights": options.class_weights,
                "unit_columns": options.unit_columns,
                "linear": json(&linear),
            }),
            scaling: Scaling::Standard,
            unit_columns: options.unit_columns,
            algorithm: Self { options: linear, class_weights: options.class_weights },
        })
    }
}

impl Algorithm for Linear {
    type Model = LinearModel;

    fn fit(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<(LinearModel, TrainingLog), HeadError> {
        let whole = self.problem(features, training);
        let subsample =
            (training.len() > 2 * SUBSAMPLE).then(|| subsample(training, seed)).transpose()?;
        let subsample = subsample.as_ref().map(|training| self.problem(features, training));
        let mut at = whole.origin();
        let mut best: Option<(f64, f64, LinearModel)> = None;
        let mut notes = Vec::new();
        // From the strongest penalty down, each start is near its end.
        let mut penalties = self.options.l2_penalties.clone();
        penalties.sort_by(|a, b| b.total_cmp(a));
        if validation.is_empty() {
            penalties = vec![self.options.l2_penalties[0]];
        }
        let max_iter = self.options.max_iter;
        for &penalty in &penalties {
            let found = whole.minimise(subsample.as_ref(), at, penalty, max_iter);
            at = found.at;
            if subsample.is_some() {
                notes.push(format!(
                    "penalty {penalty}: {} passes over the rows, with the help of a stratified subsample of {SUBSAMPLE}",
                    found.evaluations
                ));
            }
            if found.steps == max_iter {
                notes.push(format!(
                    "penalty {penalty}: stopped after {} steps, before the gradient vanished",
                    found.steps
                ));
            }
            let model = LinearModel::new(&at, &whole.objective);
            let error = if validation.is_empty() { 0.0 } else { model.error(features, validation) };
            if best.as_ref().is_none_or(|(lowest, ..)| error < *lowest) {
                best = Some((error, penalty, model));
            }
        }
        let (_, penalty, model) = best
            .ok_or_else(|| HeadError::Untrainable("the weights did not stay finite".to_owned()))?;
        let why = if validation.is_empty() { "given" } else { "best on the validation rows" };
        notes.insert(0, format!("penalty {penalty}, {why}"));
        Ok((model, TrainingLog { rows_used: training.len(), notes, ..TrainingLog::default() }))
    }
}

/// A stratified subsample of the training rows.
fn subsample<'a>(
    training: &FeatureDataset<'a>,
    seed: u64,
) -> Result<FeatureDataset<'a>, HeadError> {
    let chosen = stratified(training.targets(), SUBSAMPLE, seed);
    let rows = chosen.iter().map(|&position| training.rows()[position]).collect();
    FeatureDataset::new(training.matrix(), rows, training.targets().select(&chosen))
}

impl Linear {
    /// What is minimised on some training rows.
    fn problem<'a>(
        &self,
        features: &'a Standardiser,
        training: &'a FeatureDataset<'_>,
    ) -> Problem<'a> {
        Problem {
            objective: Objective::new(training.targets(), self.class_weights),
            rows: Rows::new(features, training, self.options.memory_gb * 1e9),
        }
    }
}

/// Rows and what is minimised on them.
struct Problem<'a> {
    objective: Objective,
    rows: Rows<'a>,
}

impl Problem<'_> {
    /// Weights and biases of zero.
    fn origin(&self) -> Vec<f64> {
        vec![0.0; (self.rows.features.width() + 1) * self.objective.outputs()]
    }

    /// The weights and biases of least mean loss plus penalty; with a subsample of the rows in fewer passes.
    fn minimise(
        &self,
        subsample: Option<&Self>,
        start: Vec<f64>,
        penalty: f64,
        max_iter: usize,
    ) -> Minimum {
        let limits = Limits { steps: max_iter, gradient: 1e-5 };
        let whole = |at: &[f64]| self.evaluate(at, penalty);
        match subsample {
            Some(subsample) => {
                minimise_with_subsample(start, limits, whole, |at| subsample.evaluate(at, penalty))
            }
            None => minimise(start, limits, whole),
        }
    }

    /// Mean loss plus penalty, and its gradient.
    fn evaluate(&self, at: &[f64], penalty: f64) -> (f64, Vec<f64>) {
        let outputs = self.objective.outputs();
        let weights = self.rows.features.width() * outputs;
        let (value, mut gradient) = self.rows.evaluate(at, outputs, &self.objective);
        let mut length = 0.0;
        for (gradient, &weight) in gradient[..weights].iter_mut().zip(at) {
            *gradient += penalty * weight;
            length += weight * weight;
        }
        (value + penalty * length / 2.0, gradient)
    }
}

/// Targets and loss of the objective.
enum Objective {
    /// `total` is the sum of all rows' weights.
    Classes {
        soft: Vec<f32>,
        count: usize,
        total: f64,
    },
    Regression {
        standardised: Vec<WeightedTarget>,
        mean: f32,
        deviation: f32,
    },
}

impl Objective {
    fn new(targets: &Targets, class_weights: ClassWeights) -> Self {
        match targets {
            Targets::Classes { indices, count } => {
                let weights = class_weights.weights(indices, *count);
                let mut soft = vec![0.0; indices.len() * count];
                for (row, &index) in indices.iter().enumerate() {
                    soft[row * count + index] = weights[index];
                }
                let total = weight(&soft).max(f64::MIN_POSITIVE);
                Self::Classes { soft, count: *count, total }
            }
            Targets::Regression(ages) => {
                let years = years::midpoints(ages);
                let (mean, deviation) = mean_and_deviation(&years);
                let standardised = years.iter().map(|year| (year - mean) / deviation);
                let standardised = standardised.map(WeightedTarget::certain).collect();
                Self::Regression { standardised, mean, deviation }
            }
        }
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Classes { count, .. } => *count,
            Self::Regression { .. } => 1,
        }
    }

    /// The contribution of some rows to the mean loss, and its gradient with respect to their
    /// outputs.
    fn loss(&self, outputs: &[f32], rows: Range<usize>) -> Loss {
        let (mut loss, share) = match self {
            Self::Classes { soft, count, total } => {
                let of_rows = &soft[rows.start * count..rows.end * count];
                let share = weight(of_rows) / total;
                (loss::cross_entropy(outputs, of_rows, *count), share)
            }
            Self::Regression { standardised, .. } => {
                let share = rows.len() as f64 / standardised.len() as f64;
                (loss::squared(outputs, (&standardised[rows], &[])), share)
            }
        };
        loss.value *= share;
        loss.gradient.iter_mut().for_each(|gradient| *gradient *= share as f32);
        loss
    }
}

/// The sum of rows' weights.
fn weight(soft: &[f32]) -> f64 {
    soft.iter().map(|&q| f64::from(q)).sum()
}

/// Mean and standard deviation of years; the deviation is at least 1.
pub(crate) fn mean_and_deviation(years: &[f32]) -> (f32, f32) {
    let n = years.len().max(1) as f64;
    let mean = years.iter().map(|&year| f64::from(year)).sum::<f64>() / n;
    let squares = years.iter().map(|&year| (f64::from(year) - mean).powi(2)).sum::<f64>();
    (mean as f32, (squares / n).sqrt().max(1.0) as f32)
}

/// The standardised training rows, n x d.
struct Rows<'a> {
    features: &'a Standardiser,
    training: &'a FeatureDataset<'a>,
    /// All of them, where they fit into memory.
    stored: Option<Vec<f32>>,
}

/// Rows whose gradients are added up in f32 before they join the sum in f64.
const SUMMED_ROWS: usize = 256;

impl<'a> Rows<'a> {
    fn new(features: &'a Standardiser, training: &'a FeatureDataset<'_>, memory: f64) -> Self {
        let bytes = (training.len() * features.width() * size_of::<f32>()) as f64;
        let all = || features.rows(training.matrix().plain(), training.rows(), 1.0);
        Self { features, training, stored: (bytes <= memory).then(all) }
    }

    /// Mean loss and its gradient at `at`: d x outputs weights, then the biases. Each row is read
    /// from memory once.
    fn evaluate(&self, at: &[f64], outputs: usize, objective: &Objective) -> (f64, Vec<f64>) {
        let width = self.features.width();
        let (weights, biases) = at.split_at(width * outputs);
        let weights = transposed(weights, outputs, |&weight| weight as f32);
        let (mut value, mut gradient) = (0.0, vec![0.0; at.len()]);
        let (gradient_of_weights, gradient_of_biases) = gradient.split_at_mut(width * outputs);
        let mut sums = vec![0.0_f32; width * outputs];
        let mut first = 0;
        let mut read = Vec::new();
        for chunk in self.training.rows().chunks(SUMMED_ROWS) {
            let rows = if let Some(stored) = &self.stored {
                &stored[first * width..][..chunk.len() * width]
            } else {
                let source = self.training.matrix().plain();
                self.features.write_rows(source, chunk, 1.0, &mut read);
                &read
            };
            for block in rows.chunks(block_rows(width) * width) {
                let end = first + block.len() / width;
                let mut scores = multiply(block, &weights, width);
                for row in scores.chunks_exact_mut(outputs) {
                    row.iter_mut().zip(biases).for_each(|(z, &bias)| *z += bias as f32);
                }
                let loss = objective.loss(&scores, first..end);
                value += loss.value;
                for row in loss.gradient.chunks_exact(outputs) {
                    for (sum, &gradient) in gradient_of_biases.iter_mut().zip(row) {
                        *sum += f64::from(gradient);
                    }
                }
                add_gradients(block, &loss.gradient, width, &mut sums);
                first = end;
            }
            for (output, sums) in sums.chunks_exact_mut(width).enumerate() {
                let of_output = gradient_of_weights[output..].iter_mut().step_by(outputs);
                of_output.zip(&*sums).for_each(|(total, &sum)| *total += f64::from(sum));
                sums.fill(0.0);
            }
        }
        (value, gradient)
    }
}

/// Weights that lie d x outputs, as outputs x d.
fn transposed<T>(weights: &[T], outputs: usize, convert: impl Fn(&T) -> f32) -> Vec<f32> {
    let line = |output: usize| weights[output..].iter().step_by(outputs);
    (0..outputs).flat_map(|output| line(output).map(&convert)).collect()
}

#[derive(Debug)]
pub(crate) struct LinearModel {
    /// outputs x d.
    weights: Vec<f32>,
    biases: Vec<f32>,
    /// Mean and standard deviation of the training years.
    years: (f32, f32),
}

impl LinearModel {
    fn new(at: &[f64], objective: &Objective) -> Self {
        let (weights, biases) = at.split_at(at.len() - objective.outputs());
        let years = match objective {
            Objective::Regression { mean, deviation, .. } => (*mean, *deviation),
            Objective::Classes { .. } => (0.0, 1.0),
        };
        Self {
            weights: transposed(weights, objective.outputs(), |&weight| weight as f32),
            biases: biases.iter().map(|&bias| bias as f32).collect(),
            years,
        }
    }

    /// Mean cross-entropy, or mean absolute error in years, of the rows of a dataset.
    fn error(&self, features: &Standardiser, dataset: &FeatureDataset<'_>) -> f64 {
        let chunks = features.chunks(dataset.matrix().plain(), dataset.rows());
        let outputs: Vec<f32> = chunks.flat_map(|rows| self.outputs(&rows)).collect();
        match dataset.targets() {
            Targets::Classes { indices, count } => {
                let mut soft = vec![0.0; indices.len() * count];
                for (row, &index) in indices.iter().enumerate() {
                    soft[row * count + index] = 1.0;
                }
                loss::cross_entropy(&outputs, &soft, *count).value
            }
            Targets::Regression(ages) => years::error(&self.ages(outputs), ages),
        }
    }

    fn width(&self) -> usize {
        self.weights.len() / self.biases.len()
    }

    /// The weights, d x outputs.
    fn columns(&self) -> Array2<f32> {
        let (width, outputs) = (self.width(), self.biases.len());
        Array2::from_shape_fn((width, outputs), |(column, output)| {
            self.weights[output * width + column]
        })
    }

    /// Raw outputs, row by row.
    fn outputs(&self, rows: &[f32]) -> Vec<f32> {
        let products = multiply(rows, &self.weights, self.width());
        products.iter().zip(self.biases.iter().cycle()).map(|(z, b)| z + b).collect()
    }

    fn ages(&self, mut outputs: Vec<f32>) -> Vec<f32> {
        for z in &mut outputs {
            *z = *z * self.years.1 + self.years.0;
        }
        outputs
    }
}

impl Model for LinearModel {
    type Settings = ();

    fn predict(&self, target: TargetKind, rows: Vec<f32>) -> Result<Vec<f32>, HeadError> {
        let outputs = self.outputs(&rows);
        let TargetKind::Classes { count } = target else { return Ok(self.ages(outputs)) };
        let mut probabilities = vec![0.0; outputs.len()];
        for (z, out) in outputs.chunks(count).zip(probabilities.chunks_mut(count)) {
            softmax(z, out);
        }
        Ok(probabilities)
    }

    fn settings(&self) -> &() {
        &()
    }

    fn store(&self, tensors: &mut Tensors) {
        tensors.insert("weights".to_owned(), self.columns().into_dyn());
        tensors.insert("biases".to_owned(), Array1::from(self.biases.clone()).into_dyn());
        let years = Array1::from(vec![self.years.0, self.years.1]);
        tensors.insert("years".to_owned(), years.into_dyn());
    }

    fn restore(
        reader: &Reader<'_>,
        target: TargetKind,
        (): (),
        width: usize,
    ) -> Result<Self, HeadError> {
        let outputs = match target {
            TargetKind::Regression => 1,
            TargetKind::Classes { count } => count,
        };
        let weights = reader.matrix("weights", (Some(width), Some(outputs)))?;
        let biases = reader.vector("biases", Some(outputs))?;
        let years = reader.vector("years", Some(2))?;
        let weights = weights.t().iter().copied().collect();
        Ok(Self { weights, biases, years: (years[0], years[1]) })
    }
}
