//! Fits a head on all folds but one and asks it for the one left out, for each fold or only some:
//! `folds FEATURES.npy TARGETS.npy FOLDS.npy HEAD [SETTINGS.json] [FOLD...]`.
//!
//! Features are f32, n x d; targets are i32 class indices, or f32 years; folds are i32. Prints a
//! JSON object for each fold. The rows left out are the validation rows too, so a list of settings
//! is tried as scikit-learn's `GridSearchCV` tries it, and the notes have each setting's score.
//! `scripts/bench_heads.py` measures with it.

#![allow(clippy::print_stdout, reason = "a program: stdout is its output")]

use std::error::Error;
use std::io::Read;

use facefold_core::{FeatureDataset, FeatureMatrix, PredictedTargets, Targets};
use facefold_heads::{HeadOptions, registry};
use ndarray::Array2;
use serde_json::json;

/// Shape, type and values of a `.npy` file.
struct Npy {
    shape: Vec<usize>,
    header: String,
    values: Vec<u32>,
}

/// Reads a file in parts, so that a million rows are in memory once.
fn load(path: &str) -> Result<Npy, Box<dyn Error>> {
    let mut file = fs_err::File::open(path)?;
    let mut start = [0; 10];
    file.read_exact(&mut start)?;
    let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    file.read_exact(&mut header)?;
    let header = String::from_utf8_lossy(&header).into_owned();
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
    let (shape, _) = shape.ok_or("a header without a shape")?;
    let shape: Vec<usize> = shape.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    let count: usize = shape.iter().product();
    let mut values = Vec::with_capacity(count);
    let mut bytes = vec![0; 1 << 20];
    while values.len() < count {
        let part = bytes.len().min(4 * (count - values.len()));
        file.read_exact(&mut bytes[..part])?;
        values.extend(bytes[..part].as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)));
    }
    Ok(Npy { shape, header, values })
}

impl Npy {
    /// In place: both are four bytes.
    fn floats(self) -> Vec<f32> {
        self.values.into_iter().map(f32::from_bits).collect()
    }

    fn integers(self) -> Vec<i32> {
        self.values.into_iter().map(u32::cast_signed).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [features, targets, folds, head, rest @ ..] = arguments.as_slice() else {
        return Err("expected FEATURES TARGETS FOLDS HEAD [SETTINGS] [FOLD...]".into());
    };
    let features = load(features)?;
    let shape = (features.shape[0], features.shape[1]);
    let matrix = FeatureMatrix::new(Array2::from_shape_vec(shape, features.floats())?, None)?;
    let targets = load(targets)?;
    let targets = if targets.header.contains("<f4") {
        Targets::exact_years(targets.floats())
    } else {
        let indices: Vec<usize> =
            targets.integers().into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
        let count = indices.iter().max().map_or(0, |last| last + 1);
        Targets::Classes { indices, count }
    };
    let folds = load(folds)?.integers();
    let (settings, problems) = match rest {
        [first, problems @ ..] => (serde_json::from_str(first)?, problems),
        [] => (HeadOptions::default(), rest),
    };
    let head = registry::head(head, &settings)?;
    let mut chosen: Vec<i32> =
        problems.iter().map(|fold| fold.parse()).collect::<Result<_, _>>()?;
    if chosen.is_empty() {
        chosen.clone_from(&folds);
        chosen.sort_unstable();
        chosen.dedup();
    }
    for fold in chosen {
        // Rows of a negative fold are unused.
        let rows = |left_out: bool| -> Vec<usize> {
            let used = |row: &usize| folds[*row] >= 0 && (folds[*row] == fold) == left_out;
            (0..folds.len()).filter(used).collect()
        };
        let examples = |rows: Vec<usize>| {
            let targets = targets.select(&rows);
            FeatureDataset::new(&matrix, rows, targets)
        };
        let (training, left_out) = (examples(rows(false))?, examples(rows(true))?);
        let fit = head.fit(&training, &left_out, 0)?;
        let line = json!({
            "fold": fold,
            "rows": training.len(),
            "score": score(&fit.validation.targets, left_out.targets()),
            "notes": fit.head.log().notes,
        });
        println!("{line}");
    }
    Ok(())
}

/// Accuracy, or mean absolute error in years.
fn score(predicted: &PredictedTargets, targets: &Targets) -> f64 {
    match (predicted, targets) {
        (PredictedTargets::Classes(probabilities), Targets::Classes { indices, .. }) => {
            let right = probabilities.rows().into_iter().zip(indices).filter(|(row, class)| {
                row.iter().enumerate().all(|(at, share)| at == **class || *share < row[**class])
            });
            right.count() as f64 / indices.len() as f64
        }
        (PredictedTargets::Regression(predicted), Targets::Regression(years)) => {
            let errors = predicted
                .iter()
                .zip(years)
                .map(|(predicted, year)| f64::from(year.distance(*predicted)));
            errors.sum::<f64>() / years.len() as f64
        }
        _ => f64::NAN,
    }
}
