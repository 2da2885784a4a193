//! The matrix of training sets and test sets: how heads fitted on each data set alone, and on all
//! others together, do on every data set.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use facefold_core::{Targets, Task};
use serde::{Deserialize, Serialize};

use crate::cross_validate::{CvPlan, CvRun};
use crate::error::EvaluateError;
use crate::fits::{Fits, Job};
use crate::gather::predictions_of;
use crate::journal::FitRecord;
use crate::metrics::Metric;
use crate::protocol::Protocol;
use crate::row_info::{RowInfo, subject_numbers, subjects_across_folds};
use crate::sets::SetName;
use crate::split::{CvSplit, Divider, plan, uneven_folds};
use crate::statistics::bootstrap::{Interval, bootstrap};
use crate::statistics::sums::{RowScores, SubjectSums};
use crate::summary_text;

/// Folds by subject of a set without published ones.
const FOLDS: usize = 5;

/// What the heads of a cell were fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainedOn {
    /// One data set; where it is the one tested on, by folds.
    Set(SetName),
    /// All data sets but the one tested on.
    AllOthers,
}

impl fmt::Display for TrainedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(name) => name.fmt(f),
            Self::AllOthers => f.write_str("all others"),
        }
    }
}

/// A cell before its heads are fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCell {
    /// The row of the matrix.
    pub trained_on: TrainedOn,
    /// The column.
    pub tested_on: SetName,
    /// How the rows of one set are divided, on the diagonal.
    pub protocol: Option<Protocol>,
    /// Its splits among those of the plan, or why there are none.
    pub splits: Result<Range<usize>, String>,
}

/// The cells of one task, row by row, and the splits of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixPlan {
    /// The data sets.
    pub sets: Vec<SetName>,
    /// One cell a row and column.
    pub cells: Vec<PlannedCell>,
    /// Splits of the rows, for [`CvPlan::splits`].
    pub splits: Vec<CvSplit>,
}

/// The matrix of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixResult {
    /// What is predicted.
    pub task: Task,
    /// Names of the classes, in index order; empty for the age task.
    pub classes: Vec<String>,
    /// Seed of the splits and the bootstrap.
    pub seed: u64,
    /// Seeds of the fits.
    pub seeds: Vec<u64>,
    /// Number of features of a row.
    pub features: usize,
    /// The data sets: the columns, in order.
    pub sets: Vec<SetCounts>,
    /// One matrix a head.
    pub heads: Vec<HeadMatrix>,
}

/// A data set's part in a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetCounts {
    /// Its name.
    pub name: SetName,
    /// Its rows that serve the task.
    pub rows: usize,
    /// Their subjects.
    pub subjects: usize,
}

/// The cells of one head, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadMatrix {
    /// The head's name.
    pub name: String,
    /// Its checked settings.
    pub settings: serde_json::Value,
    /// The cells.
    pub cells: Vec<MatrixCell>,
}

/// One training set with one test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixCell {
    /// The row.
    pub trained_on: TrainedOn,
    /// The column.
    pub tested_on: SetName,
    /// What came of it.
    pub outcome: CellOutcome,
}

/// What came of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellOutcome {
    /// It was measured.
    Measured(MeasuredCell),
    /// It cannot be filled, and why.
    Missing(String),
}

/// The figures of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredCell {
    /// How the rows of one set were divided, on the diagonal.
    pub protocol: Option<Protocol>,
    /// Training rows; the mean over the folds on the diagonal.
    pub training: usize,
    /// Validation rows, likewise.
    pub validation: usize,
    /// Test rows, of all folds together.
    pub test: usize,
    /// Their subjects.
    pub subjects: usize,
    /// What a reader must know: training rows left out.
    pub notes: Vec<String>,
    /// [`Metric::across_sets`] of the task, as far as they could be measured.
    pub metrics: Vec<CellMetric>,
}

/// One figure of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CellMetric {
    /// Which one.
    pub metric: Metric,
    /// Over all test rows together, averaged over seeds.
    pub value: f64,
    /// Its 95 % interval, by drawing subjects with replacement.
    pub interval: Option<Interval>,
}

impl HeadMatrix {
    /// The cell of a row and a column.
    #[must_use]
    pub fn cell(&self, trained_on: &TrainedOn, tested_on: &SetName) -> Option<&MatrixCell> {
        let here =
            |cell: &&MatrixCell| cell.trained_on == *trained_on && cell.tested_on == *tested_on;
        self.cells.iter().find(here)
    }

    /// The rows of the matrix, in order.
    #[must_use]
    pub fn trained_on(&self) -> Vec<&TrainedOn> {
        let mut rows: Vec<&TrainedOn> = Vec::new();
        for cell in &self.cells {
            if !rows.contains(&&cell.trained_on) {
                rows.push(&cell.trained_on);
            }
        }
        rows
    }
}

impl MeasuredCell {
    /// One of its figures.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<&CellMetric> {
        self.metrics.iter().find(|found| found.metric == metric)
    }
}

/// Plans the matrix of some rows: on the diagonal a set by its published folds where all its rows
/// have one and no subject is in two, else by five folds by subject; elsewhere all of the
/// training set, without the subjects that have a picture in the test set, against all of the test
/// set. With more than two sets a last row trains on all sets but the one tested on.
///
/// `sets` are all data sets, also those that no row here is of: their cells say so.
///
/// # Errors
/// [`EvaluateError::TooFew`] where there are fewer than two sets, or no cell can be filled.
pub fn plan_matrix(
    sets: &[SetName],
    rows: &[RowInfo],
    targets: &Targets,
    seed: u64,
) -> Result<MatrixPlan, EvaluateError> {
    if sets.len() < 2 {
        return Err(EvaluateError::TooFew(format!(
            "a matrix expects at least two data sets, found {}; give --store more than once",
            sets.len()
        )));
    }
    let of_set = |set: &SetName| -> Vec<usize> {
        (0..rows.len()).filter(|&row| rows[row].set.as_ref() == Some(set)).collect()
    };
    let planner = Planner {
        rows,
        targets,
        seed,
        divider: Divider::new(rows, targets, seed),
        of_sets: sets.iter().map(|set| (set, of_set(set))).collect(),
    };
    let alone = sets.iter().map(|set| TrainedOn::Set(set.clone()));
    let together = (sets.len() > 2).then_some(TrainedOn::AllOthers);
    let mut planned = MatrixPlan { sets: sets.to_vec(), cells: Vec::new(), splits: Vec::new() };
    for trained_on in alone.chain(together) {
        for tested_on in sets {
            planned.add(trained_on.clone(), tested_on, planner.cell(&trained_on, tested_on))?;
        }
    }
    match planned.cells.iter().find_map(|cell| cell.splits.as_ref().err()) {
        Some(reason) if planned.splits.is_empty() => {
            Err(EvaluateError::TooFew(format!("no cell of the matrix can be filled: {reason}")))
        }
        _ => Ok(planned),
    }
}

impl MatrixPlan {
    fn add(
        &mut self,
        trained_on: TrainedOn,
        tested_on: &SetName,
        cell: Result<(Option<Protocol>, Vec<CvSplit>), EvaluateError>,
    ) -> Result<(), EvaluateError> {
        let first = self.splits.len();
        let (protocol, splits) = match cell {
            Ok((protocol, splits)) => {
                self.splits.extend(splits);
                (protocol, Ok(first..self.splits.len()))
            }
            Err(EvaluateError::TooFew(reason)) => (None, Err(reason)),
            Err(error) => return Err(error),
        };
        let tested_on = tested_on.clone();
        self.cells.push(PlannedCell { trained_on, tested_on, protocol, splits });
        Ok(())
    }
}

struct Planner<'a> {
    rows: &'a [RowInfo],
    targets: &'a Targets,
    seed: u64,
    divider: Divider<'a>,
    of_sets: Vec<(&'a SetName, Vec<usize>)>,
}

impl Planner<'_> {
    fn cell(
        &self,
        trained_on: &TrainedOn,
        tested_on: &SetName,
    ) -> Result<(Option<Protocol>, Vec<CvSplit>), EvaluateError> {
        self.of_set(tested_on)?;
        let name = format!("{trained_on} → {tested_on}");
        let is_of = |row: usize, set: &SetName| self.rows[row].set.as_ref() == Some(set);
        let tested = |row: usize| is_of(row, tested_on);
        let across = match trained_on {
            TrainedOn::Set(set) if set == tested_on => {
                let (protocol, splits) = self.within(set, &name)?;
                return Ok((Some(protocol), splits));
            }
            TrainedOn::Set(set) => {
                self.of_set(set)?;
                self.divider.across(name, |row| is_of(row, set), tested)
            }
            TrainedOn::AllOthers => self.divider.across(name, |row| !tested(row), tested),
        }?;
        Ok((None, vec![across]))
    }

    /// The rows of a set; fails where there is none.
    fn of_set(&self, set: &SetName) -> Result<&[usize], EvaluateError> {
        let rows = self.of_sets.iter().find(|(name, _)| *name == set).map(|(_, rows)| &rows[..]);
        rows.filter(|rows| !rows.is_empty())
            .ok_or_else(|| EvaluateError::TooFew(format!("no row of `{set}` serves this task")))
    }

    /// The rows of one set by folds.
    fn within(&self, set: &SetName, name: &str) -> Result<(Protocol, Vec<CvSplit>), EvaluateError> {
        let numbers = self.of_set(set)?;
        let rows: Vec<RowInfo> = numbers.iter().map(|&row| self.rows[row].clone()).collect();
        let published = rows.iter().all(|row| row.fold.is_some())
            && rows.iter().any(|row| row.fold != rows[0].fold)
            && subjects_across_folds(&rows).is_empty();
        let protocol = if published { Protocol::Folds } else { Protocol::KFold(FOLDS) };
        let mut splits = plan(&protocol, &rows, &self.targets.select(numbers), self.seed)?;
        let uneven = uneven_folds(&protocol, &rows, &splits);
        if let (Some(note), Some(first)) = (uneven, splits.first_mut()) {
            first.notes.push(note.trim_end_matches('.').to_owned());
        }
        for split in &mut splits {
            split.name = format!("{name}, {}", split.name);
            for part in [&mut split.train, &mut split.validation, &mut split.test] {
                for row in part {
                    *row = numbers[*row];
                }
            }
        }
        Ok((protocol, splits))
    }
}

/// Fits the heads of every cell and measures them. `cells` and the splits of `plan` are those
/// of one [`plan_matrix`] of its rows; the plan's protocol has no part in it.
///
/// # Errors
/// As [`crate::cross_validate()`].
pub fn matrix(
    plan: &CvPlan<'_>,
    sets: &[SetName],
    cells: &[PlannedCell],
    run: &CvRun<'_>,
) -> Result<MatrixResult, EvaluateError> {
    plan.check(&[])?;
    let ranges = cells.iter().filter_map(|cell| cell.splits.as_ref().ok());
    if ranges.clone().any(|range| range.is_empty() || range.end > plan.splits.len()) {
        return Err(EvaluateError::Inconsistent(
            "the cells and the splits are not of one plan".to_owned(),
        ));
    }
    let mut jobs = Vec::new();
    for head in &plan.heads {
        for split in &plan.splits {
            let job = |&seed| Job {
                name: head.name(),
                head: head.as_ref(),
                split,
                seed,
                calibrated: true,
            };
            jobs.extend(plan.seeds.iter().map(job));
        }
    }
    let fits = Fits::new(plan, run)?;
    let records = fits.all(&jobs)?;
    let of_head = plan.splits.len() * plan.seeds.len();
    let mut heads = Vec::new();
    for (head, records) in plan.heads.iter().zip(records.chunks(of_head)) {
        let measured = |cell: &PlannedCell| -> Result<MatrixCell, EvaluateError> {
            let outcome = match &cell.splits {
                Ok(range) => {
                    CellOutcome::Measured(measure(plan, head.name(), cell, range, records)?)
                }
                Err(reason) => CellOutcome::Missing(reason.clone()),
            };
            let (trained_on, tested_on) = (cell.trained_on.clone(), cell.tested_on.clone());
            Ok(MatrixCell { trained_on, tested_on, outcome })
        };
        let cells = fits.pool().install(|| cells.iter().map(measured).collect::<Result<_, _>>())?;
        heads.push(HeadMatrix { name: head.name().to_owned(), settings: head.settings(), cells });
    }
    Ok(MatrixResult {
        task: plan.task,
        classes: plan.classes.clone(),
        seed: plan.seed,
        seeds: plan.seeds.clone(),
        features: plan.matrix.width(),
        sets: sets.iter().map(|set| counts(plan, set)).collect(),
        heads,
    })
}

fn counts(plan: &CvPlan<'_>, set: &SetName) -> SetCounts {
    let own = plan.rows.iter().filter(|row| row.set.as_ref() == Some(set));
    let rows: Vec<RowInfo> = own.cloned().collect();
    SetCounts { name: set.clone(), rows: rows.len(), subjects: subjects(&rows) }
}

fn subjects(rows: &[RowInfo]) -> usize {
    subject_numbers(rows).into_iter().max().map_or(0, |last| last + 1)
}

fn measure(
    plan: &CvPlan<'_>,
    head: &str,
    cell: &PlannedCell,
    range: &Range<usize>,
    records: &[FitRecord],
) -> Result<MeasuredCell, EvaluateError> {
    let splits = &plan.splits[range.clone()];
    let seeds = plan.seeds.len();
    let fits = &records[range.start * seeds..range.end * seeds];
    let predictions = predictions_of(plan, head, splits, fits);
    let scores = RowScores::with_moments(&predictions, head)?;
    let sums = SubjectSums::new(&scores, &predictions.rows);
    let wanted = Metric::across_sets(plan.task);
    let statistic = |totals: &[f64]| -> Vec<f64> {
        wanted.iter().map(|&metric| scores.metric(totals, metric)).collect()
    };
    let estimates = bootstrap(&sums, &statistic, plan.seed);
    let figures = wanted.iter().zip(&estimates).filter_map(|(&metric, estimate)| {
        let (value, interval) = match metric {
            Metric::IntervalCoverage => coverage(fits)?,
            _ => (estimate.estimate, Some(scores.interval(&sums, metric, estimate))),
        };
        value.is_finite().then_some(CellMetric { metric, value, interval })
    });
    let mean = |part: fn(&CvSplit) -> &Vec<usize>| {
        splits.iter().map(|split| part(split).len()).sum::<usize>() / splits.len()
    };
    let notes = splits.iter().flat_map(|split| split.notes.iter().cloned());
    Ok(MeasuredCell {
        protocol: cell.protocol,
        training: mean(|split| &split.train),
        validation: mean(|split| &split.validation),
        test: predictions.rows.len(),
        subjects: sums.subjects(),
        notes: notes
            .chain(note_on_untrained(plan, splits))
            .chain(note_on_ranges(&predictions.truth))
            .collect(),
        metrics: figures.collect(),
    })
}

/// Which classes have test rows but no training row.
fn note_on_untrained(plan: &CvPlan<'_>, splits: &[CvSplit]) -> Option<String> {
    let untrained =
        splits.iter().flat_map(|split| split.untrained_classes(&plan.targets, &plan.classes));
    let names: BTreeSet<String> = untrained.map(|(class, _)| summary_text::class(&class)).collect();
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!("no training row is of the classes {}, which no head can predict", names.join(", "))
    })
}

/// Which test rows have no exact age.
fn note_on_ranges(truth: &Targets) -> Option<String> {
    let (all, ranges) = (truth.len(), truth.ranges());
    (ranges > 0).then(|| {
        format!(
            "{ranges} of {all} test rows have an age range, which no error in years can be measured \
             against"
        )
    })
}

/// Fraction of the test rows of all fits whose age lies in its interval, and of a single fit its
/// interval by subject.
fn coverage(fits: &[FitRecord]) -> Option<(f64, Option<Interval>)> {
    let (mut inside, mut rows) = (0.0, 0.0);
    for fit in fits {
        let Some(check) = fit.result.intervals else { continue };
        inside += check.coverage * check.rows as f64;
        rows += check.rows as f64;
    }
    let single = match fits {
        [fit] => fit.result.intervals.map(|check| check.coverage_interval),
        _ => None,
    };
    (rows > 0.0).then(|| (inside / rows, single))
}
