//! Cross-validation on embeddings and labels that are in memory.

use std::path::Path;

use facefold_report::Report;
use facefold_store::{Features, ImportFiles};
use ndarray::Array2;

use super::stores::{EvaluationOptions, cross_validate_stores};
use crate::error::{Error, Result};
use crate::import::{ImportOptions, import};
use crate::options::LearningOptions;
use crate::progress::Progress;

/// Embeddings of any network, with what is known of each row.
#[derive(Debug, Clone)]
pub struct LabelledEmbeddings {
    /// A row for each picture.
    pub embeddings: Array2<f32>,
    /// The embeddings of the mirrored pictures, where there are any.
    pub mirrored: Option<Array2<f32>>,
    /// Columns by their names, with a text for each row, empty where unknown: `path`, `subject`, `age`,
    /// `gender`, `fold`, `split`, `race` and `class`, as in a list of labels
    /// ([`facefold_datasets::DatasetKind::Manifest`]). Without paths a row goes by its number from 0.
    pub labels: Vec<(String, Vec<String>)>,
}

/// Cross-validates heads on embeddings in memory, with the figures that [`import()`](crate::import::import) and
/// [`cross_validate_stores`] give for the same rows: rows of one subject stand on one side of every
/// split, rows with the same values count as one subject, and rows of zeros have no embedding. `None` where it was
/// cancelled.
///
/// The options' stores do not matter. Where their report's directory is empty, no report is kept.
///
/// # Errors
/// Numbers of rows that do not fit together, a value that is not finite, a label that cannot be read, or
/// as [`cross_validate_stores`].
pub fn cross_validate_embeddings(
    rows: &LabelledEmbeddings,
    options: &EvaluationOptions,
    progress: &dyn Progress,
) -> Result<Option<Report>> {
    rows.check()?;
    let directory = tempfile::tempdir()?;
    cross_validate_in(directory.path(), rows, options, progress)
        .map_err(|error| without_directory(error, directory.path()))
}

/// As [`cross_validate_embeddings`], through files in a directory of their own.
fn cross_validate_in(
    directory: &Path,
    rows: &LabelledEmbeddings,
    options: &EvaluationOptions,
    progress: &dyn Progress,
) -> Result<Option<Report>> {
    let matrix = |name: &str, values: &Array2<f32>| {
        let path = directory.join(name);
        let width = values.ncols();
        // Standard layout is row by row, whatever the layout in memory is.
        let values: Vec<f32> = values.iter().copied().collect();
        facefold_store::write_npy(&path, values.into_iter(), width)?;
        Ok::<_, Error>(path)
    };
    let mirrored = rows.mirrored.as_ref();
    let files = ImportFiles {
        embeddings: matrix("embeddings.npy", &rows.embeddings)?,
        mirrored: mirrored.map(|values| matrix("mirrored.npy", values)).transpose()?,
        ..ImportFiles::default()
    };
    let labels = directory.join("labels.csv");
    fs_err::write(&labels, rows.list())?;
    let store = directory.join("embeddings");
    let network = "embeddings in memory".to_owned();
    let imported = import(
        &ImportOptions { files, labels, network, store: store.clone(), run_file: None },
        progress,
    )?;
    if imported.interrupted {
        return Ok(None);
    }
    let kept = !options.out.as_os_str().is_empty();
    let options = EvaluationOptions {
        learning: LearningOptions {
            stores: vec![store],
            features: Some(Features::Embedding),
            ..options.learning.clone()
        },
        out: if kept { options.out.clone() } else { directory.join("report") },
        ..options.clone()
    };
    cross_validate_stores(&options, progress)
}

/// An error whose message names files as they are called here: where they lie for a while is of no use.
fn without_directory(error: Error, directory: &Path) -> Error {
    let message = error.in_full();
    let shortened = message.replace(&format!("{}/", directory.display()), "");
    if shortened == message { error } else { Error::Data(shortened) }
}

impl LabelledEmbeddings {
    /// Checks that there is one of everything for each row.
    fn check(&self) -> Result<()> {
        let (rows, width) = self.embeddings.dim();
        if rows == 0 || width == 0 {
            return Err(Error::data(format!(
                "embeddings: expected rows of values, found {rows} rows of {width} values"
            )));
        }
        if let Some(found) = self.mirrored.as_ref().map(Array2::dim)
            && found != (rows, width)
        {
            return Err(Error::data(format!(
                "mirrored: expected {rows} rows of {width} values, as `embeddings` has, found {} rows of {}",
                found.0, found.1
            )));
        }
        for (name, values) in &self.labels {
            if values.len() != rows {
                return Err(Error::data(format!(
                    "{name}: expected {rows} values, one for each row of the embeddings, found {}",
                    values.len()
                )));
            }
        }
        Ok(())
    }

    /// The list of labels as CSV.
    fn list(&self) -> String {
        let numbers: Vec<String> =
            (0..self.embeddings.nrows()).map(|row| row.to_string()).collect();
        let has_path = self.labels.iter().any(|(name, _)| name == "path");
        let path = (!has_path).then_some(("path", &numbers));
        let given = self.labels.iter().map(|(name, values)| (name.as_str(), values));
        let columns: Vec<(&str, &Vec<String>)> = path.into_iter().chain(given).collect();
        let line = |cells: Vec<&str>| {
            let cells: Vec<String> =
                cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            format!("{}\n", cells.join(","))
        };
        let rows = (0..self.embeddings.nrows())
            .map(|row| line(columns.iter().map(|(_, values)| values[row].as_str()).collect()));
        std::iter::once(line(columns.iter().map(|(name, _)| *name).collect())).chain(rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::Task;
    use facefold_evaluate::Metric;
    use ndarray::Array2;

    use super::{LabelledEmbeddings, cross_validate_embeddings};
    use crate::evaluation::{EvaluationOptions, ResultRow};
    use crate::options::LearningOptions;

    /// Two classes, separated by the first of eight values, for 20 subjects with three rows each.
    fn rows() -> LabelledEmbeddings {
        let class = |row: usize| (row / 3) % 2;
        let noise = |row: usize, column: usize| ((row * 131 + column * 17) % 997) as f32 / 997.0;
        let texts = |of: &dyn Fn(usize) -> String| (0..60).map(of).collect::<Vec<_>>();
        LabelledEmbeddings {
            embeddings: Array2::from_shape_fn((60, 8), |(row, column)| {
                noise(row, column) + if column == 0 { 2.0 * class(row) as f32 } else { 0.0 }
            }),
            mirrored: None,
            labels: vec![
                ("gender".to_owned(), texts(&|row| ["f", "m"][class(row)].to_owned())),
                ("subject".to_owned(), texts(&|row| format!("a \"name\", {}", row / 3))),
            ],
        }
    }

    fn options() -> EvaluationOptions {
        let learning = LearningOptions::new("", &[Task::Gender]);
        EvaluationOptions::new(LearningOptions { threads: 1, ..learning }, &["linear"], "")
    }

    #[test]
    fn figures_come_as_a_table_with_all_summaries() {
        let report = cross_validate_embeddings(&rows(), &options(), &()).unwrap().unwrap();
        let result = &report.tasks[0].result;
        assert_eq!((result.rows, result.subjects), (60, 20));
        assert!(result.splits.iter().all(|split| split.shared_test_rows == 0));
        let table = ResultRow::of(&report);
        let linear: Vec<&ResultRow> = table.iter().filter(|row| row.head == "linear").collect();
        let statistics: Vec<&str> = linear.iter().map(|row| row.statistic).collect();
        assert_eq!(
            statistics,
            ["fold", "fold", "fold", "fold", "fold", "mean", "std", "pooled", "ci_low", "ci_high"]
        );
        assert_eq!(linear[..5].iter().map(|row| row.test_rows).sum::<usize>(), 60);
        let pooled = linear[7].metrics["accuracy"];
        assert!(pooled > 0.9, "{pooled}");
        assert!(linear[8].metrics["accuracy"] <= pooled && pooled <= linear[9].metrics["accuracy"]);
        let summary = &result.head("linear").unwrap().summary;
        let line = summary.iter().find(|line| line.metric == Metric::Accuracy).unwrap();
        assert_eq!((linear[5].metrics["accuracy"], pooled), (line.mean, line.pooled));
        assert_eq!(table.len(), 20, "the majority baseline is there too");
    }

    #[test]
    fn rows_that_do_not_fit_are_refused_without_naming_hidden_files() {
        let fails = |rows: &LabelledEmbeddings| {
            cross_validate_embeddings(rows, &options(), &()).unwrap_err().in_full()
        };
        let mut short = rows();
        short.labels[0].1.pop();
        assert!(fails(&short).starts_with("gender: expected 60 values"), "{}", fails(&short));
        let mut wide = rows();
        wide.mirrored = Some(Array2::zeros((60, 7)));
        assert!(fails(&wide).contains("60 rows of 8 values"), "{}", fails(&wide));
        let mut infinite = rows();
        infinite.embeddings[[3, 1]] = f32::NAN;
        let message = fails(&infinite);
        assert!(message.contains("`embeddings.npy`") && message.contains("row 3"), "{message}");
        let mut unknown = rows();
        unknown.labels[0].1[7] = "x".to_owned();
        let message = fails(&unknown);
        assert!(message.starts_with("labels.csv, line 9") && message.contains("`x`"), "{message}");
    }
}
