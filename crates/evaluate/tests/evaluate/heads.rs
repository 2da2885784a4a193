//! Simple heads and made-up rows for the tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::rng::seeded;
use facefold_core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Fold, Head, HeadError, PredictedTargets,
    Prediction, StateDict, SubjectId, Targets, TrainingLog,
};
use facefold_evaluate::RowInfo;
use ndarray::Array2;
use rand::Rng;

/// Predictions with the class of the nearest training row; counts its fits.
#[derive(Default)]
pub struct Nearest {
    pub fits: &'static [AtomicUsize],
}

impl Head for Nearest {
    fn name(&self) -> &'static str {
        "nearest"
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "neighbours": 1 })
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _: u64,
    ) -> Result<Fit, HeadError> {
        if let Some(count) = self.fits.first() {
            count.fetch_add(1, Ordering::SeqCst);
        }
        let head = FittedNearest {
            rows: training.rows().to_vec(),
            targets: training.targets().clone(),
            log: TrainingLog { rows_used: training.len(), ..TrainingLog::default() },
        };
        Fit::of(head, validation)
    }
}

/// The same, of a head that learns auxiliary tasks too; its fit depends on how many auxiliary labels
/// it is given.
pub struct NearestMultiTask(pub Nearest);

impl Head for NearestMultiTask {
    fn name(&self) -> &'static str {
        "nearest-multi-task"
    }

    fn settings(&self) -> serde_json::Value {
        self.0.settings()
    }

    fn uses_auxiliary_tasks(&self) -> bool {
        true
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let mut fit = self.0.fit(training, validation, seed)?;
        let labels = training.auxiliary_tasks().iter().map(|task| task.rows.len()).sum();
        let mut log = fit.head.log().clone();
        log.rows_used = labels;
        let head = FittedNearest {
            rows: training.rows().to_vec(),
            targets: training.targets().clone(),
            log,
        };
        fit.head = Box::new(head);
        Ok(fit)
    }
}

struct FittedNearest {
    rows: Vec<usize>,
    targets: Targets,
    log: TrainingLog,
}

impl FittedHead for FittedNearest {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let plain = matrix.plain().to_array();
        let nearest = |row: usize| {
            let distance = |other: usize| -> f32 {
                let difference = &plain.row(row) - &plain.row(other);
                difference.mapv(|x| x * x).sum()
            };
            (0..self.rows.len())
                .min_by(|&a, &b| distance(self.rows[a]).total_cmp(&distance(self.rows[b])))
                .unwrap()
        };
        let targets = match &self.targets {
            Targets::Classes { indices, count } => {
                let mut probabilities = Array2::zeros((rows.len(), *count));
                for (number, &row) in rows.iter().enumerate() {
                    probabilities[(number, indices[nearest(row)])] = 1.0;
                }
                PredictedTargets::Classes(probabilities)
            }
            Targets::Regression(years) => PredictedTargets::Regression(
                rows.iter().map(|&row| years[nearest(row)].midpoint()).collect(),
            ),
        };
        Ok(targets.into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        StateDict {
            kind: "nearest".to_owned(),
            config: serde_json::Value::Null,
            tensors: BTreeMap::new(),
        }
    }
}

/// Predictions at random from its seed: differs between seeds and splits, never between runs.
pub struct RandomGuess(pub &'static str);

impl Head for RandomGuess {
    fn name(&self) -> &str {
        self.0
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let Targets::Classes { count, .. } = training.targets() else {
            return Err(HeadError::Untrainable("guesses have no years".to_owned()));
        };
        let (first, count) = (training.rows()[0], *count);
        Fit::of(FittedDice { seed, first, count, log: TrainingLog::default() }, validation)
    }
}

struct FittedDice {
    seed: u64,
    first: usize,
    count: usize,
    log: TrainingLog,
}

impl FittedHead for FittedDice {
    fn predict(&self, _: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let mut generator = seeded(self.seed, &format!("guess {}", self.first));
        let mut probabilities = Array2::zeros((rows.len(), self.count));
        for number in 0..rows.len() {
            probabilities[(number, generator.random_range(0..self.count))] = 1.0;
        }
        Ok(PredictedTargets::Classes(probabilities).into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        StateDict {
            kind: "guess".to_owned(),
            config: serde_json::Value::Null,
            tensors: BTreeMap::new(),
        }
    }
}

/// Rows of people who look like themselves and carry a label drawn at random.
pub struct People {
    pub matrix: FeatureMatrix,
    pub rows: Vec<RowInfo>,
    pub targets: Targets,
}

/// `subjects` people with `pictures` rows each in five folds; the label says nothing about looks.
pub fn people(subjects: usize, pictures: usize, seed: u64) -> People {
    let mut generator = seeded(seed, "people");
    let (mut features, mut rows, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for subject in 0..subjects {
        let face: Vec<f32> = (0..8).map(|_| generator.random_range(-1.0..1.0)).collect();
        let label = generator.random_range(0..2);
        for picture in 0..pictures {
            features.extend(face.iter().map(|x| x + generator.random_range(-0.05..0.05_f32)));
            indices.push(label);
            rows.push(RowInfo {
                path: format!("{subject}/{picture}.jpg").into(),
                subject: Some(SubjectId::new(format!("person {subject}"))),
                fold: Some(Fold((subject % 5) as u16)),
                split: None,
                set: None,
            });
        }
    }
    let plain = Array2::from_shape_vec((rows.len(), 8), features).unwrap();
    People {
        matrix: FeatureMatrix::new(plain, None).unwrap(),
        rows,
        targets: Targets::Classes { indices, count: 2 },
    }
}
