//! One line a metric: mean and standard deviation over folds and over seeds, and an interval.

use serde::{Deserialize, Serialize};

use crate::error::EvaluateError;
use crate::metrics::{Metric, Metrics};
use crate::predictions::RowPredictions;
use crate::result::{FitResult, HeadResult};
use crate::statistics::bootstrap::{Interval, bootstrap};
use crate::statistics::sums::{RowScores, SubjectSums};
use crate::statistics::{mean, standard_deviation};

/// One metric of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// Which one.
    pub metric: Metric,
    /// Mean over the test folds of the mean over seeds.
    pub mean: f64,
    /// Standard deviation over folds (of the mean over seeds, n - 1); none with one fold.
    pub deviation_over_folds: Option<f64>,
    /// Standard deviation over seeds (of the mean over folds, n - 1); none with one seed.
    pub deviation_over_seeds: Option<f64>,
    /// The same mean on training rows.
    pub train: Option<f64>,
    /// The same mean on validation rows.
    pub validation: Option<f64>,
    /// Over all test rows together, averaged over seeds.
    pub pooled: f64,
    /// 95 % interval of `pooled`, by drawing subjects with replacement, where the metric
    /// [has one](Metric::has_interval). Of a proportion that is equal for all subjects, the exact one
    /// of Clopper and Pearson (1934) for so many trials.
    pub interval: Option<Interval>,
}

pub(crate) fn summarise(
    head: &HeadResult,
    predictions: &RowPredictions,
    seed: u64,
) -> Result<Vec<MetricSummary>, EvaluateError> {
    let measured = |metric: &Metric| head.pooled.get(*metric).is_some();
    let metrics: Vec<Metric> =
        Metric::of(predictions.task).iter().copied().filter(measured).collect();
    let scores = RowScores::of_head(predictions, &head.name)?;
    let sums = SubjectSums::new(&scores, &predictions.rows);
    let drawn: Vec<Metric> =
        metrics.iter().copied().filter(|metric| metric.has_interval()).collect();
    let statistic = |totals: &[f64]| -> Vec<f64> {
        drawn.iter().map(|&metric| scores.metric(totals, metric)).collect()
    };
    let intervals = bootstrap(&sums, &statistic, seed);
    Ok(metrics
        .into_iter()
        .filter_map(|metric| {
            let test = Grid::new(&head.fits, |fit| fit.test.get(metric))?;
            let part = |get: fn(&FitResult) -> Option<&Metrics>| {
                Grid::new(&head.fits, |fit| get(fit)?.get(metric)).map(|grid| mean(&grid.folds))
            };
            let interval = drawn.iter().position(|&other| other == metric);
            Some(MetricSummary {
                metric,
                mean: mean(&test.folds),
                deviation_over_folds: standard_deviation(&test.folds),
                deviation_over_seeds: standard_deviation(&test.seeds),
                train: part(|fit| fit.train.as_ref()),
                validation: part(|fit| fit.validation.as_ref()),
                pooled: match interval {
                    Some(index) => intervals[index].estimate,
                    None => head.pooled.get(metric)?,
                },
                interval: interval.map(|index| scores.interval(&sums, metric, &intervals[index])),
            })
        })
        .collect())
}

/// A value of every fit that has it, averaged over seeds for each fold and over folds for each
/// seed.
struct Grid {
    folds: Vec<f64>,
    seeds: Vec<f64>,
}

impl Grid {
    fn new(fits: &[FitResult], value: impl Fn(&FitResult) -> Option<f64>) -> Option<Self> {
        // What is measured depends on the rows of a split: on those of all its seeds or of none.
        let fits = fits.iter().filter_map(|fit| Some((fit.split.as_str(), value(fit)?)));
        let (splits, values): (Vec<&str>, Vec<f64>) = fits.unzip();
        let first = splits.first()?;
        let seeds = splits.iter().filter(|&split| split == first).count();
        // Fits come split by split, the seeds in the same order in each.
        let folds = values.chunks(seeds).map(mean).collect();
        let seeds = (0..seeds)
            .map(|seed| mean(&values.iter().copied().skip(seed).step_by(seeds).collect::<Vec<_>>()))
            .collect();
        Some(Self { folds, seeds })
    }
}
