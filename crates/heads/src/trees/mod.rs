//! Gradient-boosted trees over binned features: each tree corrects what the trees before it tell.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine" (Annals of Statistics 29,
//! 2001), with the second-order steps of Chen and Guestrin, "`XGBoost`" (2016), and the histograms
//! and leaf-wise growth of Ke et al., "`LightGBM`" (2017). One thread.

mod bins;
mod stored;
mod tree;

use facefold_core::rng::{Rng, seeded};
use facefold_core::{
    Epoch, Examples, FeatureMatrix, FeatureRows, FittedHead, Head, HeadError, HeadParts,
    Predictions, TargetKind, Targets, TrainingLog,
};
use ndarray::Array1;
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use crate::features::Standardiser;
use crate::linear::{mismatch, predictions};
use crate::loss::softmax;
use crate::options::{ClassWeights, HeadOptions, require};
use crate::parts::{Stored, Tensors, json};
use crate::sides::answer_both;
use crate::threads::on_one_thread;
use crate::years;
use bins::Bins;
pub(crate) use stored::restore;
use tree::{Ground, Growth, Tree, grow};

pub(crate) const NAME: &str = "trees";

/// Rows answered at a time.
const ANSWER_ROWS: usize = 250;

/// Settings of `trees`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeOptions {
    /// At most so many rounds. Each adds a tree; for more than two classes, a tree a class.
    pub rounds: usize,
    /// Stop after so many rounds without a lower validation loss; the trees of the best round are
    /// kept. `None`: all rounds, and all trees.
    pub patience: Option<usize>,
    /// Share of what a tree finds that is added to what the trees before it tell.
    pub learning_rate: f64,
    /// Leaves a tree.
    pub leaves: usize,
    /// Training rows a leaf, at least.
    pub least_rows: usize,
    /// Added to the second derivatives of a leaf, which draws its value to 0.
    pub penalty: f64,
    /// Bins a column, 2 to 256.
    pub bins: usize,
    /// Columns that a tree may split, drawn anew for each; all, where there are no more.
    pub columns: usize,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            rounds: 400,
            patience: Some(30),
            learning_rate: 0.1,
            leaves: 15,
            least_rows: 20,
            penalty: 1.0,
            bins: 64,
            columns: 256,
        }
    }
}

impl TreeOptions {
    fn check(&self) -> Result<(), HeadError> {
        require(self.rounds > 0, "trees.rounds", "at least 1", self.rounds)?;
        require(self.patience != Some(0), "trees.patience", "at least 1", self.patience)?;
        let rate = self.learning_rate;
        require(rate > 0.0 && rate <= 1.0, "trees.learning_rate", "above 0, at most 1", rate)?;
        let leaves = self.leaves;
        require((2..=65_536).contains(&leaves), "trees.leaves", "2 to 65,536", leaves)?;
        require(self.least_rows > 0, "trees.least_rows", "at least 1", self.least_rows)?;
        let penalty = self.penalty;
        require(penalty >= 0.0 && penalty.is_finite(), "trees.penalty", "at least 0", penalty)?;
        require((2..=256).contains(&self.bins), "trees.bins", "2 to 256", self.bins)?;
        require(self.columns > 0, "trees.columns", "at least 1", self.columns)
    }
}

#[derive(Debug)]
pub(crate) struct Trees {
    options: TreeOptions,
    class_weights: ClassWeights,
    unit_columns: Option<(usize, usize)>,
}

impl Trees {
    /// Checks the settings.
    pub(crate) fn new(options: &HeadOptions) -> Result<Self, HeadError> {
        options.trees.check()?;
        Ok(Self {
            options: options.trees.clone(),
            class_weights: options.class_weights,
            unit_columns: options.unit_columns,
        })
    }

    fn fit_here(
        &self,
        training: &Examples<'_>,
        validation: &Examples<'_>,
        seed: u64,
    ) -> Result<Fitted, HeadError> {
        let options = &self.options;
        let target = training.targets().kind();
        if validation.targets().kind() != target {
            return Err(mismatch(&target, &validation.targets().kind()));
        }
        let features = Standardiser::fit(training, self.unit_columns)?;
        features.check(validation.matrix(), validation.rows())?;
        let width = features.width();
        let bins = {
            let values = features.rows(training.matrix().plain(), training.rows(), 1.0);
            Bins::new(&values, width, options.bins)
        };
        let kept = features.rows(validation.matrix().plain(), validation.rows(), 1.0);
        let of_class = match training.targets() {
            Targets::Classes { indices, count } => self.class_weights.weights(indices, *count),
            Targets::Years(_) => Vec::new(),
        };
        let weights = weights_of(training.targets(), &of_class);
        let kept_weights = weights_of(validation.targets(), &of_class);
        let mut model = Model { target, start: start(training.targets(), &weights), trees: vec![] };
        let outputs = model.start.len();
        let mut told = model.start.repeat(training.len());
        let mut kept_told = model.start.repeat(validation.len());
        let growth = Growth {
            leaves: options.leaves,
            least_rows: options.least_rows,
            penalty: options.penalty,
            rate: options.learning_rate,
        };
        let mut columns = seeded(seed, "trees columns");
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let mut best: Option<(usize, f64)> = None;
        for number in 1..=options.rounds {
            let pulls = Pulls::of(training.targets(), &told, outputs, &weights);
            for output in 0..outputs {
                let columns = drawn(&mut columns, width, options.columns);
                let (slopes, curves) = pulls.of_output(output);
                let ground = Ground { bins: &bins, slopes, curves, columns: &columns };
                let (tree, added) = grow(&ground, growth);
                for (told, added) in told.chunks_mut(outputs).zip(added) {
                    told[output] += added;
                }
                for (told, row) in kept_told.chunks_mut(outputs).zip(kept.chunks(width)) {
                    told[output] += tree.tell(row);
                }
                model.trees.push(tree);
            }
            let training_loss = loss(training.targets(), &told, &weights);
            let validation_loss = loss(validation.targets(), &kept_told, &kept_weights);
            log.epochs.push(Epoch {
                number,
                training_loss,
                validation_loss,
                validation_score: score(validation.targets(), &kept_told),
                learning_rate: options.learning_rate,
            });
            if !validation.is_empty() && best.is_none_or(|(_, lowest)| validation_loss < lowest) {
                best = Some((number, validation_loss));
            }
            let waited = number - best.map_or(number, |(at, _)| at);
            if options.patience.is_some_and(|patience| waited >= patience) {
                break;
            }
        }
        if let (Some((rounds, _)), Some(_)) = (best, options.patience) {
            model.trees.truncate(rounds * outputs);
            log.best_epoch = Some(rounds);
        }
        log.notes.extend(years::midpoint_note(training.targets()));
        log.notes.extend(years::choice_note(validation.targets()));
        let settings = options.clone();
        let stored = Stored { target, unit_columns: self.unit_columns, settings, log };
        Ok(Fitted { features, model, stored })
    }
}

/// What is told before the first tree: the mean of the years, or the log odds of the classes.
fn start(targets: &Targets, weights: &[f32]) -> Vec<f32> {
    match targets {
        Targets::Years(ages) => {
            let sum: f64 = ages.iter().map(|age| f64::from(age.midpoint())).sum();
            vec![(sum / ages.len() as f64) as f32]
        }
        Targets::Classes { indices, count } => {
            // Half a row more in each class keeps the odds finite.
            let mut rows = vec![0.5_f64; *count];
            for (&class, &weight) in indices.iter().zip(weights) {
                rows[class] += f64::from(weight);
            }
            match rows.as_slice() {
                [no, yes] => vec![(yes / no).ln() as f32],
                all => {
                    let sum: f64 = all.iter().sum();
                    all.iter().map(|rows| (rows / sum).ln() as f32).collect()
                }
            }
        }
    }
}

/// One weight a row, by its class; 1 for years.
fn weights_of(targets: &Targets, of_class: &[f32]) -> Vec<f32> {
    match targets {
        Targets::Classes { indices, .. } => indices.iter().map(|&class| of_class[class]).collect(),
        Targets::Years(years) => vec![1.0; years.len()],
    }
}

/// The columns of one tree, ascending.
fn drawn(generator: &mut Rng, width: usize, wanted: usize) -> Vec<usize> {
    let mut columns = if wanted >= width {
        (0..width).collect()
    } else {
        sample(generator, width, wanted).into_vec()
    };
    columns.sort_unstable();
    columns
}

/// First and second derivatives of the loss by what each row is told, output by output.
struct Pulls {
    rows: usize,
    slopes: Vec<f32>,
    curves: Vec<f32>,
}

impl Pulls {
    /// Half the squared error of years; the cross-entropy of classes, over a logit for two.
    fn of(targets: &Targets, told: &[f32], outputs: usize, weights: &[f32]) -> Self {
        let rows = targets.len();
        let (mut slopes, mut curves) = (vec![0.0; told.len()], vec![0.0; told.len()]);
        let mut shares = vec![0.0; outputs.max(2)];
        for (row, z) in told.chunks(outputs).enumerate() {
            let weight = weights[row];
            match targets {
                Targets::Years(ages) => {
                    slopes[row] = z[0] - ages[row].midpoint();
                    curves[row] = 1.0;
                }
                Targets::Classes { indices, .. } => {
                    shares_of(z, &mut shares);
                    // The last class's output, where one serves for two.
                    for output in 0..outputs {
                        let class = if outputs == 1 { 1 } else { output };
                        let share = shares[class];
                        let wanted = f32::from(indices[row] == class);
                        slopes[output * rows + row] = weight * (share - wanted);
                        curves[output * rows + row] = weight * (share * (1.0 - share)).max(1e-6);
                    }
                }
            }
        }
        Self { rows, slopes, curves }
    }

    fn of_output(&self, output: usize) -> (&[f32], &[f32]) {
        let range = output * self.rows..(output + 1) * self.rows;
        (&self.slopes[range.clone()], &self.curves[range])
    }
}

/// Class shares of a row: of the softmax, or of one logit for the second of two classes.
fn shares_of(z: &[f32], shares: &mut [f32]) {
    match z {
        [logit] => {
            softmax(&[0.0, *logit], shares);
        }
        all => {
            softmax(all, shares);
        }
    }
}

/// Weighted mean of the cross-entropy, or of half the squared error; 0 of no rows.
fn loss(targets: &Targets, told: &[f32], weights: &[f32]) -> f64 {
    let losses: Vec<f64> = match targets {
        Targets::Years(ages) => {
            let errors = told.iter().zip(ages).map(|(z, age)| f64::from(z - age.midpoint()));
            errors.map(|error| error.powi(2) / 2.0).collect()
        }
        Targets::Classes { indices, count } => {
            let mut shares = vec![0.0; *count];
            let rows = told.chunks(outputs_of(*count)).zip(indices);
            rows.map(|(z, &class)| {
                shares_of(z, &mut shares);
                -f64::from(shares[class].max(f32::MIN_POSITIVE)).ln()
            })
            .collect()
        }
    };
    let sum: f64 = losses.iter().zip(weights).map(|(loss, &weight)| loss * f64::from(weight)).sum();
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    sum / total.max(f64::MIN_POSITIVE)
}

/// Accuracy, or error in years ([`years::error`]); 0 of no rows.
fn score(targets: &Targets, told: &[f32]) -> f64 {
    match targets {
        Targets::Years(ages) => years::error(told, ages),
        Targets::Classes { indices, count } => {
            let mut shares = vec![0.0; *count];
            let rows = told.chunks(outputs_of(*count)).zip(indices);
            let right = rows.filter(|(z, class)| {
                shares_of(z, &mut shares);
                shares.iter().all(|share| *share <= shares[**class])
            });
            right.count() as f64 / indices.len().max(1) as f64
        }
    }
}

/// Trees a round for so many classes.
fn outputs_of(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

impl Head for Trees {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({
            "class_weights": self.class_weights,
            "unit_columns": self.unit_columns,
            "trees": json(&self.options),
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

/// Where the trees start from, and the trees, round by round.
#[derive(Debug)]
struct Model {
    target: TargetKind,
    start: Vec<f32>,
    trees: Vec<Tree>,
}

impl Model {
    /// Class shares, or years, of a standardised row.
    fn answer(&self, row: &[f32], answers: &mut Vec<f32>) {
        let outputs = self.start.len();
        let mut told = self.start.clone();
        for (number, tree) in self.trees.iter().enumerate() {
            told[number % outputs] += tree.tell(row);
        }
        match self.target {
            TargetKind::Years => answers.extend(told),
            TargetKind::Classes { count } => {
                let first = answers.len();
                answers.resize(first + count, 0.0);
                shares_of(&told, &mut answers[first..]);
            }
        }
    }
}

#[derive(Debug)]
struct Fitted {
    features: Standardiser,
    model: Model,
    stored: Stored<TreeOptions>,
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let side = |source: &FeatureRows, rows: &[usize]| {
            let mut answers = Vec::new();
            for chunk in rows.chunks(ANSWER_ROWS) {
                let values = self.features.rows(source, chunk, 1.0);
                for row in values.chunks(self.features.width()) {
                    self.model.answer(row, &mut answers);
                }
            }
            Ok(answers)
        };
        predictions(self.stored.target, answer_both(&self.features, matrix, rows, side)?)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn parts(&self) -> HeadParts {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        tensors.insert("start".to_owned(), Array1::from(self.model.start.clone()).into_dyn());
        stored::store(&self.model.trees, &mut tensors);
        self.stored.parts(NAME, tensors)
    }
}

#[cfg(test)]
mod tests;
