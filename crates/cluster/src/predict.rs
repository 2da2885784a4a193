//! `facefold-cluster predict`: predictions for all pictures of a directory, an object store or Parquet files, as CSV.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ballista::datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, StringArray};
use ballista::datafusion::arrow::compute::concat;
use ballista::datafusion::arrow::csv::WriterBuilder;
use ballista::datafusion::arrow::datatypes::{DataType, Field, Schema};
use ballista::datafusion::arrow::record_batch::RecordBatch;
use clap::Args;
use facefold::Stage;
use facefold::datasets::DatasetKind;

use crate::jobs::{Input, JobArguments, Pictures};
use crate::{functions, tables};

/// Options of `predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  facefold-cluster predict s3://faces/2026 --scheduler 10.0.0.1:50050 --out predictions.csv
  facefold-cluster predict /data/faces.parquet --scheduler 10.0.0.1:50050 --out predictions.csv")]
pub struct PredictArguments {
    /// A directory that all executors see under the same absolute path, an address of object storage, such as
    /// `s3://bucket/prefix`, or Parquet files with columns `path` and `content` (a file, or a directory of them, that is
    /// named `*.parquet`).
    root: PathBuf,
    /// A bundle that all executors have under this path. Default: the embedded one.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// The CSV file to write, a row for the main face of each picture, in the order of their paths. Default: stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    jobs: JobArguments,
}

/// Predicts for all pictures.
///
/// # Errors
/// Pictures that cannot be listed, a file that cannot be written, or a job that fails for longer than
/// `--patience`; rows until then are written.
pub async fn run(arguments: &PredictArguments) -> Result<()> {
    let root = &arguments.root;
    let input = if tables::is_table(root) {
        Input::of_tables(root, false)?
    } else {
        Input::load(DatasetKind::Pictures, root, None).await?
    };
    let Input { dataset, places, .. } = input;
    let pictures: Pictures = places.into_iter().enumerate().collect();
    let bundle = arguments.bundle.as_ref().map(std::path::absolute).transpose()?;
    let bundle = bundle.as_ref().map(|path| path.to_str().context("--bundle: expected UTF-8"));
    let out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?,
        ),
        None => Box::new(std::io::stdout()),
    };
    let mut rows = Rows { out: BufWriter::new(out), waiting: BTreeMap::new(), written: 0 };
    let rows_of =
        |column: &ArrayRef| Ok((0..column.len()).map(|row| column.slice(row, 1)).collect());
    let take = |job: &Pictures, found: Vec<ArrayRef>| {
        let paths = job.iter().map(|(place, _)| dataset.samples[*place].path.to_string_lossy());
        rows.take(job[0].0, &batch(paths.map(Some).collect(), &found)?)
    };
    let function = (functions::predict_file(), bundle.transpose()?);
    let interrupted =
        arguments.jobs.run(Stage::Predicting, &pictures, function, rows_of, take).await?;
    rows.out.flush()?;
    if interrupted {
        bail!("stopped after {} of {} pictures", rows.written, pictures.len());
    }
    Ok(())
}

/// Paths, and what was predicted for each.
fn batch(paths: StringArray, found: &[ArrayRef]) -> Result<RecordBatch> {
    let found = concat(&found.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    let found = found.as_struct_opt().context("expected a struct of predictions")?;
    let path = Arc::new(Field::new("path", DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(path).chain(found.fields().iter().cloned()).collect();
    let columns =
        std::iter::once(Arc::new(paths) as ArrayRef).chain(found.columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect())?)
}

/// Writes rows in the order of the pictures, though jobs end in another.
struct Rows<W: Write> {
    out: W,
    /// By the place of their first picture.
    waiting: BTreeMap<usize, RecordBatch>,
    written: usize,
}

impl<W: Write> Rows<W> {
    fn take(&mut self, first: usize, rows: &RecordBatch) -> Result<()> {
        self.waiting.insert(first, rows.clone());
        while let Some(rows) = self.waiting.remove(&self.written) {
            let is_first = self.written == 0;
            WriterBuilder::new().with_header(is_first).build(&mut self.out).write(&rows)?;
            self.written += rows.num_rows();
        }
        Ok(())
    }
}
