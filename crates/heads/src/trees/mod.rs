//! Gradient-boosted decision trees over binned features.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine" (Annals of Statistics 29,
//! 2001), with the second-order steps of Chen and Guestrin, "`XGBoost`" (2016), and the histograms
//! and leaf-wise growth of Ke et al., "`LightGBM`" (2017). One thread.

mod bins;
mod stored;
mod tree;

use facefold_core::rng::{Rng, seeded};
use facefold_core::{Epoch, FeatureDataset, HeadError, TargetKind, Targets, TrainingLog};
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use crate::estimator::{Algorithm, Estimator};
use crate::features::Standardiser;
use crate::loss::softmax;
use crate::options::{ClassWeights, HeadOptions, require};
use crate::state_dict::json;
use crate::svm::Scaling;
use crate::years;
use bins::Bins;
use tree::{GrowthParams, Tree, TreeData, grow};

pub(crate) const NAME: &str = "trees";

/// Settings of `trees`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeOptions {
    /// Boosting iterations, at most. Each adds one tree; with more than two classes, one per class.
    pub num_iterations: usize,
    /// Early stopping: iterations without a lower validation loss before training stops; the trees
    /// up to the best iteration are kept. `None`: no early stopping.
    pub early_stopping_rounds: Option<usize>,
    /// Learning rate (shrinkage): factor on the values of each tree, above 0, at most 1.
    pub learning_rate: f64,
    /// Leaves of a tree, at most (`num_leaves` in `LightGBM`).
    pub num_leaves: usize,
    /// Training rows in a leaf, at least (`min_data_in_leaf` in `LightGBM`).
    pub min_data_in_leaf: usize,
    /// L2 regularisation of leaf values, added to the sum of hessians (`lambda_l2` in `LightGBM`).
    pub lambda_l2: f64,
    /// Histogram bins of a feature, 2 to 256 (`max_bin` in `LightGBM`).
    pub max_bin: usize,
    /// Features sampled for each tree; all, if there are no more.
    pub features_per_tree: usize,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            num_iterations: 400,
            early_stopping_rounds: Some(30),
            learning_rate: 0.1,
            num_leaves: 15,
            min_data_in_leaf: 20,
            lambda_l2: 1.0,
            max_bin: 64,
            features_per_tree: 256,
        }
    }
}

impl TreeOptions {
    fn check(&self) -> Result<(), HeadError> {
        require(
            self.num_iterations > 0,
            "trees.num_iterations",
            "at least 1",
            self.num_iterations,
        )?;
        require(
            self.early_stopping_rounds != Some(0),
            "trees.early_stopping_rounds",
            "at least 1",
            self.early_stopping_rounds,
        )?;
        let rate = self.learning_rate;
        require(rate > 0.0 && rate <= 1.0, "trees.learning_rate", "above 0, at most 1", rate)?;
        let leaves = self.num_leaves;
        require((2..=65_536).contains(&leaves), "trees.num_leaves", "2 to 65,536", leaves)?;
        require(
            self.min_data_in_leaf > 0,
            "trees.min_data_in_leaf",
            "at least 1",
            self.min_data_in_leaf,
        )?;
        let penalty = self.lambda_l2;
        require(penalty >= 0.0 && penalty.is_finite(), "trees.lambda_l2", "at least 0", penalty)?;
        require((2..=256).contains(&self.max_bin), "trees.max_bin", "2 to 256", self.max_bin)?;
        require(
            self.features_per_tree > 0,
            "trees.features_per_tree",
            "at least 1",
            self.features_per_tree,
        )
    }
}

#[derive(Debug)]
pub(crate) struct Trees {
    options: TreeOptions,
    class_weights: ClassWeights,
}

impl Trees {
    /// The head with these settings, which are checked.
    pub(crate) fn head(options: &HeadOptions) -> Result<Estimator<Self>, HeadError> {
        options.trees.check()?;
        Ok(Estimator {
            name: NAME,
            settings: serde_json::json!({
                "class_weights": options.class_weights,
                "unit_columns": options.unit_columns,
                "trees": json(&options.trees),
            }),
            scaling: Scaling::Standard,
            unit_columns: options.unit_columns,
            algorithm: Self {
                options: options.trees.clone(),
                class_weights: options.class_weights,
            },
        })
    }
}

impl Algorithm for Trees {
    type Model = Booster;

    fn fit(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<(Booster, TrainingLog), HeadError> {
        let options = &self.options;
        let width = features.width();
        let bins = {
            let values = features.rows(training.matrix().plain(), training.rows(), 1.0);
            Bins::new(&values, width, options.max_bin)
        };
        let validation_values = features.rows(validation.matrix().plain(), validation.rows(), 1.0);
        let of_class = match training.targets() {
            Targets::Classes { indices, count } => self.class_weights.weights(indices, *count),
            Targets::Regression(_) => Vec::new(),
        };
        let weights = weights_of(training.targets(), &of_class);
        let validation_weights = weights_of(validation.targets(), &of_class);
        let mut model = Booster {
            width,
            base_score: base_score(training.targets(), &weights),
            trees: Vec::new(),
            options: options.clone(),
        };
        let outputs = model.base_score.len();
        let mut scores = model.base_score.repeat(training.len());
        let mut validation_scores = model.base_score.repeat(validation.len());
        let growth = GrowthParams {
            leaves: options.num_leaves,
            min_data_in_leaf: options.min_data_in_leaf,
            penalty: options.lambda_l2,
            rate: options.learning_rate,
        };
        let mut columns = seeded(seed, "trees columns");
        let mut log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        let mut best: Option<(usize, f64)> = None;
        for number in 1..=options.num_iterations {
            let derivatives = Derivatives::of(training.targets(), &scores, outputs, &weights);
            for output in 0..outputs {
                let columns = sample_columns(&mut columns, width, options.features_per_tree);
                let (gradients, hessians) = derivatives.of_output(output);
                let data = TreeData { bins: &bins, gradients, hessians, columns: &columns };
                let (tree, added) = grow(&data, growth);
                for (scores, added) in scores.chunks_mut(outputs).zip(added) {
                    scores[output] += added;
                }
                for (scores, row) in
                    validation_scores.chunks_mut(outputs).zip(validation_values.chunks(width))
                {
                    scores[output] += tree.predict(row);
                }
                model.trees.push(tree);
            }
            let training_loss = loss(training.targets(), &scores, &weights);
            let validation_loss =
                loss(validation.targets(), &validation_scores, &validation_weights);
            log.epochs.push(Epoch {
                number,
                training_loss,
                validation_loss,
                validation_score: score(validation.targets(), &validation_scores),
                learning_rate: options.learning_rate,
            });
            if !validation.is_empty() && best.is_none_or(|(_, lowest)| validation_loss < lowest) {
                best = Some((number, validation_loss));
            }
            let waited = number - best.map_or(number, |(at, _)| at);
            if options.early_stopping_rounds.is_some_and(|patience| waited >= patience) {
                break;
            }
        }
        if let (Some((iterations, _)), Some(_)) = (best, options.early_stopping_rounds) {
            model.trees.truncate(iterations * outputs);
            log.best_epoch = Some(iterations);
        }
        Ok((model, log))
    }
}

/// The raw score before the first tree: the mean age, or the log odds of the classes.
fn base_score(targets: &Targets, weights: &[f32]) -> Vec<f32> {
    match targets {
        Targets::Regression(ages) => {
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

/// One weight a row, by its class; 1 for ages.
fn weights_of(targets: &Targets, of_class: &[f32]) -> Vec<f32> {
    match targets {
        Targets::Classes { indices, .. } => indices.iter().map(|&class| of_class[class]).collect(),
        Targets::Regression(years) => vec![1.0; years.len()],
    }
}

/// The columns of one tree, ascending.
fn sample_columns(generator: &mut Rng, width: usize, wanted: usize) -> Vec<usize> {
    let mut columns = if wanted >= width {
        (0..width).collect()
    } else {
        sample(generator, width, wanted).into_vec()
    };
    columns.sort_unstable();
    columns
}

/// First and second derivatives of the loss with respect to the raw scores, output by output.
struct Derivatives {
    rows: usize,
    gradients: Vec<f32>,
    hessians: Vec<f32>,
}

impl Derivatives {
    /// Half the squared error of years; the cross-entropy of classes, over a logit for two.
    fn of(targets: &Targets, scores: &[f32], outputs: usize, weights: &[f32]) -> Self {
        let rows = targets.len();
        let (mut gradients, mut hessians) = (vec![0.0; scores.len()], vec![0.0; scores.len()]);
        let mut probabilities = vec![0.0; outputs.max(2)];
        for (row, z) in scores.chunks(outputs).enumerate() {
            let weight = weights[row];
            match targets {
                Targets::Regression(ages) => {
                    gradients[row] = z[0] - ages[row].midpoint();
                    hessians[row] = 1.0;
                }
                Targets::Classes { indices, .. } => {
                    probabilities_of(z, &mut probabilities);
                    // The last class's output, where one serves for two.
                    for output in 0..outputs {
                        let class = if outputs == 1 { 1 } else { output };
                        let probability = probabilities[class];
                        let wanted = f32::from(indices[row] == class);
                        gradients[output * rows + row] = weight * (probability - wanted);
                        hessians[output * rows + row] =
                            weight * (probability * (1.0 - probability)).max(1e-6);
                    }
                }
            }
        }
        Self { rows, gradients, hessians }
    }

    fn of_output(&self, output: usize) -> (&[f32], &[f32]) {
        let range = output * self.rows..(output + 1) * self.rows;
        (&self.gradients[range.clone()], &self.hessians[range])
    }
}

/// Class probabilities of a row: by softmax, or by one logit for the second of two classes.
fn probabilities_of(z: &[f32], probabilities: &mut [f32]) {
    match z {
        [logit] => {
            softmax(&[0.0, *logit], probabilities);
        }
        all => {
            softmax(all, probabilities);
        }
    }
}

/// Weighted mean of the cross-entropy, or of half the squared error; 0 of no rows.
fn loss(targets: &Targets, scores: &[f32], weights: &[f32]) -> f64 {
    let losses: Vec<f64> = match targets {
        Targets::Regression(ages) => {
            let errors = scores.iter().zip(ages).map(|(z, age)| f64::from(z - age.midpoint()));
            errors.map(|error| error.powi(2) / 2.0).collect()
        }
        Targets::Classes { indices, count } => {
            let mut probabilities = vec![0.0; *count];
            let rows = scores.chunks(outputs_of(*count)).zip(indices);
            rows.map(|(z, &class)| {
                probabilities_of(z, &mut probabilities);
                -f64::from(probabilities[class].max(f32::MIN_POSITIVE)).ln()
            })
            .collect()
        }
    };
    let sum: f64 = losses.iter().zip(weights).map(|(loss, &weight)| loss * f64::from(weight)).sum();
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    sum / total.max(f64::MIN_POSITIVE)
}

/// Accuracy, or error in years ([`years::error`]); 0 of no rows.
fn score(targets: &Targets, scores: &[f32]) -> f64 {
    match targets {
        Targets::Regression(ages) => years::error(scores, ages),
        Targets::Classes { indices, count } => {
            let mut probabilities = vec![0.0; *count];
            let rows = scores.chunks(outputs_of(*count)).zip(indices);
            let right = rows.filter(|(z, class)| {
                probabilities_of(z, &mut probabilities);
                probabilities.iter().all(|probability| *probability <= probabilities[**class])
            });
            right.count() as f64 / indices.len().max(1) as f64
        }
    }
}

/// Trees per iteration for so many classes.
fn outputs_of(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// The base score, and the trees in order of iteration.
#[derive(Debug)]
pub(crate) struct Booster {
    /// Number of features.
    width: usize,
    base_score: Vec<f32>,
    trees: Vec<Tree>,
    options: TreeOptions,
}

impl Booster {
    /// Class probabilities, or the age in years, of a row.
    fn predict_row(&self, target: TargetKind, row: &[f32], predictions: &mut Vec<f32>) {
        let outputs = self.base_score.len();
        let mut scores = self.base_score.clone();
        for (number, tree) in self.trees.iter().enumerate() {
            scores[number % outputs] += tree.predict(row);
        }
        match target {
            TargetKind::Regression => predictions.extend(scores),
            TargetKind::Classes { count } => {
                let first = predictions.len();
                predictions.resize(first + count, 0.0);
                probabilities_of(&scores, &mut predictions[first..]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
