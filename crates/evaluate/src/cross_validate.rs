//! Fits every head on every partition under every seed, in parallel, and measures the answers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use facefold_core::{AgeGroups, AgeIntervals, FeatureMatrix, Head, Targets, Task, TrainingLog};
use rayon::prelude::*;

use crate::companions::{OwnRows, Surroundings};
use crate::error::EvaluateError;
use crate::gather::gather;
use crate::journal::{FitId, FitRecord, Journal};
use crate::metrics::{Answers, Metrics};
use crate::predictions::RowPredictions;
use crate::protocol::{Partition, Protocol, RowInfo};
use crate::result::{CvResult, FitResult, IntervalCheck};

/// What to fit on what. The answers depend on nothing else.
pub struct CvPlan<'a> {
    /// What is asked.
    pub task: Task,
    /// Names of the classes, in index order; empty for the age task.
    pub classes: Vec<String>,
    /// Features; may have rows that this task does not use.
    pub matrix: &'a FeatureMatrix,
    /// The row in `matrix` of each row here.
    pub matrix_rows: Vec<usize>,
    /// What is right for each row.
    pub targets: Targets,
    /// What else is known of the rows, for heads that learn tasks together.
    pub surroundings: Surroundings,
    /// Path, subject, fold and split of each row.
    pub rows: Vec<RowInfo>,
    /// How the rows are divided.
    pub protocol: Protocol,
    /// The divisions that [`crate::protocol::plan`] made of the rows.
    pub partitions: Vec<Partition>,
    /// The heads, each with a name of its own.
    pub heads: Vec<Box<dyn Head>>,
    /// Seed of the partitions and the bootstrap.
    pub seed: u64,
    /// Seeds of the fits, at least one.
    pub seeds: Vec<u64>,
    /// What else a fit depends on, such as the store's fingerprint and the program's commit: a
    /// journal's fits made under another one are not used.
    pub context: String,
}

/// How to run a plan. Nothing here changes the answers.
pub struct CvRun<'a> {
    /// Fits at a time, at least one; each runs on one thread.
    pub threads: usize,
    /// Where finished fits are kept.
    pub journal: &'a dyn Journal,
    /// Set it to stop before the next fit.
    pub cancel: &'a AtomicBool,
    /// Called after every fit, from any thread.
    pub progress: &'a (dyn Fn(&Progress<'_>) + Sync),
}

/// A fit that was just finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Fits finished so far.
    pub done: usize,
    /// Fits of the whole run.
    pub total: usize,
    /// The head.
    pub head: &'a str,
    /// The partition.
    pub partition: &'a str,
    /// The seed.
    pub seed: u64,
    /// Whether the fit was taken from the journal.
    pub resumed: bool,
}

/// What a run gives.
#[derive(Debug, Clone, PartialEq)]
pub struct CvOutcome {
    /// The result.
    pub result: CvResult,
    /// Every head's answers for every test row.
    pub predictions: RowPredictions,
}

/// Runs a plan.
///
/// The outcome depends neither on the number of threads nor on the order in which fits end, but
/// for the seconds they took.
///
/// # Errors
/// [`EvaluateError`] where parts of the plan do not fit together, a head fails, the journal cannot
/// be written, or the run is cancelled. Finished fits stay in the journal.
pub fn cross_validate(plan: &CvPlan<'_>, run: &CvRun<'_>) -> Result<CvOutcome, EvaluateError> {
    plan.check()?;
    let base = plan.hash();
    let mut fits = Vec::new();
    for head in &plan.heads {
        for partition in &plan.partitions {
            for &seed in &plan.seeds {
                fits.push((head.as_ref(), partition, seed));
            }
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(run.threads.max(1)).build().map_err(
        |error| {
            EvaluateError::Inconsistent(format!("cannot start {} threads: {error}", run.threads))
        },
    )?;
    let done = AtomicUsize::new(0);
    let total = fits.len();
    // One fit runs on: a failed one stops those that have not begun, and is the one reported.
    let failed: Mutex<Option<EvaluateError>> = Mutex::new(None);
    let stopped = AtomicBool::new(false);
    let fit_one = |&(head, partition, seed): &(&dyn Head, &Partition, u64)| {
        if run.cancel.load(Ordering::Relaxed) || stopped.load(Ordering::Relaxed) {
            return None;
        }
        match plan.recall_or_fit(&base, head, partition, seed, run.journal) {
            Ok((record, resumed)) => {
                (run.progress)(&Progress {
                    done: done.fetch_add(1, Ordering::Relaxed) + 1,
                    total,
                    head: head.name(),
                    partition: &partition.name,
                    seed,
                    resumed,
                });
                Some(record)
            }
            Err(error) => {
                stopped.store(true, Ordering::Relaxed);
                if let Ok(mut first) = failed.lock() {
                    first.get_or_insert(error);
                }
                None
            }
        }
    };
    let records: Vec<Option<FitRecord>> =
        pool.install(|| fits.par_iter().with_max_len(1).map(fit_one).collect());
    if let Ok(Some(error)) = failed.into_inner() {
        return Err(error);
    }
    match records.into_iter().collect::<Option<Vec<FitRecord>>>() {
        Some(records) => pool.install(|| gather(plan, &records)),
        None => Err(EvaluateError::Cancelled { done: done.into_inner(), total }),
    }
}

impl CvPlan<'_> {
    fn check(&self) -> Result<(), EvaluateError> {
        let inconsistent = |message: String| Err(EvaluateError::Inconsistent(message));
        let n = self.rows.len();
        if self.targets.len() != n || self.matrix_rows.len() != n {
            return inconsistent(format!(
                "{n} rows with {} targets and {} feature rows",
                self.targets.len(),
                self.matrix_rows.len()
            ));
        }
        if let Targets::Classes { count, .. } = self.targets
            && count != self.classes.len()
        {
            return inconsistent(format!("{count} classes with {} names", self.classes.len()));
        }
        if self.heads.is_empty() || self.seeds.is_empty() || self.partitions.is_empty() {
            return inconsistent("expected at least one head, seed and partition".to_owned());
        }
        for (index, head) in self.heads.iter().enumerate() {
            if self.heads[..index].iter().any(|other| other.name() == head.name()) {
                return inconsistent(format!("head `{}` is given twice", head.name()));
            }
        }
        for (index, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..index].contains(seed) {
                return inconsistent(format!("seed {seed} is given twice"));
            }
        }
        for partition in &self.partitions {
            let lists = [&partition.train, &partition.validation, &partition.test];
            if let Some(row) = lists.into_iter().flatten().find(|&&row| row >= n) {
                return inconsistent(format!(
                    "partition `{}` has row {row} of {n}",
                    partition.name
                ));
            }
            if partition.train.is_empty() || partition.test.is_empty() {
                return inconsistent(format!(
                    "partition `{}` has {} training and {} test rows",
                    partition.name,
                    partition.train.len(),
                    partition.test.len()
                ));
            }
        }
        Ok(())
    }

    /// A hash of all that every fit of the plan depends on.
    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 cross-validation v1");
        for text in [self.context.as_str(), env!("CARGO_PKG_VERSION"), self.task.as_str()] {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
        let mut bytes = Vec::new();
        for matrix in [Some(self.matrix.plain()), self.matrix.mirrored()].into_iter().flatten() {
            hasher.update(&(matrix.nrows() as u64).to_le_bytes());
            for row in matrix.rows() {
                bytes.clear();
                bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                hasher.update(&bytes);
            }
        }
        hash_labels(&mut hasher, &self.matrix_rows, &self.targets);
        hasher.finalize()
    }

    fn recall_or_fit(
        &self,
        base: &blake3::Hash,
        head: &dyn Head,
        partition: &Partition,
        seed: u64,
        journal: &dyn Journal,
    ) -> Result<(FitRecord, bool), EvaluateError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(base.as_bytes());
        hasher.update(head.name().as_bytes());
        hasher.update(head.settings().to_string().as_bytes());
        hasher.update(&seed.to_le_bytes());
        if head.uses_companions() {
            for labels in &self.surroundings.tasks {
                hasher.update(labels.task.as_str().as_bytes());
                hash_labels(&mut hasher, &labels.matrix_rows, &labels.targets);
            }
            let groups = self.surroundings.age_groups.as_ref().map_or("", AgeGroups::name);
            hasher.update(groups.as_bytes());
        }
        for rows in [&partition.train, &partition.validation, &partition.test] {
            hash_rows(&mut hasher, rows);
        }
        let id = FitId {
            task: self.task.to_string(),
            head: head.name().to_owned(),
            partition: partition.name.clone(),
            seed,
            hash: hasher.finalize().to_hex().to_string(),
        };
        let known = journal.load(&id).filter(|record| record.answers.len() == partition.test.len());
        if let Some(record) = known {
            return Ok((record, true));
        }
        let record = self.fit(id, head, partition, seed)?;
        journal.save(&record)?;
        Ok((record, false))
    }

    fn fit(
        &self,
        id: FitId,
        head: &dyn Head,
        partition: &Partition,
        seed: u64,
    ) -> Result<FitRecord, EvaluateError> {
        let failed = |source| EvaluateError::Fit {
            head: head.name().to_owned(),
            partition: partition.name.clone(),
            seed,
            source,
        };
        let begin = Instant::now();
        let own = OwnRows {
            matrix: self.matrix,
            matrix_rows: &self.matrix_rows,
            rows: &self.rows,
            targets: &self.targets,
        };
        let alone = Surroundings::default();
        let surroundings = if head.uses_companions() { &self.surroundings } else { &alone };
        let (training, validation) =
            surroundings.examples(own, &partition.train, &partition.validation).map_err(failed)?;
        let fitted = head.fit(&training, &validation, seed).map_err(failed)?;
        let measure = |rows: &[usize]| -> Result<(Answers, Option<Metrics>), EvaluateError> {
            let matrix_rows = self.features_of(rows);
            let predictions = if rows == partition.validation {
                fitted.predict_validation(self.matrix, &matrix_rows)
            } else {
                fitted.predict(self.matrix, &matrix_rows)
            };
            let predictions = predictions.map_err(failed)?;
            let answers = Answers::from_predictions(&predictions)?;
            let metrics = Metrics::measure(&answers, &self.targets.pick(rows), self.ordered())?;
            Ok((answers, metrics))
        };
        let (_, train) = measure(&partition.train)?;
        let (chosen, validation) = measure(&partition.validation)?;
        let (answers, test) = measure(&partition.test)?;
        let Some(test) = test else {
            return Err(EvaluateError::TooFew(format!("`{}` has no test rows", partition.name)));
        };
        let result = FitResult {
            partition: partition.name.clone(),
            seed,
            train,
            validation,
            test,
            intervals: self.check_intervals(partition, &chosen, &answers),
            log: finite(fitted.log().clone()),
            seconds: begin.elapsed().as_secs_f64(),
        };
        Ok(FitRecord { id, result, answers })
    }

    /// Makes intervals of the answers for the validation rows and tries them on the test rows.
    fn check_intervals(
        &self,
        partition: &Partition,
        validation: &Answers,
        test: &Answers,
    ) -> Option<IntervalCheck> {
        let years = |rows: &[usize]| match self.targets.pick(rows) {
            Targets::Years(years) => Some(years),
            Targets::Classes { .. } => None,
        };
        let (Answers::Years(chosen), Answers::Years(told)) = (validation, test) else {
            return None;
        };
        let intervals = AgeIntervals::fit(chosen, &years(&partition.validation)?)?;
        let truth = years(&partition.test)?;
        let (mut inside, mut width) = (0_usize, 0.0);
        for (&told, truth) in told.iter().zip(&truth) {
            let (low, high) = intervals.around(told);
            inside += usize::from((low..=high).contains(truth));
            width += f64::from(high - low);
        }
        let n = truth.len() as f64;
        Some(IntervalCheck { coverage: inside as f64 / n, width: width / n })
    }

    pub(crate) fn ordered(&self) -> bool {
        self.task == Task::AgeGroup
    }

    fn features_of(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&row| self.matrix_rows[row]).collect()
    }
}

fn hash_rows(hasher: &mut blake3::Hasher, rows: &[usize]) {
    hasher.update(&(rows.len() as u64).to_le_bytes());
    let bytes: Vec<u8> = rows.iter().flat_map(|&row| (row as u64).to_le_bytes()).collect();
    hasher.update(&bytes);
}

fn hash_labels(hasher: &mut blake3::Hasher, matrix_rows: &[usize], targets: &Targets) {
    hash_rows(hasher, matrix_rows);
    match targets {
        Targets::Classes { indices, .. } => hash_rows(hasher, indices),
        Targets::Years(years) => {
            let bytes: Vec<u8> = years.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
}

/// A log that JSON can hold: a curve that leaves the finite numbers is cut there, and says so.
fn finite(mut log: TrainingLog) -> TrainingLog {
    let broken = log.epochs.iter().position(|epoch| {
        ![epoch.training_loss, epoch.validation_loss, epoch.validation_score, epoch.learning_rate]
            .iter()
            .all(|value| value.is_finite())
    });
    if let Some(index) = broken {
        log.notes.push(format!(
            "the learning curve is cut at epoch {}, where it is not finite",
            log.epochs[index].number
        ));
        log.epochs.truncate(index);
    }
    log
}
