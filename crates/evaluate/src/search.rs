//! Hyper-parameter search by nested validation: chooses a head's settings on inner,
//! subject-exclusive validation rows, split by split.
//!
//! The test rows of a split have no part in it: the fits of a search are made on splits of
//! its training and validation rows alone, and the head with the settings chosen meets the test
//! rows once, in [`crate::cross_validate_with`].

mod halving;
mod inner_splits;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use facefold_core::{Head, HeadError};
use serde::{Deserialize, Serialize};

use crate::cross_validate::{ChosenHead, CvPlan, CvRun};
use crate::error::EvaluateError;
use crate::fits::{Fits, Job};
use crate::metrics::{Metric, Metrics};
use crate::split::CvSplit;
use inner_splits::InnerSplits;

/// Settings that are tried together, by name: `mlp.dropout` is 0.2. Empty for the settings that
/// the search starts from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration(pub BTreeMap<String, serde_json::Value>);

/// What the early iterations of a search give less of than the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Passes over the training rows.
    Epochs,
    /// Training rows, by whole subjects; a later iteration has those of the earlier ones and more.
    Subjects,
}

/// Where the rows come from that configurations are scored on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InnerValidation {
    /// The split's validation rows.
    HoldOut,
    /// Stratified group k-fold over training and validation rows; each fold scores once. Steadier
    /// where rows are few, and as many times dearer.
    Folds(usize),
}

/// A search for the settings of one head.
pub struct Search<'a> {
    /// The head's name.
    pub head: String,
    /// The name in the results of the head with the settings chosen.
    pub name: String,
    /// What is tried; of equally good ones the first is chosen.
    pub configurations: Vec<Configuration>,
    /// What is saved on where many are tried.
    pub budget: Budget,
    /// Makes the head of a configuration that gets this fraction of its epochs, above 0 and at most
    /// 1; always 1 where the budget is subjects.
    pub make: &'a MakeHead<'a>,
    /// One in so many configurations goes on to the next iteration, with so many times the budget;
    /// 1 tries all of them with the whole budget.
    pub halving: usize,
    /// Where the scoring rows come from.
    pub inner: InnerValidation,
}

/// Makes the head of a configuration with a fraction of its epochs.
pub type MakeHead<'a> = dyn Fn(&Configuration, f64) -> Result<Box<dyn Head>, HeadError> + Sync + 'a;

/// All that a search tried, and what it chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// The head's name.
    pub head: String,
    /// The name in the results of the head with the settings chosen.
    pub name: String,
    /// What decided: accuracy, or the mean absolute error in years.
    pub metric: Metric,
    /// What the early iterations give less of.
    pub budget: Budget,
    /// One in so many configurations went on from an iteration.
    pub halving: usize,
    /// Where the scoring rows came from.
    pub inner: InnerValidation,
    /// The fraction of the budget at each iteration; the last is 1.
    pub budget_fractions: Vec<f64>,
    /// What was tried.
    pub configurations: Vec<Configuration>,
    /// Every configuration at every iteration that it reached, by split.
    pub trials: Vec<Trial>,
    /// One entry a split.
    pub choices: Vec<Choice>,
}

/// One configuration at one iteration of one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The split.
    pub split: String,
    /// The configuration, by its place in [`SearchResult::configurations`].
    pub configuration: usize,
    /// The iteration, from 0.
    pub iteration: usize,
    /// Rows that it was scored on.
    pub rows: usize,
    /// The deciding metric on them; none where the head failed.
    pub score: Option<f64>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Wall-clock seconds of its fits.
    pub seconds: f64,
}

/// What was chosen for a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The split.
    pub split: String,
    /// The configuration, by its place in [`SearchResult::configurations`].
    pub configuration: usize,
    /// Its score with the whole budget.
    pub score: f64,
}

/// What a search gives: the head for [`crate::cross_validate_with`], and how it was found.
pub struct SearchOutcome {
    /// The head, with settings for each split of the plan.
    pub head: ChosenHead,
    /// All that was tried.
    pub result: SearchResult,
}

/// Searches the settings of a head for every split of a plan, with the plan's first seed.
/// Trials are stored in the journal, so that an interrupted search resumes.
///
/// Successive halving (Jamieson and Talwalkar 2016): all configurations begin with a small fraction
/// of the budget, and the better part goes on with more. Epochs start anew at each iteration, so
/// that a schedule runs to its end in each.
///
/// # Errors
/// [`EvaluateError`] where a setting is out of range, a split cannot be divided further, every
/// configuration fails, the journal cannot be written, or the run is cancelled.
pub fn search(
    plan: &CvPlan<'_>,
    search: &Search<'_>,
    run: &CvRun<'_>,
) -> Result<SearchOutcome, EvaluateError> {
    plan.check(&[])?;
    if search.configurations.is_empty() {
        return Err(EvaluateError::Inconsistent("a search without configurations".to_owned()));
    }
    let fits = Fits::new(plan, run)?;
    let metric = Metric::primary(plan.task, &plan.targets);
    let budget_fractions = halving::budget_fractions(search.configurations.len(), search.halving);
    let outer_splits: Vec<InnerSplits> = plan
        .splits
        .iter()
        .map(|split| InnerSplits::new(plan, split, search.inner))
        .collect::<Result<_, _>>()?;
    let mut alive: Vec<Vec<usize>> =
        outer_splits.iter().map(|_| (0..search.configurations.len()).collect()).collect();
    let mut trials = Vec::new();
    for (iteration, &share) in budget_fractions.iter().enumerate() {
        let iteration = HalvingIteration {
            plan,
            search,
            outer_splits: &outer_splits,
            number: iteration,
            share,
        };
        let tried = iteration.run(&alive, metric, &fits)?;
        for (outer, alive) in outer_splits.iter().zip(&mut alive) {
            let of_split: Vec<&Trial> =
                tried.iter().filter(|trial| trial.split == outer.name).collect();
            *alive = halving::best(
                &of_split,
                metric,
                iteration.number + 1 == budget_fractions.len(),
                search,
            );
            if alive.is_empty() {
                return Err(all_failed(&of_split));
            }
        }
        trials.extend(tried);
    }
    let mut choices = Vec::new();
    let mut heads = Vec::new();
    for (outer, best) in outer_splits.iter().zip(alive) {
        let configuration = best[0];
        let last =
            |trial: &&Trial| trial.split == outer.name && trial.configuration == configuration;
        let score = trials.iter().rfind(last).and_then(|trial| trial.score);
        choices.push(Choice {
            split: outer.name.clone(),
            configuration,
            score: score.unwrap_or(f64::NAN),
        });
        heads.push(search.head_of(configuration, 1.0)?);
    }
    Ok(SearchOutcome {
        head: ChosenHead { name: search.name.clone(), heads },
        result: SearchResult {
            head: search.head.clone(),
            name: search.name.clone(),
            metric,
            budget: search.budget,
            halving: search.halving,
            inner: search.inner,
            budget_fractions,
            configurations: search.configurations.clone(),
            trials,
            choices,
        },
    })
}

impl Search<'_> {
    fn head_of(&self, configuration: usize, share: f64) -> Result<Box<dyn Head>, EvaluateError> {
        let share = if self.budget == Budget::Epochs { share } else { 1.0 };
        (self.make)(&self.configurations[configuration], share).map_err(|source| {
            EvaluateError::Inconsistent(format!("a configuration of `{}`: {source}", self.head))
        })
    }
}

/// All trials with one fraction of the budget.
struct HalvingIteration<'a> {
    plan: &'a CvPlan<'a>,
    search: &'a Search<'a>,
    outer_splits: &'a [InnerSplits],
    number: usize,
    share: f64,
}

impl HalvingIteration<'_> {
    fn run(
        &self,
        alive: &[Vec<usize>],
        metric: Metric,
        fits: &Fits<'_>,
    ) -> Result<Vec<Trial>, EvaluateError> {
        let seed = self.plan.seeds[0];
        let mut heads: BTreeMap<usize, Box<dyn Head>> = BTreeMap::new();
        for &configuration in alive.iter().flatten() {
            if let Entry::Vacant(place) = heads.entry(configuration) {
                place.insert(self.search.head_of(configuration, self.share)?);
            }
        }
        // The inner splits of every trial, and where each trial begins among them.
        let mut splits: Vec<(usize, CvSplit)> = Vec::new();
        let mut begun: Vec<(usize, usize, usize)> = Vec::new();
        for (&configuration, head) in &heads {
            for (number, outer) in self.outer_splits.iter().enumerate() {
                if alive[number].contains(&configuration) {
                    begun.push((number, configuration, splits.len()));
                    let share = match self.search.budget {
                        Budget::Epochs => 1.0,
                        Budget::Subjects => self.share,
                    };
                    let inner = outer.splits(self.plan, head.as_ref(), self.share, share);
                    splits.extend(inner.into_iter().map(|split| (configuration, split)));
                }
            }
        }
        let jobs: Vec<Job<'_>> = splits
            .iter()
            .map(|(configuration, split)| Job {
                name: &self.search.head,
                head: heads[configuration].as_ref(),
                split,
                seed,
                calibrated: false,
            })
            .collect();
        let outcomes = fits.each(&jobs)?;
        Ok(begun
            .into_iter()
            .map(|(number, configuration, first)| {
                let outer = &self.outer_splits[number];
                let outcomes = &outcomes[first..first + outer.inner()];
                let mut trial = Trial {
                    split: outer.name.clone(),
                    configuration,
                    iteration: self.number,
                    rows: 0,
                    score: None,
                    failure: None,
                    seconds: 0.0,
                };
                let mut sum = 0.0;
                for outcome in outcomes {
                    match outcome {
                        Ok(record) => {
                            let measured = &record.result.test;
                            trial.rows += measured.rows_of(metric);
                            trial.seconds += record.result.seconds;
                            sum += weighted(measured, metric);
                        }
                        Err(error) => trial.failure = Some(error.to_string()),
                    }
                }
                let measured = trial.failure.is_none() && trial.rows > 0;
                trial.score = measured.then(|| sum / trial.rows as f64);
                trial
            })
            .collect())
    }
}

/// A metric times the rows it is a mean over; 0 where there is no such row.
fn weighted(measured: &Metrics, metric: Metric) -> f64 {
    measured.get(metric).map_or(0.0, |value| value * measured.rows_of(metric) as f64)
}

fn all_failed(trials: &[&Trial]) -> EvaluateError {
    let first = trials.iter().find_map(|trial| trial.failure.as_deref()).unwrap_or("no trial");
    EvaluateError::Inconsistent(format!(
        "none of the {} configurations could be fitted; the first failed so: {first}",
        trials.len()
    ))
}
