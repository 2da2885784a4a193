//! `facefold-cluster sql`: a query with facefold's functions.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use ballista::datafusion::arrow::util::pretty::pretty_format_batches;
use ballista::datafusion::prelude::ParquetReadOptions;
use clap::Args;

use crate::credentials::CredentialsArguments;
use crate::session;

/// Options of `sql`.
#[derive(Debug, Args)]
#[command(after_help = "\
Functions: predict(content [, bundle]), predict_file(path [, bundle]), embed(content [, options]), embed_file(path [, options]). A bundle is a file
that all executors have; without it the embedded one predicts. Options are a model pack, or JSON such as
'{\"model\": \"buffalo_s\", \"taps\": true}'.

Example:
  facefold-cluster sql --table pictures=/data/pictures/ \"SELECT path, predict(content)['age'] AS age FROM pictures\"")]
pub struct SqlArguments {
    /// The scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
    scheduler: String,
    #[command(flatten)]
    credentials: CredentialsArguments,
    /// A Parquet file, or a directory of them, that all executors see under this path.
    #[arg(long = "table", value_name = "NAME=PATH", value_parser = named)]
    tables: Vec<(String, PathBuf)>,
    /// The query.
    query: String,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let parts = text.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let (name, path) = parts.ok_or("expected NAME=PATH")?;
    Ok((name.to_owned(), path.into()))
}

/// Runs a query, and prints its rows.
///
/// # Errors
/// A table that cannot be read, a query that is wrong, or a scheduler that cannot be reached.
pub async fn run(arguments: &SqlArguments) -> Result<()> {
    let credentials = arguments.credentials.read()?;
    let session = session::connect(&arguments.scheduler, credentials.as_ref()).await?;
    for (name, path) in &arguments.tables {
        let path = std::path::absolute(path)?;
        let place = path.to_str().with_context(|| format!("`{}` is no UTF-8", path.display()))?;
        session
            .register_parquet(name, place, ParquetReadOptions::default())
            .await
            .with_context(|| format!("cannot read the table `{name}` from `{place}`"))?;
    }
    let rows = session.sql(&arguments.query).await?.collect().await?;
    writeln!(std::io::stdout(), "{}", pretty_format_batches(&rows)?)?;
    Ok(())
}
