//! What the commands share that have executors work on pictures: which pictures, and jobs of some hundred of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ballista::datafusion::arrow::array::{ArrayRef, AsArray as _};
use ballista::datafusion::arrow::datatypes::UInt64Type;
use ballista::datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ScalarUDF, col, lit};
use ballista::datafusion::scalar::ScalarValue;
use clap::Args;
use facefold::datasets::{Dataset, DatasetKind};
use facefold::remote::{is_address, pictures_at};
use facefold::{Progress as _, Source, Stage, Step};
use facefold_jobs::Limits;
use facefold_terminal::Terminal;

use crate::credentials::{Credentials, CredentialsArguments};
use crate::{session, tables};

/// A job is sent a second time when it takes so many times as long as others, once no job waits.
const BACKUP_AFTER: f64 = 3.0;

/// How jobs are sent.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// The scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
    scheduler: String,
    #[command(flatten)]
    credentials: CredentialsArguments,
    /// Pictures of a job: what is computed again where an executor dies. It takes some milliseconds to hand one out.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pictures: u32,
    /// Jobs at a time: at least as many as the executors have threads, or some of them wait.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    jobs: u32,
    /// Seconds to go on trying while a job fails.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    patience: u64,
}

/// Pictures, each with its place among all.
pub type Pictures = Vec<(usize, PathBuf)>;

impl JobArguments {
    /// Has executors call a function on pictures, in jobs: `function(path, option)`. `read` takes the outcomes out of a
    /// column, `take` gets those of each job once, in the order of its pictures. Gives whether it was interrupted.
    ///
    /// # Errors
    /// A job that failed for longer than `--patience`, or what `take` fails with.
    pub async fn run<O>(
        &self,
        stage: Stage,
        pictures: &[(usize, PathBuf)],
        (function, option): (Arc<ScalarUDF>, Option<&str>),
        read: impl Fn(&ArrayRef) -> Result<Vec<O>>,
        mut take: impl FnMut(&Pictures, Vec<O>) -> Result<()>,
    ) -> Result<bool> {
        let progress = Terminal::default();
        let mut done = 0;
        let take = |job: &Pictures, outcomes| {
            take(job, outcomes)?;
            done += job.len() as u64;
            progress.step(Step::new(stage, done, Some(pictures.len() as u64)));
            Ok(())
        };
        let credentials = self.credentials.read()?;
        let jobs = pictures.chunks(self.pictures as usize).map(<[_]>::to_vec);
        let limits = Limits {
            at_a_time: self.jobs as usize,
            patience: Duration::from_secs(self.patience),
            backup_after: Some(BACKUP_AFTER),
        };
        let attempt = async |job: &Pictures| {
            let first =
                || job.first().map_or_else(String::new, |(_, path)| path.display().to_string());
            let plan = plan(&function, option, job)?;
            outcomes(&self.scheduler, credentials.as_ref(), plan, job.len(), &read)
                .await
                .with_context(|| format!("{} pictures, the first of them `{}`", job.len(), first()))
        };
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| true).map_err(Into::into),
            finished = facefold_jobs::run(jobs, limits, attempt, |text: &str| progress.note(text), take) => {
                finished.with_context(|| format!("on the scheduler {}", self.scheduler))?;
                Ok(false)
            }
        }
    }
}

/// Has a job done: one outcome a picture, in their order.
async fn outcomes<O>(
    scheduler: &str,
    credentials: Option<&Credentials>,
    plan: LogicalPlan,
    pictures: usize,
    read: impl Fn(&ArrayRef) -> Result<Vec<O>>,
) -> Result<Vec<O>> {
    // A session of its own: that of a scheduler which was restarted is unknown to it.
    let session = session::connect(scheduler, credentials).await?;
    let batches = session.execute_logical_plan(plan).await?.collect().await?;
    let mut found: Vec<Option<O>> = (0..pictures).map(|_| None).collect();
    for batch in &batches {
        let places =
            batch.column(0).as_primitive_opt::<UInt64Type>().context("places of pictures")?;
        for (row, outcome) in read(batch.column(1))?.into_iter().enumerate() {
            let place = usize::try_from(places.value(row))?;
            *found.get_mut(place).context("the place of a picture")? = Some(outcome);
        }
    }
    let missing = found.iter().filter(|outcome| outcome.is_none()).count();
    if missing > 0 {
        bail!("expected {pictures} outcomes, {missing} are missing");
    }
    Ok(found.into_iter().flatten().collect())
}

/// `SELECT place, function(path, option) FROM (VALUES …)`, in one partition.
fn plan(
    function: &Arc<ScalarUDF>,
    option: Option<&str>,
    job: &[(usize, PathBuf)],
) -> Result<LogicalPlan> {
    let rows = job.iter().enumerate().map(|(place, (_, path))| {
        let path = path.as_os_str().as_encoded_bytes().to_vec();
        vec![lit(ScalarValue::UInt64(Some(place as u64))), lit(ScalarValue::Binary(Some(path)))]
    });
    let arguments = [Some(col("column2")), option.map(lit)].into_iter().flatten().collect();
    let plan = LogicalPlanBuilder::values(rows.collect())?
        .project(vec![col("column1").alias("place"), function.call(arguments).alias("outcome")])?;
    Ok(plan.build()?)
}

/// Pictures to work on.
pub struct Input {
    /// Which data set.
    pub source: Source,
    /// Its samples.
    pub dataset: Dataset,
    /// Where executors find the picture of each.
    pub places: Vec<PathBuf>,
}

impl Input {
    /// A data set in a directory; of pictures without labels also below an address, by which each is then known.
    ///
    /// # Errors
    /// An address of anything else, or one that cannot be reached; whatever is wrong with label files.
    pub async fn load(kind: DatasetKind, root: &Path, labels: Option<&Path>) -> Result<Self> {
        let mut source = source(kind, root).await?;
        source.options.labels = labels.map(Path::to_owned);
        let dataset = source.load(&())?;
        let root = std::path::absolute(&dataset.root)?;
        let place = |path: &PathBuf| if is_address(path) { path.clone() } else { root.join(path) };
        let places = dataset.samples.iter().map(|sample| place(&sample.path)).collect();
        Ok(Self { source, dataset, places })
    }

    /// Pictures in Parquet files, with their labels where those are asked for.
    ///
    /// # Errors
    /// As [`tables::load`].
    pub fn of_tables(root: &Path, labels: bool) -> Result<Self> {
        let (source, dataset, places) = tables::load(root, labels)?;
        Ok(Self { source, dataset, places })
    }
}

async fn source(kind: DatasetKind, root: &Path) -> Result<Source> {
    let Some(address) = root.to_str().filter(|_| is_address(root)) else {
        return Ok(Source::new(kind, root));
    };
    if kind != DatasetKind::Pictures {
        bail!(
            "`{address}`: expected a directory, as label files are read from one; of pictures without labels \
             (`pictures`) an address may be given"
        );
    }
    let below = address.to_owned();
    let listed = tokio::task::spawn_blocking(move || pictures_at(&below)).await??;
    if listed.is_empty() {
        bail!(
            "`{address}`: expected pictures below this address, found none; check bucket and prefix"
        );
    }
    let mut source = Source::new(kind, "/");
    source.options.pictures = Some(listed);
    Ok(source)
}
