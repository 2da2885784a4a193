//! Runs fits in parallel: loads each from the journal or fits it, and measures its predictions.

mod calibrated;
mod key;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use facefold_core::{Fit, Head, TrainingLog};
use rayon::prelude::*;

use crate::age_predictions::AgePredictions;
use crate::auxiliary::{AuxiliaryLabels, MainTaskRows};
use crate::calibration::Calibration;
use crate::cross_validate::{CvPlan, CvRun, Progress};
use crate::error::EvaluateError;
use crate::gather::concat;
use crate::journal::{FitAges, FitId, FitRecord};
use crate::metrics::{Metrics, PredictedValues};
use crate::result::FitResult;
use crate::split::CvSplit;
use calibrated::{Calibrated, SharedFamiliarity};
use key::FitKeys;

/// A fit to run: a head, under the name it has in results, on a split under a seed.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) name: &'a str,
    pub(crate) head: &'a dyn Head,
    pub(crate) split: &'a CvSplit,
    pub(crate) seed: u64,
    /// Whether intervals and familiarity are calibrated, which takes further fits where there are
    /// several data sets.
    pub(crate) calibrated: bool,
}

/// Rows predicted at a time where only the answers are kept: a distribution over ages takes half a
/// kilobyte a row.
const PREDICTED_ROWS: usize = 100_000;

/// Runs fits on the rows of a plan.
pub(crate) struct Fits<'a> {
    plan: &'a CvPlan<'a>,
    run: &'a CvRun<'a>,
    keys: FitKeys,
    pool: rayon::ThreadPool,
    familiarity: Mutex<HashMap<Vec<usize>, SharedFamiliarity>>,
}

impl<'a> Fits<'a> {
    pub(crate) fn new(plan: &'a CvPlan<'a>, run: &'a CvRun<'a>) -> Result<Self, EvaluateError> {
        let threads = run.threads.max(1);
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
                EvaluateError::Inconsistent(format!("cannot start {threads} threads: {error}"))
            })?;
        Ok(Self { plan, run, keys: FitKeys::new(plan), pool, familiarity: Mutex::default() })
    }

    /// Where parallel work belongs that comes after the fits.
    pub(crate) fn pool(&self) -> &rayon::ThreadPool {
        &self.pool
    }

    /// The records of all jobs, in their order.
    pub(crate) fn all(&self, jobs: &[Job<'_>]) -> Result<Vec<FitRecord>, EvaluateError> {
        self.results(jobs, |_| false)?.into_iter().collect()
    }

    /// What came of each job, in their order, where a head that fails spoils only its own.
    pub(crate) fn each(
        &self,
        jobs: &[Job<'_>],
    ) -> Result<Vec<Result<FitRecord, EvaluateError>>, EvaluateError> {
        self.results(jobs, |error| matches!(error, EvaluateError::Fit { .. }))
    }

    /// Runs the jobs. A failure that is not `borne` stops the jobs that have not begun, and is the
    /// one reported.
    fn results(
        &self,
        jobs: &[Job<'_>],
        borne: impl Fn(&EvaluateError) -> bool + Sync,
    ) -> Result<Vec<Result<FitRecord, EvaluateError>>, EvaluateError> {
        let (total, done) = (jobs.len(), AtomicUsize::new(0));
        let failed: Mutex<Option<EvaluateError>> = Mutex::new(None);
        let stopped = AtomicBool::new(false);
        let one = |job: &Job<'_>| {
            if self.run.cancel.load(Ordering::Relaxed) || stopped.load(Ordering::Relaxed) {
                return None;
            }
            let outcome = self.load_or_fit(job);
            let (outcome, resumed) = match outcome {
                Ok((record, resumed)) => (Ok(record), resumed),
                Err(error) if borne(&error) => (Err(error), false),
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    if let Ok(mut first) = failed.lock() {
                        first.get_or_insert(error);
                    }
                    return None;
                }
            };
            (self.run.progress)(&Progress {
                done: done.fetch_add(1, Ordering::Relaxed) + 1,
                total,
                head: job.name,
                split: &job.split.name,
                seed: job.seed,
                resumed,
            });
            Some(outcome)
        };
        let outcomes: Vec<Option<_>> =
            self.pool.install(|| jobs.par_iter().with_max_len(1).map(one).collect());
        if let Ok(Some(error)) = failed.into_inner() {
            return Err(error);
        }
        outcomes
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(EvaluateError::Cancelled { done: done.into_inner(), total })
    }

    fn load_or_fit(&self, job: &Job<'_>) -> Result<(FitRecord, bool), EvaluateError> {
        let id = FitId {
            task: self.plan.task.to_string(),
            head: job.name.to_owned(),
            split: job.split.name.clone(),
            seed: job.seed,
            hash: self.keys.of(self.plan, job),
        };
        let journal = self.run.journal;
        let test = &job.split.test;
        let known = journal.load(&id).filter(|record| record.predicted_values.len() == test.len());
        if let Some(mut record) = known {
            record.result.intervals = self.check_again(test, &record);
            return Ok((record, true));
        }
        let record = self.fit(id, job)?;
        journal.save(&record)?;
        Ok((record, false))
    }

    fn fit(&self, id: FitId, job: &Job<'_>) -> Result<FitRecord, EvaluateError> {
        let Job { name, head, split, seed, calibrated } = *job;
        let plan = self.plan;
        let failed = |source| EvaluateError::Fit {
            head: name.to_owned(),
            split: split.name.clone(),
            seed,
            source,
        };
        let begin = Instant::now();
        let own = MainTaskRows {
            matrix: plan.matrix,
            matrix_rows: &plan.matrix_rows,
            rows: &plan.rows,
            targets: &plan.targets,
        };
        let alone = AuxiliaryLabels::default();
        let auxiliary_labels =
            if head.uses_auxiliary_tasks() { &plan.auxiliary_labels } else { &alone };
        let (training, validation) =
            auxiliary_labels.datasets(own, &split.train, &split.validation).map_err(failed)?;
        let Fit { head: fitted, validation: held_out } =
            head.fit(&training, &validation, seed).map_err(failed)?;
        let predict =
            |rows: &[usize]| fitted.predict(plan.matrix, &self.features_of(rows)).map_err(failed);
        let measure = |predicted: &PredictedValues, rows: &[usize]| {
            Metrics::measure(predicted, &plan.targets.select(rows), plan.ordered())
        };
        let fitted_values = split
            .train
            .chunks(PREDICTED_ROWS)
            .map(|rows| PredictedValues::new(&predict(rows)?.targets))
            .collect::<Result<Vec<_>, EvaluateError>>()?;
        let train = measure(&concat(fitted_values.iter()), &split.train)?;
        drop(fitted_values);
        let validation = measure(&PredictedValues::new(&held_out.targets)?, &split.validation)?;
        let tested = predict(&split.test)?;
        let predicted_values = PredictedValues::new(&tested.targets)?;
        let test = measure(&predicted_values, &split.test)?;
        let Some(test) = test else {
            return Err(EvaluateError::TooFew(format!("`{}` has no test rows", split.name)));
        };
        let ages = AgePredictions::of(&held_out)
            .zip(AgePredictions::of(&tested))
            .map(|(validation, test)| FitAges { validation, test });
        let calibration = Calibration {
            own,
            auxiliary_labels,
            training: &split.train,
            held_out: &split.validation,
        };
        let calibrated = if calibrated {
            self.calibrated(job, calibration, [&held_out, &tested]).map_err(failed)?
        } else {
            Calibrated::default()
        };
        let result = FitResult {
            split: split.name.clone(),
            seed,
            train,
            validation,
            test,
            intervals: calibrated.check,
            familiarity: calibrated
                .familiarity
                .as_deref()
                .map(|faces| self.check_familiarity(split, faces, &predicted_values))
                .transpose()?,
            log: finite(fitted.log().clone()),
            seconds: begin.elapsed().as_secs_f64(),
        };
        Ok(FitRecord {
            id,
            result,
            predicted_values,
            ages,
            intervals: calibrated.intervals,
            familiarity: calibrated
                .familiarity
                .map(|faces| faces.iter().map(|face| face.score).collect()),
        })
    }

    fn features_of(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&row| self.plan.matrix_rows[row]).collect()
    }
}

/// A log without infinite numbers, which JSON does not have: the curve is cut there, with a note.
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
