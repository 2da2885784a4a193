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

use facefold_core::{
    FeatureDataset, FittedHead, Head, HeadError, MatrixIdentity, Targets, TrainingLog,
};
use ndarray::Array2;

use crate::calibration::Sigmoid;
use crate::features::Standardiser;
use crate::linear::mismatch;
use crate::options::{ClassWeights, HeadOptions};
use crate::state_dict::{Stored, json};
use crate::subsample::stratified;
use crate::threads::on_one_thread;
use crate::years;
use calibrate::calibrate;
use choose::choose;
use classifiers::BinaryClassifiers;
use exact::{Exact, in_order};
use fitted::{Fitted, FittedSettings, scale};
use gram::Gram;
use primal::{Plan, Primal};
use subproblems::{Subproblem, Subproblems};

pub(crate) use export::export;
pub(crate) use fitted::restore;
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
    unit_columns: Option<(usize, usize)>,
    /// The products of all rows of the matrix fitted on last, where rows are scaled in the same way
    /// in every fold.
    shared: Mutex<Option<(MatrixIdentity, Arc<Gram>)>>,
}

impl Svm {
    /// Checks the settings of the classifier of this name.
    pub(crate) fn new(name: &'static str, options: &HeadOptions) -> Result<Self, HeadError> {
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
        let (class_weights, unit_columns) = (options.class_weights, options.unit_columns);
        let shared = Mutex::default();
        Ok(Self { name, options: svm, class_weights, unit_columns, shared })
    }

    fn fit_here(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        let target = training.targets().kind();
        if validation.targets().kind() != target {
            return Err(mismatch(&target, &validation.targets().kind()));
        }
        let features = match self.options.scaling {
            Scaling::Standard => Standardiser::fit(training, self.unit_columns)?,
            Scaling::Unit => Standardiser::unit(training, self.unit_columns)?,
        };
        features.check(validation.matrix(), validation.rows())?;
        if self.name == REFERENCE_NAME {
            self.fit_reference(features, training, validation, seed)
        } else {
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

    fn subproblems(&self, targets: &Targets) -> Result<Subproblems, HeadError> {
        Subproblems::new(
            targets,
            self.options.multi_class,
            self.class_weights,
            self.options.epsilon,
        )
    }

    /// The head of some classifiers, not calibrated yet.
    fn head(
        &self,
        features: Standardiser,
        classifiers: BinaryClassifiers,
        subproblems: &Subproblems,
        (training, log): (&Targets, TrainingLog),
        (cost, gamma): (f64, f64),
    ) -> Fitted {
        let settings = FittedSettings {
            kernel: self.options.kernel,
            cost,
            gamma,
            degree: self.options.degree,
            multi_class: self.options.multi_class,
        };
        let (target, unit_columns) = (training.kind(), features.unit_columns());
        Fitted {
            name: self.name.to_owned(),
            features,
            classifiers,
            class_pairs: subproblems.class_pairs.clone(),
            sigmoids: vec![Sigmoid::UNCALIBRATED; subproblems.class_pairs.len()],
            class_rows: class_rows(training),
            years: subproblems.years,
            stored: Stored { target, unit_columns, settings, log },
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
        features: Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        (subproblems, options, seed): (&Subproblems, &SvmOptions, u64),
    ) -> Result<Fitted, HeadError> {
        let unit_gamma = self.unit_gamma(&features, training);
        let (gram, [validation_rows, training_rows]) =
            self.products(&features, training, validation)?;
        let exact = Exact {
            products: gram.products()?,
            training: &training_rows,
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
            |chosen: &[usize]| scaled(&features, training, &in_order(training.rows(), chosen));
        let classifiers = BinaryClassifiers::join(function, width, &trial.duals, support);
        let chosen = (trial.cost, f64::from(function.gamma));
        let mut head =
            self.head(features, classifiers, subproblems, (training.targets(), log), chosen);
        let held_out = |subproblem: &Subproblem| exact.held_out(subproblem, &trial, seed);
        calibrate(
            &mut head,
            subproblems,
            (&trial.decisions, validation.targets()),
            Some(&held_out),
        );
        Ok(head)
    }

    fn fit_primal(
        &self,
        features: Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        (subproblems, options, plan, seed): (&Subproblems, &SvmOptions, &Plan, u64),
    ) -> Result<Fitted, HeadError> {
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
        let settings = (options, self.unit_gamma(&features, training));
        let primal = Primal::new(&features, datasets, subproblems, settings, &landmarks);
        let trials = |gamma| primal.trials(gamma);
        let trial = choose(options, subproblems, trials, validation.targets(), &mut log)?;
        let chosen = (trial.cost, f64::from(primal.function(trial.gamma).gamma));
        let classifiers = primal.classifiers(&trial);
        drop(primal);
        let mut head =
            self.head(features, classifiers, subproblems, (training.targets(), log), chosen);
        calibrate(&mut head, subproblems, (&trial.decisions, validation.targets()), None);
        Ok(head)
    }

    fn fit_reference(
        &self,
        features: Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
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
        let mut head = self.head(features, classifiers, &subproblems, (&targets, log), chosen);
        let decisions = head.decisions(validation.matrix().plain(), validation.rows())?;
        calibrate(&mut head, &subproblems, (&decisions, validation.targets()), None);
        Ok(head)
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

impl Head for Svm {
    fn name(&self) -> &str {
        self.name
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
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let mut fitted = on_one_thread(|| self.fit_here(training, validation, seed))?;
        let notes = &mut fitted.stored.log.notes;
        notes.extend(years::midpoint_note(training.targets()));
        notes.extend(years::choice_note(validation.targets()));
        Ok(Box::new(fitted))
    }
}

#[cfg(test)]
mod tests;
