//! The nearest training rows by cosine: the classes they have, or the median of their years.
//!
//! A bundle of this head holds the features of all training rows: treat it as a store of them.

use facefold_core::{FeatureDataset, HeadError, TargetKind, Targets, TrainingLog};
use ndarray::{Array1, ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use crate::estimator::{Algorithm, Estimator, Model};
use crate::features::Standardiser;
use crate::inner_products::inner_products;
use crate::options::{HeadOptions, one_or_more, require};
use crate::state_dict::{Reader, Tensors, json, multiplier};
use crate::svm::Scaling;
use crate::years;

pub(crate) const NAME: &str = "knn";

/// Settings of `knn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnnOptions {
    /// Number of neighbours: one number or a list, of which the best on the validation rows
    /// is kept (the first, where there are none).
    #[serde(deserialize_with = "one_or_more")]
    pub n_neighbors: Vec<usize>,
    /// How features are scaled before the cosine is taken: `standard`, or `unit` for none.
    pub scaling: Scaling,
}

impl Default for KnnOptions {
    fn default() -> Self {
        Self { n_neighbors: vec![30, 10, 20, 50, 100], scaling: Scaling::Standard }
    }
}

#[derive(Debug)]
pub(crate) struct Knn {
    options: KnnOptions,
}

impl Knn {
    /// The head with these settings, which are checked.
    pub(crate) fn head(options: &HeadOptions) -> Result<Estimator<Self>, HeadError> {
        let knn = options.knn.clone();
        let ok = !knn.n_neighbors.is_empty() && knn.n_neighbors.iter().all(|&k| k > 0);
        require(ok, "knn.n_neighbors", "a number of at least 1, or a list", &knn.n_neighbors)?;
        Ok(Estimator {
            name: NAME,
            settings: serde_json::json!({
                "unit_columns": options.unit_columns,
                "knn": json(&knn),
            }),
            scaling: knn.scaling,
            unit_columns: options.unit_columns,
            algorithm: Self { options: knn },
        })
    }
}

impl Algorithm for Knn {
    type Model = Neighbours;

    fn fit(
        &self,
        features: &Standardiser,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _seed: u64,
    ) -> Result<(Neighbours, TrainingLog), HeadError> {
        let n = training.len();
        let (targets, class_frequencies) = match training.targets() {
            Targets::Regression(ages) => (years::midpoints(ages), Vec::new()),
            Targets::Classes { indices, count } => {
                let mut class_frequencies = vec![0.0; *count];
                for &class in indices {
                    class_frequencies[class] += 1.0 / n as f32;
                }
                (indices.iter().map(|&class| class as f32).collect(), class_frequencies)
            }
        };
        let width = features.width();
        let rows = features.rows(training.matrix().plain(), training.rows(), 1.0);
        let settings = Settings { neighbours: 0, options: self.options.clone() };
        let mut model = Neighbours {
            rows: directions(rows, width),
            width,
            targets,
            class_frequencies,
            settings,
        };
        let mut tried: Vec<usize> = self.options.n_neighbors.iter().map(|&k| k.min(n)).collect();
        if validation.is_empty() {
            tried.truncate(1);
        }
        let most = tried.iter().copied().max().unwrap_or(1);
        let mut nearest = Vec::with_capacity(validation.len() * most);
        for rows in features.chunks(validation.matrix().plain(), validation.rows()) {
            nearest.extend(model.nearest(rows, most)?);
        }
        let mut best: Option<(f64, usize)> = None;
        for k in tried {
            let predictions = model.predictions(&nearest, most, k);
            let error = error(&predictions, validation.targets());
            if best.is_none_or(|(lowest, _)| error < lowest) {
                best = Some((error, k));
            }
        }
        let k = best.map_or(1, |(_, k)| k);
        model.settings.neighbours = k;
        let why = if validation.is_empty() { "given" } else { "best on the validation rows" };
        let notes = vec![format!("{k} neighbours, {why}")];
        Ok((model, TrainingLog { rows_used: n, notes, ..TrainingLog::default() }))
    }
}

/// Mean cross-entropy, or mean absolute error in years; 0 of no rows.
fn error(predictions: &[f32], targets: &Targets) -> f64 {
    match targets {
        Targets::Classes { indices, count } => {
            let rows = predictions.chunks(*count).zip(indices);
            let losses =
                rows.map(|(row, &class)| -f64::from(row[class].max(f32::MIN_POSITIVE)).ln());
            losses.sum::<f64>() / indices.len().max(1) as f64
        }
        Targets::Regression(ages) => years::error(predictions, ages),
    }
}

/// Scaled rows at length 1, so that inner products are cosines.
fn directions(mut rows: Vec<f32>, width: usize) -> Vec<f32> {
    for row in rows.chunks_mut(width) {
        let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        if norm > 0.0 {
            for value in row {
                *value /= norm;
            }
        }
    }
    rows
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Number of neighbours.
    neighbours: usize,
    options: KnnOptions,
}

/// The training rows.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// [`directions`], n x d.
    rows: Vec<f32>,
    width: usize,
    /// Class index or years of each row.
    targets: Vec<f32>,
    /// Share of the rows in each class; empty for years.
    class_frequencies: Vec<f32>,
    settings: Settings,
}

impl Neighbours {
    /// For each row, the numbers of the `k` nearest training rows, nearest first; of equally near
    /// ones the earlier.
    fn nearest(&self, rows: Vec<f32>, k: usize) -> Result<Vec<u32>, HeadError> {
        let n = self.targets.len();
        let mut found = Vec::with_capacity(rows.len() / self.width * k);
        let rows = directions(rows, self.width);
        let cosines = inner_products(&rows, &self.rows, self.width, &mut multiplier()?);
        for cosines in cosines.chunks(n) {
            let mut order: Vec<u32> = (0..n as u32).collect();
            let nearer = |a: &u32, b: &u32| {
                cosines[*b as usize].total_cmp(&cosines[*a as usize]).then(a.cmp(b))
            };
            if k < n {
                order.select_nth_unstable_by(k - 1, nearer);
                order.truncate(k);
            }
            order.sort_unstable_by(nearer);
            found.extend(order);
        }
        Ok(found)
    }

    /// Class probabilities or ages by the first `k` of the `most` neighbours of each row.
    fn predictions(&self, nearest: &[u32], most: usize, k: usize) -> Vec<f32> {
        let rows =
            nearest.chunks(most).map(|row| row[..k].iter().map(|&at| self.targets[at as usize]));
        if self.class_frequencies.is_empty() {
            let median = |row: &mut dyn Iterator<Item = f32>| {
                let mut years: Vec<f32> = row.collect();
                years.sort_by(f32::total_cmp);
                f32::midpoint(years[(k - 1) / 2], years[k / 2])
            };
            return rows.map(|mut row| median(&mut row)).collect();
        }
        rows.flat_map(|row| {
            // One more neighbour, which is of each class with its frequency among the training
            // rows: no class is ruled out by few neighbours.
            let mut votes = self.class_frequencies.clone();
            row.for_each(|class| votes[class as usize] += 1.0);
            votes.into_iter().map(move |votes| votes / (k + 1) as f32)
        })
        .collect()
    }
}

impl Model for Neighbours {
    type Settings = Settings;

    fn predict(&self, _target: TargetKind, rows: Vec<f32>) -> Result<Vec<f32>, HeadError> {
        let k = self.settings.neighbours;
        Ok(self.predictions(&self.nearest(rows, k)?, k, k))
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn store(&self, tensors: &mut Tensors) {
        let shape = IxDyn(&[self.targets.len(), self.width]);
        // The shape is that of the values: it always fits.
        let rows = ArrayD::from_shape_vec(shape, self.rows.clone()).unwrap_or_default();
        tensors.insert("rows".to_owned(), rows);
        tensors.insert("targets".to_owned(), Array1::from(self.targets.clone()).into_dyn());
        if !self.class_frequencies.is_empty() {
            let frequencies = Array1::from(self.class_frequencies.clone());
            tensors.insert("class_frequencies".to_owned(), frequencies.into_dyn());
        }
    }

    fn restore(
        reader: &Reader<'_>,
        target: TargetKind,
        settings: Settings,
        width: usize,
    ) -> Result<Self, HeadError> {
        let rows = reader.matrix("rows", (None, Some(width)))?;
        let targets = reader.vector("targets", Some(rows.nrows()))?;
        let class_frequencies = match target {
            TargetKind::Classes { count } => reader.vector("class_frequencies", Some(count))?,
            TargetKind::Regression => Vec::new(),
        };
        let neighbours = settings.neighbours;
        if neighbours == 0 || neighbours > targets.len() {
            return Err(HeadError::Corrupt(format!(
                "{neighbours} neighbours of {} rows",
                targets.len()
            )));
        }
        let is_class = |&class: &f32| class >= 0.0 && (class as usize) < class_frequencies.len();
        if target != TargetKind::Regression && !targets.iter().all(is_class) {
            return Err(HeadError::Corrupt(format!(
                "rows of none of {} classes",
                class_frequencies.len()
            )));
        }
        let rows = rows.iter().copied().collect();
        Ok(Self { rows, width, targets, class_frequencies, settings })
    }
}
