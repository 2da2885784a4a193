//! A head of your own: the nearest mean of a class, cross-validated against a linear head on generated
//! features. Needs no weights, and takes seconds.
//!
//! `cargo run --release -p facefold --example custom_head`

#![allow(clippy::print_stdout, reason = "a program: stdout is its output")]

use facefold::core::rng::seeded;
use facefold::core::{FeatureMatrix, FunctionHead, HeadError, SubjectId, Targets, Task};
use facefold::evaluate::{Metrics, RowInfo};
use facefold::heads::HeadOptions;
use facefold::ndarray::{Array1, Array2, ArrayView1};
use facefold::{CvOptions, RowId, TaskData, compare, cross_validate, head};
use rand::Rng as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The function that fits gives the one that predicts the classes' probabilities of a row.
    let nearest_mean = FunctionHead::new("nearest-mean", |training| {
        let Targets::Classes { indices, count } = training.targets() else {
            return Err(HeadError::Untrainable("expected classes, found years".to_owned()));
        };
        let mut means = Array2::<f32>::zeros((*count, training.matrix().width()));
        for (&row, &class) in training.rows().iter().zip(indices) {
            let rows = indices.iter().filter(|&&other| other == class).count() as f32;
            let features = Array1::from(training.matrix().plain().row(row));
            means.row_mut(class).scaled_add(1.0 / rows, &features);
        }
        Ok(move |row: &[f32]| {
            let distance =
                |mean: ArrayView1<'_, f32>| (&ArrayView1::from(row) - &mean).mapv(|x| x * x).sum();
            let scores: Vec<f32> =
                means.rows().into_iter().map(|mean| (-distance(mean)).exp()).collect();
            let sum = scores.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            scores.iter().map(|score| score / sum).collect()
        })
    });

    // Two classes a little apart in 16 dimensions; 100 subjects with 4 pictures each.
    let mut rng = seeded(1, "custom_head");
    let class = |row: usize| (row / 4) % 2;
    let features = Array2::from_shape_fn((400, 16), |(row, _)| {
        rng.random_range(-1.0_f32..1.0) + 0.2 * class(row) as f32
    });
    let subject = |row: usize| SubjectId::new(format!("subject {}", row / 4));
    let data = TaskData::new(
        (Task::Gender, vec!["female".to_owned(), "male".to_owned()]),
        FeatureMatrix::new(features, None)?,
        &(0..400).map(RowId).collect::<Vec<_>>(),
        (0..400).map(|row| RowInfo::new(format!("{row}.jpg"), subject(row))).collect(),
        Targets::Classes { indices: (0..400).map(class).collect(), count: 2 },
    )?;

    let outcome = cross_validate(
        &data,
        vec![Box::new(nearest_mean), head("linear", &HeadOptions::default())?],
        CvOptions::default(),
        &(),
    )?;
    for head in &outcome.result.heads {
        let Metrics::Classes(classes) = &head.pooled else { continue };
        println!("{}: accuracy {:.3} on {} rows", head.name, classes.accuracy, classes.rows);
    }
    let comparison = compare(&outcome, 0)?.ok_or("fewer than two heads")?;
    comparison.pairs.iter().for_each(|pair| println!("{}", pair.summary));
    Ok(())
}
