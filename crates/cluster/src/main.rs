//! Defines the `facefold-cluster` command: a scheduler and executors of a cluster that know facefold's
//! functions, and what is run on them: an extraction into a store, or SQL.

mod columns;
mod crashes;
mod credentials;
mod extract;
mod functions;
mod jobs;
mod models;
mod predict;
mod services;
mod session;
mod sql;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use facefold_terminal::failure;
use tracing_subscriber::EnvFilter;

use crate::credentials::Credentials;
use crate::extract::ExtractArguments;
use crate::predict::PredictArguments;
use crate::services::{ExecutorArguments, SchedulerArguments};
use crate::sql::SqlArguments;

/// Age and gender from faces, on a cluster.
#[derive(Debug, Parser)]
#[command(name = "facefold-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make credentials for a cluster: copy the directory to all of its machines, and give it to all of its parts.
    Credentials {
        /// Directory to make.
        dir: PathBuf,
    },
    /// Run the scheduler, which gives work to executors.
    Scheduler(SchedulerArguments),
    /// Run an executor, which embeds pictures.
    Executor(ExecutorArguments),
    /// Extract a data set into a store, on all executors.
    Extract(ExtractArguments),
    /// Predict for all pictures of a directory, an object store or Parquet files, on all executors.
    Predict(PredictArguments),
    /// Run a query with the functions `embed` and `predict`, and print its rows.
    Sql(SqlArguments),
    /// Decode the picture on stdin and say nothing: executors try pictures so that may end them.
    #[command(name = crashes::DECODE_STDIN, hide = true)]
    DecodeStdin,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let filter = EnvFilter::try_from_env("FACEFOLD_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Plans are taken apart by recursion.
        .thread_stack_size(16 << 20)
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Credentials { dir } => Credentials::create(&dir),
            Command::Scheduler(arguments) => services::scheduler(&arguments).await,
            Command::Executor(arguments) => services::executor(&arguments).await,
            Command::Extract(arguments) => extract::run(&arguments).await,
            Command::Predict(arguments) => predict::run(&arguments).await,
            Command::Sql(arguments) => sql::run(&arguments).await,
            Command::DecodeStdin => Ok(facefold::extract::decode_input(std::io::stdin().lock())?),
        }
    })
}
