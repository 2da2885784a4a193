//! A head of your own: the nearest mean of a class, cross-validated against a linear head on generated
//! features. Needs no weights, and takes seconds.
//!
//! `cargo run --release -p facefold --example custom_head`

// An example prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use facefold::core::rng::seeded;
use facefold::core::{
    FeatureDataset, FeatureMatrix, Fit, FittedHead, Head, HeadError, PredictedTargets, Prediction,
    StateDict, SubjectId, Targets, Task, TrainingLog,
};
use facefold::evaluate::{Metrics, RowInfo};
use facefold::ndarray::{Array1, Array2, Axis};
use facefold::{CvOptions, RowId, TaskData, compare, cross_validate, head};
use rand::Rng as _;

struct NearestMean;

struct Means(Array2<f32>, TrainingLog);

impl Head for NearestMean {
    fn name(&self) -> &'static str {
        "nearest-mean"
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        _seed: u64,
    ) -> Result<Fit, HeadError> {
        let Targets::Classes { indices, count } = training.targets() else {
            return Err(HeadError::Untrainable("expected classes, found years".to_owned()));
        };
        let mut sums = Array2::<f32>::zeros((*count, training.matrix().width()));
        let mut rows = vec![0.0_f32; *count];
        for (&row, &class) in training.rows().iter().zip(indices) {
            sums.row_mut(class).scaled_add(1.0, &Array1::from(training.matrix().plain().row(row)));
            rows[class] += 1.0;
        }
        for (mut sum, rows) in sums.rows_mut().into_iter().zip(rows) {
            sum /= rows.max(1.0);
        }
        let log = TrainingLog { rows_used: training.len(), ..TrainingLog::default() };
        Fit::of(Means(sums, log), validation)
    }
}

impl FittedHead for Means {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let Self(means, _) = self;
        let mut scores = Array2::from_shape_fn((rows.len(), means.nrows()), |(row, class)| {
            let features = matrix.plain().row(rows[row]);
            let squares = features.iter().zip(means.row(class)).map(|(x, mean)| (x - mean).powi(2));
            (-squares.sum::<f32>()).exp()
        });
        for mut row in scores.axis_iter_mut(Axis(0)) {
            let sum = row.sum().max(f32::MIN_POSITIVE);
            row /= sum;
        }
        Ok(PredictedTargets::Classes(scores).into())
    }

    fn log(&self) -> &TrainingLog {
        &self.1
    }

    fn state_dict(&self) -> StateDict {
        let means = ("means".to_owned(), self.0.clone().into_dyn());
        StateDict {
            kind: "nearest-mean".to_owned(),
            config: serde_json::json!({}),
            tensors: [means].into(),
        }
    }
}

/// Two classes a little apart in 16 dimensions; 100 subjects with 4 pictures each.
fn generated() -> facefold::Result<TaskData> {
    let mut rng = seeded(1, "custom_head");
    let class = |row: usize| (row / 4) % 2;
    let features = Array2::from_shape_fn((400, 16), |(row, _)| {
        rng.random_range(-1.0_f32..1.0) + 0.2 * class(row) as f32
    });
    let row = |row: usize| RowInfo {
        path: format!("{row}.jpg"),
        subject: Some(SubjectId::new(format!("subject {}", row / 4))),
        fold: None,
        split: None,
        set: None,
    };
    TaskData::new(
        (Task::Gender, vec!["female".to_owned(), "male".to_owned()]),
        FeatureMatrix::new(features, None)?,
        &(0..400).map(RowId).collect::<Vec<_>>(),
        (0..400).map(row).collect(),
        Targets::Classes { indices: (0..400).map(class).collect(), count: 2 },
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let heads: Vec<Box<dyn Head>> =
        vec![Box::new(NearestMean), head("linear", &facefold::heads::HeadOptions::default())?];
    let outcome = cross_validate(&generated()?, heads, CvOptions::default(), &())?;
    for head in &outcome.result.heads {
        if let Metrics::Classes(classes) = &head.pooled {
            println!("{}: accuracy {:.3} on {} rows", head.name, classes.accuracy, classes.rows);
        }
    }
    if let Some(comparison) = compare(&outcome, 0)? {
        for pair in &comparison.pairs {
            let (first, second) = (&pair.first, &pair.second);
            println!("{first} less {second}: {:.3} (p {:.4})", pair.difference, pair.adjusted_p);
        }
    }
    Ok(())
}
