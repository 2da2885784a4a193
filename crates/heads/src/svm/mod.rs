//! Support vector machines: a solver that computes the products of all pairs of rows once for all
//! classes and hyper-parameters, and linfa-svm beside it as the reference.

mod coupling;
mod exact;
mod fitted;
mod gram;
mod kernel;
mod linfa;
mod machines;
mod options;
mod primal;
mod questions;
mod solver;
mod whiten;

use std::sync::{Arc, Mutex, PoisonError};

use facefold_core::{Examples, FittedHead, Head, HeadError, MatrixIdentity, Targets, TrainingLog};
use ndarray::Array2;

use crate::calibration::Sigmoid;
use crate::features::Standardiser;
use crate::linear::mismatch;
use crate::options::{ClassWeights, HeadOptions};
use crate::parts::{Stored, json};
use crate::subsample::stratified;
use crate::threads::on_one_thread;
use exact::{Exact, Trial, in_order};
use fitted::{Fitted, FittedSettings, scale};
use gram::Gram;
use machines::Machines;
use primal::{Plan, Primal};
use questions::{Contest, Question, Questions};

pub(crate) use fitted::restore;
pub use options::{Kernel, Scaling, Scheme, SvmOptions};

pub(crate) const NAME: &str = "svm";
pub(crate) const LINEAR_NAME: &str = "svm-linear";
pub(crate) const REFERENCE_NAME: &str = "svm-linfa";

/// Validation rows of either side from which a machine's probabilities are calibrated on them.
const LEAST_CALIBRATION_ROWS: usize = 8;

/// A support vector machine to be fitted.
#[derive(Debug)]
pub(crate) struct Svm {
    name: &'static str,
    options: SvmOptions,
    class_weights: ClassWeights,
    unit_columns: Option<(usize, usize)>,
    /// The products of all rows of the matrix fitted on last, where rows are scaled alike in every
    /// fold.
    shared: Mutex<Option<(MatrixIdentity, Arc<Gram>)>>,
}

impl Svm {
    /// Checks the settings of the machine of this name.
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
            svm.scheme = Scheme::OneVsRest;
            svm.scaling = Scaling::Standard;
            svm.cost.truncate(1);
            svm.gamma.truncate(1);
        }
        let (class_weights, unit_columns) = (options.class_weights, options.unit_columns);
        let shared = Mutex::default();
        Ok(Self { name, options: svm, class_weights, unit_columns, shared })
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
        let features = match self.options.scaling {
            Scaling::Standard => Standardiser::fit(training, self.unit_columns)?,
            Scaling::Unit => Standardiser::unit(training, self.unit_columns)?,
        };
        features.check(validation.matrix(), validation.rows())?;
        if self.name == REFERENCE_NAME {
            self.fit_reference(features, training, validation, seed)
        } else {
            let questions = self.questions(training.targets())?;
            let rows = training.len() + validation.len();
            match primal::plan(&self.options, rows, &questions) {
                None => self.fit_exactly(features, training, validation, (&questions, seed)),
                Some(plan) => {
                    self.fit_primal(features, training, validation, (&questions, &plan, seed))
                }
            }
        }
    }

    fn questions(&self, targets: &Targets) -> Result<Questions, HeadError> {
        Questions::new(targets, self.options.scheme, self.class_weights, self.options.epsilon)
    }

    /// The trial that does best on the validation rows; the first where there are none.
    fn choose(
        &self,
        questions: &Questions,
        mut trials: impl FnMut(f64) -> Result<Vec<Trial>, HeadError>,
        validation: &Targets,
        log: &mut TrainingLog,
    ) -> Result<Trial, HeadError> {
        let mut best: Option<(f64, Trial)> = None;
        let mut tried = Vec::new();
        for &gamma in &self.options.gamma {
            for trial in trials(gamma)? {
                let score = score(questions, &trial, validation);
                tried.push(format!("{} {:.4}", trial.name(self.options.kernel), score.abs()));
                if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                    best = Some((score, trial));
                }
            }
        }
        let (_, trial) = best.ok_or_else(|| HeadError::Setting("no cost or gamma".to_owned()))?;
        let name = trial.name(self.options.kernel);
        if tried.len() > 1 {
            let (measure, rows) = match validation {
                Targets::Classes { .. } => ("accuracy", validation.len()),
                Targets::Years(_) => ("mean absolute error in years", validation.len()),
            };
            log.notes.push(if rows == 0 {
                format!("{name}, the first given")
            } else {
                format!(
                    "{name}, best of {} on {rows} validation rows ({measure}: {})",
                    tried.len(),
                    tried.join("; ")
                )
            });
        }
        if trial.unfinished > 0 {
            let of = trial.columns.len();
            log.notes.push(format!(
                "{} of {of} machines were stopped before their optimum",
                trial.unfinished
            ));
        }
        Ok(trial)
    }

    /// The head of some machines, not calibrated yet.
    fn head(
        &self,
        features: Standardiser,
        machines: Machines,
        questions: &Questions,
        (training, log): (&Targets, TrainingLog),
        (cost, gamma): (f64, f64),
    ) -> Fitted {
        let settings = FittedSettings {
            kernel: self.options.kernel,
            cost,
            gamma,
            degree: self.options.degree,
            scheme: self.options.scheme,
        };
        let (target, unit_columns) = (training.kind(), features.unit_columns());
        Fitted {
            name: self.name.to_owned(),
            features,
            machines,
            contests: questions.contests.clone(),
            sigmoids: vec![Sigmoid::PLAIN; questions.contests.len()],
            class_rows: class_rows(training),
            years: questions.years,
            stored: Stored { target, unit_columns, settings, log },
        }
    }

    /// The products of the rows, and where the validation rows and the training rows are among
    /// them.
    fn products(
        &self,
        features: &Standardiser,
        training: &Examples<'_>,
        validation: &Examples<'_>,
    ) -> Result<(Arc<Gram>, [Vec<usize>; 2]), HeadError> {
        let (matrix, width) = (training.matrix(), features.width());
        let identity = matrix.identity();
        if self.options.scaling == Scaling::Unit
            && validation.matrix().identity() == identity
            && primal::pairs(matrix.rows()) <= self.options.memory * 1e9
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
    fn unit_gamma(&self, features: &Standardiser, training: &Examples<'_>) -> f64 {
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
        let spread = squares / n - sum.iter().map(|sum| (sum / n).powi(2)).sum::<f64>();
        if spread > 1e-9 { 1.0 / spread } else { 1.0 }
    }

    fn fit_exactly(
        &self,
        features: Standardiser,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        (questions, seed): (&Questions, u64),
    ) -> Result<Fitted, HeadError> {
        let unit_gamma = self.unit_gamma(&features, training);
        let (gram, [validation_rows, training_rows]) =
            self.products(&features, training, validation)?;
        let exact = Exact {
            products: gram.products()?,
            training: &training_rows,
            validation: &validation_rows,
            questions,
            options: &self.options,
            unit_gamma,
        };
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let trials = |gamma| exact.trials(gamma);
        let trial = self.choose(questions, trials, validation.targets(), &mut log)?;
        let (function, width) = (exact.function(trial.gamma), features.width());
        let support =
            |chosen: &[usize]| scaled(&features, training, &in_order(training.rows(), chosen));
        let machines = Machines::join(function, width, &trial.columns, support)?;
        let chosen = (trial.cost, f64::from(function.gamma));
        let mut head = self.head(features, machines, questions, (training.targets(), log), chosen);
        let held_out = |question: &Question| exact.held_out(question, &trial, seed);
        calibrate(&mut head, questions, (&trial.decisions, validation.targets()), Some(&held_out));
        Ok(head)
    }

    fn fit_primal(
        &self,
        features: Standardiser,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        (questions, plan, seed): (&Questions, &Plan, u64),
    ) -> Result<Fitted, HeadError> {
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let landmarks = stratified(training.targets(), plan.landmarks, seed);
        let on = match self.options.kernel {
            Kernel::Linear => "the features".to_owned(),
            Kernel::Gaussian | Kernel::Polynomial => format!("{} landmarks", landmarks.len()),
        };
        log.notes.push(format!(
            "approximate: solved in the primal with a squared loss on {on}, because the products \
             of all pairs of {} rows need {:.3} GB, and svm.memory allows {}",
            training.len() + validation.len(),
            plan.exact / 1e9,
            self.options.memory
        ));
        let examples = (training, validation);
        let options = (&self.options, self.unit_gamma(&features, training));
        let primal = Primal::new(&features, examples, questions, options, &landmarks);
        let trials = |gamma| primal.trials(gamma);
        let trial = self.choose(questions, trials, validation.targets(), &mut log)?;
        let chosen = (trial.cost, f64::from(primal.function(trial.gamma).gamma));
        let machines = primal.machines(&trial)?;
        drop(primal);
        let mut head = self.head(features, machines, questions, (training.targets(), log), chosen);
        calibrate(&mut head, questions, (&trial.decisions, validation.targets()), None);
        Ok(head)
    }

    fn fit_reference(
        &self,
        features: Standardiser,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        let (n, width) = (training.len(), features.width());
        let asked = self.questions(training.targets())?.asked.len();
        let limit = linfa::row_limit(&self.options, width, asked);
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
        let targets = match training.targets() {
            Targets::Classes { indices, count } => {
                Targets::Classes { indices: in_order(indices, &kept), count: *count }
            }
            Targets::Years(years) => Targets::Years(in_order(years, &kept)),
        };
        let questions = self.questions(&targets)?;
        let values = features.rows(training.matrix().plain(), &rows, scale(width));
        let samples = values.iter().map(|&value| f64::from(value)).collect();
        let samples = Array2::from_shape_vec((rows.len(), width), samples)
            .map_err(|error| HeadError::Shape(error.to_string()))?;
        let columns = questions
            .asked
            .iter()
            .map(|question| linfa::fit(&samples, question, &self.options))
            .collect::<Result<Vec<_>, _>>()?;
        let chosen = (self.options.cost[0], self.options.gamma[0]);
        let function = kernel::KernelFunction::new(&self.options, chosen.1);
        let support = |chosen: &[usize]| {
            features.rows(training.matrix().plain(), &in_order(&rows, chosen), scale(width))
        };
        let machines = Machines::join(function, width, &columns, support)?;
        let mut head = self.head(features, machines, &questions, (&targets, log), chosen);
        let decisions = head.decisions(validation.matrix().plain(), validation.rows())?;
        calibrate(&mut head, &questions, (&decisions, validation.targets()), None);
        Ok(head)
    }
}

/// Scaled features of rows of the matrix of some examples.
fn scaled(features: &Standardiser, examples: &Examples<'_>, rows: &[usize]) -> Vec<f32> {
    features.rows(examples.matrix().plain(), rows, scale(features.width()))
}

/// Accuracy by votes, or minus the mean absolute error in years; 0 without validation rows.
fn score(questions: &Questions, trial: &Trial, validation: &Targets) -> f64 {
    let n = validation.len().max(1) as f64;
    match validation {
        Targets::Classes { indices, count } => {
            let machines = questions.contests.len().max(1);
            let rows = trial.decisions.chunks_exact(machines).zip(indices);
            let right =
                rows.filter(|(row, class)| vote(&questions.contests, row, *count) == **class);
            right.count() as f64 / n
        }
        Targets::Years(years) => {
            let errors =
                trial.decisions.iter().zip(years).map(|(z, year)| {
                    f64::from(z * questions.years.1 + questions.years.0 - year).abs()
                });
            -errors.sum::<f64>() / n
        }
    }
}

/// The class with the most pairs won, the first of equals, as in LIBSVM; or, one against the rest,
/// with the highest decision.
fn vote(contests: &[Contest], decisions: &[f32], count: usize) -> usize {
    let mut votes = vec![f32::NEG_INFINITY; count];
    for (contest, &decision) in contests.iter().zip(decisions) {
        match contest.second {
            None => votes[contest.first] = decision,
            Some(second) => {
                let (won, lost) =
                    if decision > 0.0 { (contest.first, second) } else { (second, contest.first) };
                votes[won] = votes[won].max(0.0) + 1.0;
                votes[lost] = votes[lost].max(0.0);
            }
        }
    }
    let most = votes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    votes.iter().position(|&votes| votes == most).unwrap_or(0)
}

/// Decisions on the members of a question, each by a machine that did not see it.
type HeldOut<'a> = &'a dyn Fn(&Question) -> Vec<f64>;

/// Fits the sigmoids on decisions on the validation rows, or, where a side has too few of them, on
/// decisions on training rows by machines that did not see those.
fn calibrate(
    head: &mut Fitted,
    questions: &Questions,
    (decisions, validation): (&[f32], &Targets),
    held_out: Option<HeldOut<'_>>,
) {
    let Targets::Classes { indices, .. } = validation else { return };
    let machines = questions.contests.len();
    let (mut from_training, mut plain) = (0, 0);
    for (at, contest) in questions.contests.iter().enumerate() {
        let rows = indices.iter().zip(decisions.chunks_exact(machines));
        let (values, positive): (Vec<f64>, Vec<bool>) = rows
            .filter_map(|(&class, row)| Some((f64::from(row[at]), contest.side(class)?)))
            .unzip();
        let first = positive.iter().filter(|&&first| first).count();
        head.sigmoids[at] = if first.min(positive.len() - first) >= LEAST_CALIBRATION_ROWS {
            Sigmoid::fit(&values, &positive)
        } else if let Some(held_out) = held_out {
            from_training += 1;
            let question = &questions.asked[at];
            let positive: Vec<bool> = question.goals.iter().map(|&goal| goal > 0.0).collect();
            Sigmoid::fit(&held_out(question), &positive)
        } else {
            plain += 1;
            Sigmoid::PLAIN
        };
    }
    let notes = &mut head.stored.log.notes;
    if from_training > 0 {
        notes.push(format!(
            "for want of validation rows, {from_training} of {machines} machines are calibrated \
             on held-out parts of the training rows"
        ));
    }
    if plain > 0 {
        notes.push(format!(
            "for want of validation rows, {plain} of {machines} machines are not calibrated"
        ));
    }
}

/// Number of rows of each class; empty for years.
fn class_rows(targets: &Targets) -> Vec<f32> {
    match targets {
        Targets::Years(_) => Vec::new(),
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
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let fitted = on_one_thread(|| self.fit_here(training, validation, seed))?;
        Ok(Box::new(fitted))
    }
}

#[cfg(test)]
mod tests;
