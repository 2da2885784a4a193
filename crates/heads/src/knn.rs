//! The nearest training rows by cosine: the classes they have, or the median of their years.
//!
//! A bundle of this head holds the features of all training rows: treat it as a store of them.

use candle_core::{Device, Tensor};
use facefold_core::{
    FeatureDataset, FeatureMatrix, FeatureRows, FittedHead, Head, HeadError, Predictions,
    StateDict, TargetKind, Targets, TrainingLog,
};
use ndarray::{Array1, ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use crate::features::Standardiser;
use crate::flip_tta::flip_averaged;
use crate::linear::{mismatch, predictions};
use crate::options::{HeadOptions, one_or_more, require};
use crate::state_dict::{Reader, Stored, Tensors, backend, json};
use crate::svm::Scaling;
use crate::threads::on_one_thread;
use crate::years;

pub(crate) const NAME: &str = "knn";

/// Rows compared with all training rows at a time.
const BLOCK: usize = 250;

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
    unit_columns: Option<(usize, usize)>,
}

impl Knn {
    /// Checks the settings.
    pub(crate) fn new(options: &HeadOptions) -> Result<Self, HeadError> {
        let knn = options.knn.clone();
        let ok = !knn.n_neighbors.is_empty() && knn.n_neighbors.iter().all(|&k| k > 0);
        require(ok, "knn.n_neighbors", "a number of at least 1, or a list", &knn.n_neighbors)?;
        Ok(Self { options: knn, unit_columns: options.unit_columns })
    }

    fn fit_here(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
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
        let rows = directions(&features, training.matrix().plain(), training.rows());
        let mut fitted = Fitted {
            known: WeightedTarget::new(rows, features.width())?,
            features,
            targets,
            class_frequencies,
            stored: Stored {
                target,
                unit_columns: self.unit_columns,
                settings: Settings { neighbours: 0, options: self.options.clone() },
                log: TrainingLog { rows_used: n, ..TrainingLog::default() },
            },
        };
        let mut tried: Vec<usize> = self.options.n_neighbors.iter().map(|&k| k.min(n)).collect();
        if validation.is_empty() {
            tried.truncate(1);
        }
        let most = tried.iter().copied().max().unwrap_or(1);
        let nearest = fitted.nearest(validation.matrix().plain(), validation.rows(), most)?;
        let mut best: Option<(f64, usize)> = None;
        for k in tried {
            let predictions = fitted.predictions(&nearest, most, k);
            let error = error(&predictions, validation.targets());
            if best.is_none_or(|(lowest, _)| error < lowest) {
                best = Some((error, k));
            }
        }
        let k = best.map_or(1, |(_, k)| k);
        fitted.stored.settings.neighbours = k;
        let why = if validation.is_empty() { "given" } else { "best on the validation rows" };
        let notes = &mut fitted.stored.log.notes;
        notes.push(format!("{k} neighbours, {why}"));
        notes.extend(years::midpoint_note(training.targets()));
        notes.extend(years::choice_note(validation.targets()));
        Ok(fitted)
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

/// Scaled rows of length 1, whose inner products are cosines.
fn directions(features: &Standardiser, source: &FeatureRows, rows: &[usize]) -> Vec<f32> {
    let mut values = features.rows(source, rows, 1.0);
    for row in values.chunks_mut(features.width()) {
        let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        if norm > 0.0 {
            for value in row {
                *value /= norm;
            }
        }
    }
    values
}

impl Head for Knn {
    fn name(&self) -> &str {
        NAME
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "unit_columns": self.unit_columns, "knn": json(&self.options) })
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _seed: u64,
    ) -> Result<Box<dyn FittedHead>, HeadError> {
        let fitted = on_one_thread(|| self.fit_here(training, validation))?;
        Ok(Box::new(fitted))
    }
}

/// The training rows as a tensor, ready to be multiplied with.
#[derive(Debug)]
struct WeightedTarget {
    /// n x d.
    rows: Tensor,
    /// d x n, a view of the former.
    columns: Tensor,
}

impl WeightedTarget {
    fn new(values: Vec<f32>, width: usize) -> Result<Self, HeadError> {
        let failed = backend("laying out the training rows");
        let shape = (values.len() / width.max(1), width);
        let rows = Tensor::from_vec(values, shape, &Device::Cpu).map_err(&failed)?;
        let columns = rows.t().map_err(&failed)?;
        Ok(Self { rows, columns })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    /// Number of neighbours.
    neighbours: usize,
    options: KnnOptions,
}

#[derive(Debug)]
struct Fitted {
    features: Standardiser,
    known: WeightedTarget,
    /// Class index or years of each training row.
    targets: Vec<f32>,
    /// Share of the training rows in each class; empty for years.
    class_frequencies: Vec<f32>,
    stored: Stored<Settings>,
}

impl Fitted {
    /// For each row, the numbers of the `k` nearest training rows, nearest first; of equally near
    /// ones the earlier.
    fn nearest(
        &self,
        source: &FeatureRows,
        rows: &[usize],
        k: usize,
    ) -> Result<Vec<u32>, HeadError> {
        let failed = backend("comparing rows with the training rows");
        let n = self.targets.len();
        let mut found = Vec::with_capacity(rows.len() * k);
        for chunk in rows.chunks(BLOCK) {
            let problems = directions(&self.features, source, chunk);
            let cosines =
                Tensor::from_vec(problems, (chunk.len(), self.features.width()), &Device::Cpu)
                    .and_then(|problems| {
                        problems.matmul(&self.known.columns)?.flatten_all()?.to_vec1::<f32>()
                    })
                    .map_err(&failed)?;
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
        }
        Ok(found)
    }

    /// Class probabilities or ages by the first `k` of the `most` neighbours of each row.
    fn predictions(&self, nearest: &[u32], most: usize, k: usize) -> Vec<f32> {
        let rows =
            nearest.chunks(most).map(|row| row[..k].iter().map(|&at| self.targets[at as usize]));
        match self.stored.target {
            TargetKind::Regression => {
                let median = |row: &mut dyn Iterator<Item = f32>| {
                    let mut years: Vec<f32> = row.collect();
                    years.sort_by(f32::total_cmp);
                    f32::midpoint(years[(k - 1) / 2], years[k / 2])
                };
                rows.map(|mut row| median(&mut row)).collect()
            }
            TargetKind::Classes { .. } => rows
                .flat_map(|row| {
                    // One more neighbour, which is of each class with its frequency among the
                    // training rows: no class is ruled out by few neighbours.
                    let mut votes = self.class_frequencies.clone();
                    row.for_each(|class| votes[class as usize] += 1.0);
                    votes.into_iter().map(move |votes| votes / (k + 1) as f32)
                })
                .collect(),
        }
    }
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Predictions, HeadError> {
        let k = self.stored.settings.neighbours;
        let side = |source: &FeatureRows, rows: &[usize]| {
            Ok(self.predictions(&self.nearest(source, rows, k)?, k, k))
        };
        predictions(self.stored.target, flip_averaged(&self.features, matrix, rows, side)?)
    }

    fn log(&self) -> &TrainingLog {
        &self.stored.log
    }

    fn state_dict(&self) -> StateDict {
        let mut tensors = Tensors::new();
        self.features.store(&mut tensors);
        // The tensor is f32 and lies in main memory, so reading it cannot fail.
        let values = self.known.rows.flatten_all().and_then(|flat| flat.to_vec1());
        let shape = IxDyn(self.known.rows.dims());
        let rows = ArrayD::from_shape_vec(shape, values.unwrap_or_default());
        tensors.insert("rows".to_owned(), rows.unwrap_or_default());
        tensors.insert("targets".to_owned(), Array1::from(self.targets.clone()).into_dyn());
        if !self.class_frequencies.is_empty() {
            tensors.insert(
                "class_frequencies".to_owned(),
                Array1::from(self.class_frequencies.clone()).into_dyn(),
            );
        }
        self.stored.state_dict(NAME, tensors)
    }
}

/// Restores the head from its state dict.
pub(crate) fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    let reader = Reader(state);
    let stored: Stored<Settings> = reader.stored()?;
    let features = Standardiser::restore(&reader, stored.unit_columns)?;
    let rows = reader.matrix("rows", (None, Some(features.width())))?;
    let targets = reader.vector("targets", Some(rows.nrows()))?;
    let class_frequencies = match stored.target {
        TargetKind::Classes { count } => reader.vector("class_frequencies", Some(count))?,
        TargetKind::Regression => Vec::new(),
    };
    let neighbours = stored.settings.neighbours;
    let is_class = |&class: &f32| class >= 0.0 && (class as usize) < class_frequencies.len();
    if neighbours == 0 || neighbours > targets.len() {
        return Err(HeadError::Corrupt(format!(
            "{neighbours} neighbours of {} rows",
            targets.len()
        )));
    }
    if stored.target != TargetKind::Regression && !targets.iter().all(is_class) {
        return Err(HeadError::Corrupt(format!(
            "rows of none of {} classes",
            class_frequencies.len()
        )));
    }
    let known = WeightedTarget::new(rows.iter().copied().collect(), features.width())?;
    Ok(Box::new(Fitted { features, known, targets, class_frequencies, stored }))
}
