//! Collects the fits of a plan into one result and one table of predictions.

use std::sync::Arc;

use facefold_core::{AgeTarget, Targets};

use crate::cross_validate::{CvOutcome, CvPlan};
use crate::curves::{AgeHistogram, roc_curves};
use crate::error::EvaluateError;
use crate::journal::FitRecord;
use crate::metrics::{Metrics, PredictedValues};
use crate::predictions::{PredictedRow, PredictionColumn, RowPredictions};
use crate::result::{AgeBand, CvResult, FitResult, HeadResult, SplitSummary};
use crate::row_info::subject_numbers;
use crate::split::CvSplit;
use crate::summary::summarise;

/// Puts the fits of heads, given by name and settings, together; `records` are in the order heads,
/// splits, seeds.
pub(crate) fn gather(
    plan: &CvPlan<'_>,
    named: &[(&str, serde_json::Value)],
    records: &[FitRecord],
) -> Result<CvOutcome, EvaluateError> {
    let truth = truth(plan, &plan.splits);
    let rows = predicted_rows(plan, &plan.splits);
    let mut columns = Vec::new();
    let mut heads = Vec::new();
    let fits_of_head = plan.splits.len() * plan.seeds.len();
    for ((name, settings), fits) in named.iter().zip(records.chunks(fits_of_head)) {
        let own = columns_of(plan, name, fits);
        let predicted_values = concat(own.iter().map(|column| &column.predicted_values));
        let targets = repeated(&truth, own.len());
        let pooled = Metrics::measure(&predicted_values, &targets, plan.ordered())?;
        let Some(pooled) = pooled else {
            return Err(EvaluateError::TooFew("there are no test rows".to_owned()));
        };
        let results: Vec<FitResult> = fits.iter().map(|fit| fit.result.clone()).collect();
        heads.push(HeadResult {
            name: (*name).to_owned(),
            settings: settings.clone(),
            fits: results,
            pooled,
            summary: Vec::new(),
            roc: roc_curves(&predicted_values, &targets),
            age_histogram: AgeHistogram::of(&predicted_values, &targets),
            by_age: by_age(&own, &truth)?,
            thresholds: match &plan.thresholds {
                Some(thresholds) => thresholds.evaluate(plan, fits, &rows)?,
                None => Vec::new(),
            },
        });
        columns.extend(own);
    }
    let predictions = RowPredictions {
        task: plan.task,
        classes: plan.classes.clone(),
        rows,
        truth,
        // It hangs on the faces alone, not on the head or the seed.
        familiarity: all(of_seed(&records[..fits_of_head.min(records.len())], plan.seeds[0])
            .map(|fit| fit.familiarity.as_deref())),
        columns,
    };
    for head in &mut heads {
        head.summary = summarise(head, &predictions, plan.seed)?;
    }
    let subjects = subject_numbers(&plan.rows).into_iter().max().map_or(0, |last| last + 1);
    let result = CvResult {
        task: plan.task,
        classes: plan.classes.clone(),
        protocol: plan.protocol,
        seed: plan.seed,
        seeds: plan.seeds.clone(),
        rows: plan.rows.len(),
        subjects,
        class_rows: class_rows(&plan.targets),
        range_rows: plan.targets.ranges(),
        features: plan.matrix.width(),
        splits: plan.splits.iter().map(|split| summary_of(plan, split)).collect(),
        heads,
    };
    Ok(CvOutcome { result, predictions })
}

/// The fits of one head under one seed, one a split.
fn of_seed(fits: &[FitRecord], seed: u64) -> impl Iterator<Item = &FitRecord> {
    fits.iter().filter(move |fit| fit.id.seed == seed)
}

/// What every fit knows, fit after fit; none where one does not know it.
fn all<'a, T: Clone + 'a>(parts: impl Iterator<Item = Option<&'a [T]>>) -> Option<Vec<T>> {
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
}

/// The predictions of one head on some splits of a plan; `fits` are those of these splits,
/// in the order splits, seeds.
pub(crate) fn predictions_of(
    plan: &CvPlan<'_>,
    head: &str,
    splits: &[CvSplit],
    fits: &[FitRecord],
) -> RowPredictions {
    RowPredictions {
        task: plan.task,
        classes: plan.classes.clone(),
        rows: predicted_rows(plan, splits),
        truth: truth(plan, splits),
        familiarity: all(of_seed(fits, plan.seeds[0]).map(|fit| fit.familiarity.as_deref())),
        columns: columns_of(plan, head, fits),
    }
}

fn truth(plan: &CvPlan<'_>, splits: &[CvSplit]) -> Targets {
    let tested: Vec<usize> = splits.iter().flat_map(|split| split.test.iter().copied()).collect();
    plan.targets.select(&tested)
}

/// One column a seed.
fn columns_of(plan: &CvPlan<'_>, head: &str, fits: &[FitRecord]) -> Vec<PredictionColumn> {
    let column = |&seed| PredictionColumn {
        head: head.to_owned(),
        seed,
        predicted_values: concat(of_seed(fits, seed).map(|fit| &fit.predicted_values)),
        intervals: all(of_seed(fits, seed).map(|fit| fit.intervals.as_deref())),
    };
    plan.seeds.iter().map(column).collect()
}

fn predicted_rows(plan: &CvPlan<'_>, splits: &[CvSplit]) -> Vec<PredictedRow> {
    let mut rows = Vec::new();
    for split in splits {
        let name: Arc<str> = split.name.as_str().into();
        rows.extend(split.test.iter().map(|&row| PredictedRow {
            path: Arc::clone(&plan.rows[row].path),
            subject: plan.rows[row].shared_subject_name(),
            split: Arc::clone(&name),
        }));
    }
    rows
}

/// Errors on children and on old people. An age range counts where all of it lies in the band.
fn by_age(columns: &[PredictionColumn], truth: &Targets) -> Result<Vec<AgeBand>, EvaluateError> {
    let Targets::Regression(ages) = truth else { return Ok(Vec::new()) };
    let under_18 = |age: &AgeTarget| age.high() < 18.0;
    let old = |age: &AgeTarget| age.low() >= 60.0;
    let bands = [
        ("under 18", ages.iter().map(under_18).collect()),
        ("60 and older", ages.iter().map(old).collect()),
    ];
    let mut found = Vec::new();
    for (name, holds) in bands {
        let holds: Vec<bool> = holds;
        let rows: Vec<usize> = (0..ages.len()).filter(|&row| holds[row]).collect();
        let predicted_values: Vec<PredictedValues> =
            columns.iter().map(|column| column.predicted_values.of_rows(&rows)).collect();
        let truth = repeated(&truth.select(&rows), columns.len());
        if let Some(Metrics::Regression(metrics)) =
            Metrics::measure(&concat(predicted_values.iter()), &truth, false)?
        {
            found.push(AgeBand { name: name.to_owned(), rows: rows.len(), metrics });
        }
    }
    Ok(found)
}

fn repeated(targets: &Targets, times: usize) -> Targets {
    match targets {
        Targets::Classes { indices, count } => {
            Targets::Classes { indices: indices.repeat(times), count: *count }
        }
        Targets::Regression(ages) => Targets::Regression(ages.repeat(times)),
    }
}

/// Puts predictions of one kind behind each other.
pub(crate) fn concat<'a>(parts: impl Iterator<Item = &'a PredictedValues>) -> PredictedValues {
    let (mut classes, mut probabilities, mut all_years) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        match part {
            PredictedValues::Classes { predicted, probabilities: of_part } => {
                classes.extend_from_slice(predicted);
                probabilities.extend_from_slice(of_part);
            }
            PredictedValues::Regression(years) => all_years.extend_from_slice(years),
        }
    }
    if all_years.is_empty() {
        PredictedValues::Classes { predicted: classes, probabilities }
    } else {
        PredictedValues::Regression(all_years)
    }
}

fn class_rows(targets: &Targets) -> Vec<usize> {
    match targets {
        Targets::Classes { indices, count } => {
            let mut rows = vec![0; *count];
            for &class in indices {
                rows[class] += 1;
            }
            rows
        }
        Targets::Regression(_) => Vec::new(),
    }
}

fn summary_of(plan: &CvPlan<'_>, split: &CvSplit) -> SplitSummary {
    SplitSummary {
        name: split.name.clone(),
        train: split.train.len(),
        validation: split.validation.len(),
        test: split.test.len(),
        shared_test_rows: split.shared_test_rows,
        untrained_classes: split.untrained_classes(&plan.targets, &plan.classes),
        notes: split.notes.clone(),
    }
}
