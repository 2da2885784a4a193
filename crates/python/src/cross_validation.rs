//! Cross-validation on arrays.

use std::path::PathBuf;

use facefold::core::Task;
use facefold::ndarray::Array2;
use facefold::{
    EvaluationOptions, LabelledEmbeddings, LearningOptions, Origin, ResultRow,
    cross_validate_embeddings, head_options,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{argument, raised};
use crate::work;

/// A matrix: its rows, its columns, and the bytes of float32 values, row by row.
type Matrix<'py> = (usize, usize, Bound<'py, PyBytes>);

/// How heads are cross-validated, as Python has it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    tasks: Vec<String>,
    heads: Vec<String>,
    settings: Vec<String>,
    protocol: Option<String>,
    label_policy: String,
    age_groups: String,
    thresholds: Vec<u32>,
    seed: u64,
    seeds: u64,
    threads: usize,
    out: Option<PathBuf>,
}

impl Options {
    fn checked(self) -> PyResult<EvaluationOptions> {
        let tasks =
            self.tasks.iter().map(|task| task.parse::<Task>().map_err(|e| argument("task", e)));
        let tasks = tasks.collect::<PyResult<Vec<_>>>()?;
        let protocol = self.protocol.as_deref().map(str::parse).transpose();
        let heads = head_options(&self.settings).map_err(raised)?;
        let learning = LearningOptions {
            policy: self.label_policy.parse().map_err(|e| argument("label_policy", e))?,
            groups: self.age_groups.parse().map_err(|e| argument("age_groups", e))?,
            heads,
            seed: self.seed,
            threads: self.threads,
            ..LearningOptions::new("", &tasks)
        };
        let names: Vec<&str> = self.heads.iter().map(String::as_str).collect();
        let origin =
            Origin { command: "facefold.cross_validate".to_owned(), commit: None, run_file: None };
        Ok(EvaluationOptions {
            protocol: protocol.map_err(|e| argument("protocol", e))?,
            thresholds: self.thresholds,
            seeds: self.seeds,
            origin,
            ..EvaluationOptions::new(learning, &names, self.out.unwrap_or_default())
        })
    }
}

/// The rows of the table as JSON, and what a reader must know before any of them.
#[pyfunction]
pub fn cross_validate(
    py: Python<'_>,
    embeddings: Matrix<'_>,
    mirrored: Option<Matrix<'_>>,
    labels: Vec<(String, Vec<String>)>,
    options: Options,
) -> PyResult<(String, Vec<String>)> {
    let options = options.checked()?;
    let mirrored = mirrored.map(matrix).transpose()?;
    let rows = LabelledEmbeddings { embeddings: matrix(embeddings)?, mirrored, labels };
    let report = work::run(py, |progress| cross_validate_embeddings(&rows, &options, progress))?;
    // Only a signal stops it, which was raised.
    let report = report.ok_or_else(|| PyValueError::new_err("the cross-validation was stopped"))?;
    let table = serde_json::to_string(&ResultRow::of(&report)).map_err(raised)?;
    Ok((table, report.warnings))
}

fn matrix((rows, columns, bytes): Matrix<'_>) -> PyResult<Array2<f32>> {
    let values = bytemuck::pod_collect_to_vec(bytes.as_bytes());
    Array2::from_shape_vec((rows, columns), values).map_err(|e| argument("embeddings", e))
}
