//! Evaluation of predictions that another program made, as those of a head.

use std::path::{Path, PathBuf};

use facefold_core::{FeatureMatrix, Head, ImageKey, Task};
use facefold_evaluate::external::{ExternalHead, ExternalPredictions};
use facefold_heads::{HeadOptions, registry};
use facefold_report::Report;
use facefold_store::{Features, ImportFiles};
use ndarray::Array2;
use serde_json::json;

use super::stores::{EvaluationOptions, PreparedTask, evaluate_rows};
use crate::data::{JoinedStores, RowId};
use crate::error::{Error, Result};
use crate::import::{ImportOptions, import};
use crate::options::LearningOptions;
use crate::progress::Progress;

/// The network of the rows of a list without a store.
pub(crate) const LABELS_ALONE: &str = "none: labels alone";

/// Why a label row is not evaluated that the program has no prediction for.
const NOT_PREDICTED: &str = "no prediction";

/// Which predictions are evaluated, and on which labels.
#[derive(Debug, Clone)]
pub struct JudgeOptions {
    /// The table of predictions ([`facefold_evaluate::external`]).
    pub predictions: PathBuf,
    /// The name of the program or model in the report.
    pub name: String,
    /// A CSV list of labels, as `extract manifest` takes it; `None` where
    /// [`LearningOptions::stores`] has one store.
    pub labels: Option<PathBuf>,
    /// Rows, protocol and report. Heads and their settings do not matter; no task means all that the
    /// table has predictions for.
    pub evaluation: EvaluationOptions,
}

/// Evaluates predictions of another program as those of a head: by the same folds, metrics, intervals,
/// slices and thresholds, next to the majority baseline. Writes the report, as
/// [`super::cross_validate_stores`] does; `None` where it was cancelled.
///
/// Nothing is fitted but what a head calibrates on validation rows: intervals around ages, and limits of
/// decisions.
///
/// # Errors
/// A table that cannot be read or names no picture of the labels, or labels that cannot be read.
pub fn judge(options: &JudgeOptions, progress: &dyn Progress) -> Result<Option<Report>> {
    let table = ExternalPredictions::read(&options.predictions)?;
    // Lives as long as the store of the labels is read.
    let directory = tempfile::tempdir()?;
    let learning = learning(options, &table, directory.path(), progress)?;
    let mut stores = JoinedStores::open(&learning, &[], progress)?;
    // The predictions are given, whatever the features are.
    stores.matrix = FeatureMatrix::new(Array2::zeros((stores.matrix.rows(), 0)), None)?;
    let evaluation = EvaluationOptions { learning, ..options.evaluation.clone() };
    let judged = Judged { options, table: &table };
    let prepare = |stores: &JoinedStores, task| judged.prepare(stores, task, &evaluation.learning);
    evaluate_rows(&evaluation, &stores, &prepare, progress, |plan, run| {
        Ok((facefold_evaluate::cross_validate(plan, run)?, Vec::new()))
    })
}

/// The options of the rows: one store, and the tasks.
fn learning(
    options: &JudgeOptions,
    table: &ExternalPredictions,
    directory: &Path,
    progress: &dyn Progress,
) -> Result<LearningOptions> {
    let given = &options.evaluation.learning;
    let tasks = if given.tasks.is_empty() { table.tasks() } else { given.tasks.clone() };
    if !options.evaluation.thresholds.is_empty() && !tasks.contains(&Task::Age) {
        return Err(Error::options(format!(
            "--threshold: expected predictions of ages in `{}`, found none; leave it out",
            options.predictions.display()
        )));
    }
    let stores = match (&options.labels, &given.stores[..]) {
        (None, [store]) => vec![store.clone()],
        (Some(labels), []) => vec![store_of_labels(labels, directory, progress)?],
        _ => return Err(Error::options("expected one store, or one list of labels")),
    };
    Ok(LearningOptions {
        stores,
        tasks,
        features: Some(Features::Embedding),
        augmented: false,
        ..given.clone()
    })
}

/// A store of labels without pictures: the number of each row stands for its embedding.
fn store_of_labels(labels: &Path, directory: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let dataset = facefold_datasets::load(
        facefold_datasets::DatasetKind::Manifest,
        labels,
        &facefold_datasets::LoadOptions::default(),
    )?;
    let (rows, duplicates) = (dataset.rows, dataset.duplicates);
    if duplicates > 0 {
        return Err(Error::data(format!(
            "`{}`: expected each path once, found {duplicates} rows whose path an earlier row has; keep one row of \
             each picture",
            labels.display()
        )));
    }
    let numbers = directory.join("rows.npy");
    facefold_store::write_npy(&numbers, (0..rows).map(|row| (row + 1) as f32), 1)?;
    let store = directory.join("labels");
    let options = ImportOptions {
        files: ImportFiles { embeddings: numbers, ..ImportFiles::default() },
        labels: labels.to_owned(),
        network: LABELS_ALONE.to_owned(),
        store: store.clone(),
        run_file: None,
    };
    import(&options, progress)?;
    Ok(store)
}

/// A checksum of the values of each row.
fn checksum_of(values: &[Vec<f32>]) -> String {
    let row = |row: &Vec<f32>| {
        let numbers = row.iter().flat_map(|value| value.to_le_bytes());
        (row.len() as u32).to_le_bytes().into_iter().chain(numbers).collect::<Vec<u8>>()
    };
    ImageKey::of(&values.iter().flat_map(row).collect::<Vec<u8>>()).to_string()
}

/// The predictions that are evaluated.
struct Judged<'a> {
    options: &'a JudgeOptions,
    table: &'a ExternalPredictions,
}

impl Judged<'_> {
    /// The rows of a task that have a prediction, and the head that gives it.
    fn prepare(
        &self,
        stores: &JoinedStores,
        task: Task,
        learning: &LearningOptions,
    ) -> Result<PreparedTask> {
        let mut data = stores.task(task, learning)?;
        let row_ids: Vec<RowId> = (0..data.len()).filter_map(|row| data.row_id(row)).collect();
        let pictures: Vec<String> = if self.table.is_by_key() {
            row_ids.iter().map(|&row| stores.picture(row).to_string()).collect()
        } else {
            data.rows.iter().map(|row| row.path.to_string()).collect()
        };
        let found = self.table.of_pictures(task, &data.classes, &pictures)?;
        let kept: Vec<usize> = (0..data.len()).filter(|&row| found.values[row].is_some()).collect();
        let (file, all) = (self.options.predictions.display(), data.len());
        if kept.is_empty() {
            return Err(Error::data(format!(
                "`{file}`: expected a prediction of {task} for pictures as the labels name them (`{}`), found none \
                 (`{}`); write their names alike",
                pictures[0],
                self.table.first_name().unwrap_or_default()
            )));
        }
        data.warnings.splice(
            ..0,
            self.warnings(task, kept.len(), all, found.others, found.has_probabilities),
        );
        let mut values = vec![Vec::new(); stores.matrix.rows()];
        for (&RowId(row), prediction) in row_ids.iter().zip(found.values) {
            values[row] = prediction.unwrap_or_default();
        }
        data.keep(&kept, NOT_PREDICTED);
        let settings = json!({
            "predictions": self.options.predictions.file_name().map(|name| name.to_string_lossy()),
            "checksum": self.table.checksum(),
            // The same file gives other rows these predictions where the labels name other pictures.
            "rows": checksum_of(&values),
        });
        let head =
            ExternalHead::new(self.options.name.clone(), settings, values, data.classes.len());
        let majority = registry::head("majority", &HeadOptions::default())?;
        let heads: Vec<Box<dyn Head>> = vec![Box::new(head), majority];
        Ok(PreparedTask { data, heads })
    }

    /// What a reader must know before any figure.
    fn warnings(
        &self,
        task: Task,
        kept: usize,
        all: usize,
        others: usize,
        has_probabilities: bool,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if kept < all || others > 0 {
            warnings.push(format!(
                "{task}: {kept} of {all} label rows have a prediction of `{}`; the {} others are left out. \
                 {others} of {} predictions are of pictures that no label row of the task names.",
                self.options.name,
                all - kept,
                self.table.len()
            ));
        }
        if task != Task::Age && !has_probabilities {
            warnings.push(format!(
                "{task}: `{}` gives no probabilities: every prediction counts as certain, so that the calibration \
                 error is the share of wrong ones, and the AUC that of decisions.",
                self.options.name
            ));
        }
        warnings
    }
}
