//! Support vector machines: an exact SMO solver that computes the Gram matrix once for all classes
//! and hyper-parameters, an approximate primal solver, and linfa-svm as the reference.

mod calibrate;
mod choose;
mod classifiers;
mod coupling;
mod exact;
mod export;
mod fitted;
mod gram;
mod kernel;
mod lanes;
mod linfa;
mod options;
mod primal;
mod solver;
mod subproblems;
mod whiten;

use std::sync::{Arc, Mutex, PoisonError};

use facefold_core::{FeatureDataset, HeadError, MatrixIdentity, Targets, TrainingLog};
use ndarray::Array2;

use crate::calibration::Sigmoid;
use crate::estimator::{Algorithm, Estimator};
use crate::features::Standardiser;
use crate::options::{ClassWeights, HeadOptions};
use crate::state_dict::json;
use crate::subsample::stratified;
use calibrate::calibrate;
use choose::choose;
use classifiers::BinaryClassifiers;
use exact::{Exact, in_order};
use fitted::{FittedSettings, scale};
use gram::Gram;
use primal::{Plan, Primal};
use subproblems::{Subproblem, Subproblems};

pub(crate) use export::export;
pub(crate) use fitted::SvmModel;
pub use options::{Kernel, MultiClass, Scaling, SvmOptions};

pub(crate) const NAME: &str = "svm";
pub(crate) const LINEAR_NAME: &str = "svm-linear";
pub(crate) const REFERENCE_NAME: &str = "svm-linfa";

/// A support vector machine to be fitted.
#[derive(Debug)]
pub(crate) struct Svm {
    name: &'static str,
    options: SvmOptions,
    class_weights: ClassWeights,
    /// The products of all rows of the matrix fitted on last, where rows are scaled in the same way
    /// in every fold.
    shared: Mutex<Option<(MatrixIdentity, Arc<Gram>)>>,
}

impl Svm {
    /// The head of this name with these settings, which are checked.
    pub(crate) fn head(
        name: &'static str,
        options: &HeadOptions,
    ) -> Result<Estimator<Self>, HeadError> {
        let mut svm = options.svm.clone();
        svm.check()?;
        if name == LINEAR_NAME {
            svm.kernel = Kernel::Linear;
        }
        if svm.kernel == Kernel::Linear {
            svm.gamma.truncate(1);
        }
        if name == REFERENCE_NAME {
            svm.multi_class = MultiClass::OneVsRest;
            svm.scaling = Scaling::Standard;
            svm.c.truncate(1);
            svm.gamma.truncate(1);
        }
        Ok(Estimator {
            name,
            settings: serde_json::json!({
                "class_weights": options.class_weights,
                "unit_columns": options.unit_columns,
                "svm": json(&svm),
            }),
            scaling: svm.scaling,
            unit_columns: options.unit_columns,
            algorithm: Self {
                name,
                options: svm,
                class_weights: options.class_weights,
                shared: Mutex::default(),
            },
        })
    }

    fn subproblems(&self, targets: &Targets) -> Result<Subproblems, HeadError> {
        Subproblems::new(
            targets,
            self.options.multi_class,
            self.class_weights,
            self.options.epsilon,
        )
    }

    /// The model of some classifiers, not calibrated yet.
    fn model(
        &self,
        classifiers: BinaryClassifiers,
        subproblems: &Subproblems,
        training: &Targets,
        (cost, gamma): (f64, f64),
    ) -> SvmModel {
        SvmModel {
            classifiers,
            class_pairs: subproblems.class_pairs.clone(),
            sigmoids: vec![Sigmoid::UNCALIBRATED; subproblems.class_pairs.len()],
            class_rows: class_rows(training),
            years: subproblems.years,
            settings: FittedSettings {
                kernel: self.options.kernel,
                cost,
                gamma,
                degree: self.options.degree,
                multi_class: self.options.multi_class,
            },
        }
    }

    /// The products of the rows, and where the validation rows and the training rows are among
    /// them.
    fn products(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
    ) -> Result<(Arc<Gram>, [Vec<usize>; 2]), HeadError> {
        let (matrix, width) = (training.matrix(), features.width());
        let identity = matrix.identity();
        if self.options.scaling == Scaling::Unit
            && validation.matrix().identity() == identity
            && primal::pairs(matrix.rows()) <= self.options.memory_gb * 1e9
        {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let gram = match &*shared {
                Some((known, gram)) if *known == identity => Arc::clone(gram),
                _ => {
                    let all: Vec<usize> = (0..matrix.rows()).collect();
                    Arc::new(Gram::new(scaled(features, training, &all), width)?)
                }
            };
            *shared = Some((identity, Arc::clone(&gram)));
            return Ok((gram, [validation.rows().to_vec(), training.rows().to_vec()]));
        }
        // Validation rows first, then the training rows class by class: what is read together lies
        // together.
        let mut order: Vec<usize> = (0..training.len()).collect();
        if let Targets::Classes { indices, .. } = training.targets() {
            order.sort_by_key(|&position| indices[position]);
        }
        let mut training_rows = vec![0; training.len()];
        for (at, &position) in order.iter().enumerate() {
            training_rows[position] = validation.len() + at;
        }
        let mut values = scaled(features, validation, validation.rows());
        values.extend(scaled(features, training, &in_order(training.rows(), &order)));
        let gram = Gram::new(values, width)?;
        Ok((Arc::new(gram), [(0..validation.len()).collect(), training_rows]))
    }

    /// What a gamma of 1 is: as for standardised features, 1 over the mean squared distance of the
    /// training rows from their mean.
    fn unit_gamma(&self, features: &Standardiser, training: &FeatureDataset<'_>) -> f64 {
        if self.options.scaling == Scaling::Standard {
            return 1.0;
        }
        let (mut squares, mut sum) = (0.0, vec![0.0; features.width()]);
        let n = training.len() as f64;
        for rows in training.rows().chunks(1024) {
            for row in scaled(features, training, rows).chunks_exact(sum.len()) {
                for (sum, &value) in sum.iter_mut().zip(row) {
                    *sum += f64::from(value);
                    squares += f64::from(value).powi(2);
                }
            }
        }
        let variance = squares / n - sum.iter().map(|sum| (sum / n).powi(2)).sum::<f64>();
        if variance > 1e-9 { 1.0 / variance } else { 1.0 }
    }

    fn fit_exactly(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        (subproblems, options, seed): (&Subproblems, &SvmOptions, u64),
    ) -> Result<(SvmModel, TrainingLog), HeadError> {
        let unit_gamma = self.unit_gamma(features, training);
        let (gram, [validation_rows, training_rows]) =
            self.products(features, training, validation)?;
        let subjects = training.subjects();
        let exact = Exact {
            products: gram.products()?,
            training: &training_rows,
            subjects: &subjects,
            validation: &validation_rows,
            subproblems,
            options,
            unit_gamma,
        };
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let trials = |gamma| exact.trials(gamma);
        let trial = choose(options, subproblems, trials, validation.targets(), &mut log)?;
        let (function, width) = (exact.function(trial.gamma), features.width());
        let support =
            |chosen: &[usize]| scaled(features, training, &in_order(training.rows(), chosen));
        let classifiers = BinaryClassifiers::join(function, width, &trial.duals, support);
        let chosen = (trial.cost, f64::from(function.gamma));
        let mut model = self.model(classifiers, subproblems, training.targets(), chosen);
        let held_out = |subproblem: &Subproblem| exact.held_out(subproblem, &trial, seed);
        let decisions = (trial.decisions.as_slice(), validation);
        calibrate(&mut model, subproblems, decisions, Some(&held_out), &mut log.notes);
        Ok((model, log))
    }

    fn fit_primal(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        (subproblems, options, plan, seed): (&Subproblems, &SvmOptions, &Plan, u64),
    ) -> Result<(SvmModel, TrainingLog), HeadError> {
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let landmarks = stratified(training.targets(), plan.landmarks, seed);
        let on = match self.options.kernel {
            Kernel::Linear => "the features".to_owned(),
            Kernel::Gaussian | Kernel::Polynomial => format!("{} landmarks", landmarks.len()),
        };
        log.notes.push(format!(
            "approximate: solved in the primal with a squared loss on {on}, because the products \
             of all pairs of {} rows need {:.3} GB, and svm.memory_gb allows {}",
            training.len() + validation.len(),
            plan.exact / 1e9,
            self.options.memory_gb
        ));
        let datasets = (training, validation);
        let settings = (options, self.unit_gamma(features, training));
        let landmarks = (landmarks.as_slice(), seed);
        let primal = Primal::new(features, datasets, subproblems, settings, landmarks);
        let trials = |gamma| primal.trials(gamma);
        let trial = choose(options, subproblems, trials, validation.targets(), &mut log)?;
        let chosen = (trial.cost, f64::from(primal.function(trial.gamma).gamma));
        let classifiers = primal.classifiers(&trial);
        drop(primal);
        let mut model = self.model(classifiers, subproblems, training.targets(), chosen);
        let decisions = (trial.decisions.as_slice(), validation);
        calibrate(&mut model, subproblems, decisions, None, &mut log.notes);
        Ok((model, log))
    }

    fn fit_reference(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<(SvmModel, TrainingLog), HeadError> {
        let (n, width) = (training.len(), features.width());
        let problems = self.subproblems(training.targets())?.problems.len();
        let limit = linfa::row_limit(&self.options, width, problems);
        let kept = stratified(training.targets(), limit, seed);
        let mut log = TrainingLog { rows_used: kept.len(), ..TrainingLog::default() };
        if kept.len() < n {
            log.notes.push(format!(
                "trained on a stratified subsample of {} of {n} rows, because the cost of \
                 linfa-svm grows with the square of their number",
                kept.len()
            ));
        }
        let rows = in_order(training.rows(), &kept);
        let targets = training.targets().select(&kept);
        let subproblems = self.subproblems(&targets)?;
        let values = features.rows(training.matrix().plain(), &rows, scale(width));
        let samples = values.iter().map(|&value| f64::from(value)).collect();
        let samples = Array2::from_shape_vec((rows.len(), width), samples)
            .map_err(|error| HeadError::Shape(error.to_string()))?;
        let duals = subproblems
            .problems
            .iter()
            .map(|subproblem| linfa::fit(&samples, subproblem, &self.options))
            .collect::<Result<Vec<_>, _>>()?;
        let chosen = (self.options.c[0], self.options.gamma[0]);
        let function = kernel::KernelFunction::new(&self.options, chosen.1);
        let support = |chosen: &[usize]| {
            features.rows(training.matrix().plain(), &in_order(&rows, chosen), scale(width))
        };
        let classifiers = BinaryClassifiers::join(function, width, &duals, support);
        let mut model = self.model(classifiers, &subproblems, &targets, chosen);
        let mut decisions = Vec::new();
        for rows in features.chunks(validation.matrix().plain(), validation.rows()) {
            decisions.extend(model.decisions(rows)?);
        }
        let decisions = (decisions.as_slice(), validation);
        calibrate(&mut model, &subproblems, decisions, None, &mut log.notes);
        Ok((model, log))
    }
}

/// Scaled features of rows of a dataset's matrix.
fn scaled(features: &Standardiser, dataset: &FeatureDataset<'_>, rows: &[usize]) -> Vec<f32> {
    features.rows(dataset.matrix().plain(), rows, scale(features.width()))
}

/// Number of rows of each class; empty for years.
fn class_rows(targets: &Targets) -> Vec<f32> {
    match targets {
        Targets::Regression(_) => Vec::new(),
        Targets::Classes { indices, count } => {
            let mut rows = vec![0.0; *count];
            for &class in indices {
                rows[class] += 1.0;
            }
            rows
        }
    }
}

impl Algorithm for Svm {
    type Model = SvmModel;

    fn fit(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<(SvmModel, TrainingLog), HeadError> {
        if self.name == REFERENCE_NAME {
            return self.fit_reference(features, training, validation, seed);
        }
        let subproblems = self.subproblems(training.targets())?;
        let rows = training.len() + validation.len();
        // Without validation rows nothing chooses: the first of each list is taken.
        let mut options = self.options.clone();
        if validation.is_empty() {
            options.c.truncate(1);
            options.gamma.truncate(1);
        }
        match primal::plan(&options, rows, &subproblems) {
            None => {
                self.fit_exactly(features, training, validation, (&subproblems, &options, seed))
            }
            Some(plan) => {
                let how = (&subproblems, &options, &plan, seed);
                self.fit_primal(features, training, validation, how)
            }
        }
    }
}

#[cfg(test)]
mod tests;
