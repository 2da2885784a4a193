//! Support vector machines through linfa-svm: one class against the rest, and regression.
//!
//! linfa computes a full kernel matrix for every class, one pair of rows after the other, so rows
//! above a budget are left out by a stratified draw. Its `shrinking` gives wrong answers and is
//! never used; its probabilities are fitted on training rows, so ours are fitted apart, on the
//! validation rows; its models cannot be stored, so the support rows are kept here.

mod machine;

use facefold_core::{
    Examples, FeatureMatrix, FittedHead, Head, HeadError, HeadParts, Predictions, TargetKind,
    Targets, TrainingLog,
};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::calibration::Sigmoid;
use crate::features::Standardiser;
use crate::linear::{mean_and_deviation, mismatch, predictions};
use crate::options::{ClassWeights, HeadOptions, require};
use crate::parts::{Reader, Stored, Tensors, json};
use crate::subsample::stratified;
use crate::threads::on_one_thread;
use machine::Machine;

pub(crate) const NAME: &str = "svm";
pub(crate) const LINEAR_NAME: &str = "svm-linear";

/// Multiplications that the kernel matrices of one fit may take: about a minute.
///
/// Measured: eight classes on 1,056 rows of 3,584 features, which is this many, took 70
/// CPU-seconds on one core.
const KERNEL_BUDGET: f64 = 3.2e10;

/// How two rows are compared, after standardising and dividing by the root of their width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// exp(-gamma * squared distance).
    Gaussian,
    /// The inner product.
    Linear,
}

/// Settings of the support vector machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SvmOptions {
    /// What a row inside the margin costs, C.
    pub cost: f64,
    /// Of the Gaussian kernel; 1 is scikit-learn's `gamma='scale'`.
    pub gamma: f64,
    /// For years: errors below this share of their standard deviation cost nothing.
    pub epsilon: f64,
    /// Training rows above this number are left out by a stratified draw. `None`: as many as fit
    /// into about a minute, which at 512 features is 7,900 for two classes and 2,800 for eight.
    pub max_rows: Option<usize>,
}

impl Default for SvmOptions {
    fn default() -> Self {
        Self { cost: 2.0, gamma: 1.0, epsilon: 0.1, max_rows: None }
    }
}

/// A support vector machine to be fitted.
#[derive(Debug)]
pub(crate) struct Svm {
    kernel: Kernel,
    options: SvmOptions,
    class_weights: ClassWeights,
    unit_columns: Option<(usize, usize)>,
}

impl Svm {
    /// Checks the settings.
    pub(crate) fn new(kernel: Kernel, options: &HeadOptions) -> Result<Self, HeadError> {
        let svm = options.svm.clone();
        let positive = |value: f64| value > 0.0 && value.is_finite();
        require(positive(svm.cost), "svm.cost", "above 0", svm.cost)?;
        require(positive(svm.gamma), "svm.gamma", "above 0", svm.gamma)?;
        require(positive(svm.epsilon), "svm.epsilon", "above 0", svm.epsilon)?;
        require(
            svm.max_rows.is_none_or(|rows| rows >= 2),
            "svm.max_rows",
            "at least 2",
            svm.max_rows,
        )?;
        let (class_weights, unit_columns) = (options.class_weights, options.unit_columns);
        Ok(Self { kernel, options: svm, class_weights, unit_columns })
    }

    /// Rows that the kernel matrices can be paid for.
    fn row_limit(&self, width: usize, machines: usize) -> usize {
        self.options.max_rows.unwrap_or_else(|| {
            (KERNEL_BUDGET / (width.max(1) * machines.max(1)) as f64).sqrt() as usize
        })
    }

    fn fit_here(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        let target = training.targets().kind();
        if validation.targets().kind() != target {
            return Err(mismatch(&target, &validation.targets().kind()));
        }
        let features = Standardiser::fit(training, self.unit_columns)?;
        features.check(validation.matrix(), validation.rows())?;
        let (n, width) = (training.len(), features.width());
        let kept = stratified(training.targets(), self.row_limit(width, machines(training)), seed);
        let mut log = TrainingLog { rows_used: kept.len(), ..TrainingLog::default() };
        if kept.len() < n {
            log.notes.push(format!(
                "trained on a stratified subsample of {} of {n} rows, because the cost of \
                 linfa-svm grows with the square of their number",
                kept.len()
            ));
        }
        let rows: Vec<usize> = kept.iter().map(|&position| training.rows()[position]).collect();
        let values = features.rows(training.matrix().plain(), &rows, scale(width));
        let shape = |error: ndarray::ShapeError| HeadError::Shape(error.to_string());
        let samples = Array2::from_shape_vec((rows.len(), width), values).map_err(shape)?;
        let mut years = (0.0, 1.0);
        let machine = match training.targets() {
            Targets::Classes { indices, count } => {
                let indices: Vec<usize> = kept.iter().map(|&position| indices[position]).collect();
                let weights = self.class_weights.weights(&indices, *count);
                let mut columns = vec![None; *count];
                for class in told_classes(&indices, *count) {
                    let positive: Vec<bool> = indices.iter().map(|&index| index == class).collect();
                    let costs = costs(self.options.cost, &indices, &weights, class);
                    columns[class] = Some(machine::classify(&samples, &positive, costs, self)?);
                }
                machine::join(&samples, columns, commonest(&indices, *count), self)
            }
            Targets::Years(all) => {
                years = mean_and_deviation(all);
                let goals: Vec<f32> =
                    kept.iter().map(|&position| (all[position] - years.0) / years.1).collect();
                let column = machine::regress(&samples, &goals, self)?;
                machine::join(&samples, vec![Some(column)], 0, self)
            }
        };
        let settings = FittedSettings { kernel: self.kernel, options: self.options.clone() };
        let stored = Stored { target, unit_columns: self.unit_columns, settings, log };
        let sigmoids = vec![Sigmoid::PLAIN; machine.columns()];
        let mut fitted = Fitted { features, machine, sigmoids, years, stored };
        fitted.calibrate(validation)?;
        Ok(fitted)
    }
}

/// What rows are multiplied by after standardising, so that the kernel does not depend on their
/// width.
fn scale(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

/// Kernel matrices that a fit computes.
fn machines(training: &Examples<'_>) -> usize {
    match training.targets() {
        Targets::Classes { indices, count } => told_classes(indices, *count).len(),
        Targets::Years(_) => 1,
    }
}

/// The classes that get a machine: all with rows, or only the second of two.
fn told_classes(indices: &[usize], count: usize) -> Vec<usize> {
    let present: Vec<usize> = (0..count).filter(|class| indices.contains(class)).collect();
    match present.len() {
        0 | 1 => Vec::new(),
        2 if count == 2 => vec![1],
        _ => present,
    }
}

/// The class with the most rows.
fn commonest(indices: &[usize], count: usize) -> usize {
    let mut rows = vec![0_usize; count];
    for &index in indices {
        rows[index] += 1;
    }
    (0..count).max_by_key(|&class| rows[class]).unwrap_or(0)
}

/// Costs of rows of the class and of the rest, by the mean weight of the classes in it.
fn costs(cost: f64, indices: &[usize], weights: &[f32], class: usize) -> (f64, f64) {
    let (mut rest, mut rows) = (0.0, 0.0);
    for &index in indices.iter().filter(|&&index| index != class) {
        rest += f64::from(weights[index]);
        rows += 1.0;
    }
    (cost * f64::from(weights[class]), cost * rest / f64::max(rows, 1.0))
}

fn name_of(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Gaussian => NAME,
        Kernel::Linear => LINEAR_NAME,
    }
}

impl Head for Svm {
    fn name(&self) -> &str {
        name_of(self.kernel)
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({
            "class_weights": self.class_weights,
            "unit_columns": self.unit_columns,
            "svm": json(&self.options),
        })
    }

    fn fit(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let fitted = on_one_thread(|| self.fit_here(training, validation, seed))?;
        Ok(Box::new(fitted))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FittedSettings {
    kernel: Kernel,
    options: SvmOptions,
}

#[derive(Debug)]
struct Fitted {
    features: Standardiser,
    machine: Machine,
    /// One a column of the machine.
    sigmoids: Vec<Sigmoid>,
    /// Mean and standard deviation of the training years.
    years: (f32, f32),
    stored: Stored<FittedSettings>,
}

impl Fitted {
    /// Fits the sigmoids on the validation rows.
    fn calibrate(&mut self, validation: &Examples<'_>) -> Result<(), HeadError> {
        let Targets::Classes { indices, count } = validation.targets() else { return Ok(()) };
        if validation.is_empty() {
            let note = "no validation rows: probabilities are not calibrated";
            self.stored.log.notes.push(note.to_owned());
            return Ok(());
        }
        let decisions = self.decisions(validation.matrix().plain(), validation.rows())?;
        for class in 0..*count {
            let positive: Vec<bool> = indices.iter().map(|&index| index == class).collect();
            let column: Vec<f64> =
                decisions.column(class).iter().map(|&decision| f64::from(decision)).collect();
            self.sigmoids[class] = Sigmoid::fit(&column, &positive);
        }
        Ok(())
    }

    /// Decisions, rows x columns, of plain rows.
    fn decisions(&self, source: &Array2<f32>, rows: &[usize]) -> Result<Array2<f32>, HeadError> {
        let width = self.features.width();
        let mut all = Vec::with_capacity(rows.len() * self.machine.columns());
        for chunk in rows.chunks(1024) {
            let values = self.features.rows(source, chunk, scale(width));
            all.extend(self.machine.decide(values, chunk.len())?);
        }
        Array2::from_shape_vec((rows.len(), self.machine.columns()), all)
            .map_err(|error| HeadError::Shape(error.to_string()))
    }

    /// Class shares, or years.
    fn answers(&self, source: &Array2<f32>, rows: &[usize]) -> Result<Vec<f32>, HeadError> {
        let decisions = self.decisions(source, rows)?;
        if self.stored.target == TargetKind::Years {
            return Ok(decisions.iter().map(|z| z * self.years.1 + self.years.0).collect());
        }
        let mut answers = Vec::with_capacity(decisions.len());
        for row in decisions.rows() {
            answers.extend(self.shares(&row.to_vec()));
        }
        Ok(answers)
    }

    /// Shares of the classes, summing to 1, from a row of decisions.
    fn shares(&self, decisions: &[f32]) -> Vec<f32> {
        let told = self.machine.told();
        let mut shares: Vec<f64> = (0..decisions.len())
            .map(|class| {
                let share = self.sigmoids[class].of(f64::from(decisions[class]));
                if told[class] { share } else { 0.0 }
            })
            .collect();
        if decisions.len() == 2 && told[1] && !told[0] {
            shares[0] = 1.0 - shares[1];
        }
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 {
            return shares.iter().map(|share| (share / sum) as f32).collect();
        }
        // No machine speaks for a class: only one had rows, or every share rounded to 0.
        let fallback = self.machine.fallback();
        (0..decisions.len()).map(|class| f32::from(u8::from(class == fallback))).collect()
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        self.features.check(matrix, rows)?;
        let answers = on_one_thread(|| {
            let mut answers = self.answers(matrix.plain(), rows)?;
            if let Some(mirrored) = matrix.mirrored() {
                for (answer, other) in answers.iter_mut().zip(self.answers(mirrored, rows)?) {
                    *answer = f32::midpoint(*answer, other);
                }
            }
            Ok(answers)
        })?;
        predictions(self.stored.target, answers)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn parts(&self) -> HeadParts {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        self.machine.store(&mut tensors);
        let sigmoids = Array2::from_shape_fn((self.sigmoids.len(), 2), |(class, part)| {
            let Sigmoid { a, b } = self.sigmoids[class];
            if part == 0 { a as f32 } else { b as f32 }
        });
        tensors.insert("sigmoids".to_owned(), sigmoids.into_dyn());
        let years = Array1::from(vec![self.years.0, self.years.1]);
        tensors.insert("years".to_owned(), years.into_dyn());
        self.stored.parts(name_of(self.stored.settings.kernel), tensors)
    }
}

/// Makes the head from its stored parts.
pub(crate) fn restore(parts: &HeadParts) -> Result<Box<dyn FittedHead>, HeadError> {
    let reader = Reader(parts);
    let stored: Stored<FittedSettings> = reader.stored()?;
    let columns = match stored.target {
        TargetKind::Years => 1,
        TargetKind::Classes { count } => count,
    };
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let FittedSettings { kernel, options } = &stored.settings;
    let machine = Machine::restore(&reader, *kernel, options.gamma, features.width(), columns)?;
    let sigmoids = reader.matrix("sigmoids", (Some(columns), Some(2)))?;
    let sigmoids = sigmoids
        .rows()
        .into_iter()
        .map(|row| Sigmoid { a: f64::from(row[0]), b: f64::from(row[1]) })
        .collect();
    let years = reader.vector("years", Some(2))?;
    Ok(Box::new(Fitted { features, machine, sigmoids, years: (years[0], years[1]), stored }))
}
