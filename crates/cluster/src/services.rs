//! The services of a cluster: a scheduler, and executors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::utils::{GrpcServerConfig, create_grpc_server};
use ballista_executor::ArrowFlightServerProvider;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_server};
use clap::Args;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

use crate::credentials::{Credentials, ListenArguments};
use crate::{crashes, session};

/// An executor that was not heard of for so many seconds is dead, and its tasks are given to others.
const DEAD_AFTER_SECONDS: u64 = 20;

/// How often the scheduler looks for dead executors, in seconds.
const LOOK_SECONDS: u64 = 5;

/// How often a task may fail on executors that die at it, before its job fails. The client then sends it again.
const TASK_FAILURES: usize = 4;

/// Options of `scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:50050")]
    listen: SocketAddr,
    /// The name by which executors and clients reach this machine. Default: the address to listen on.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    access: ListenArguments,
}

/// Runs the scheduler until it is stopped.
///
/// # Errors
/// An address that is taken, or that needs credentials.
pub async fn scheduler(arguments: &SchedulerArguments) -> Result<()> {
    let listen = arguments.listen;
    let credentials = arguments.access.read(listen)?;
    let config = SchedulerConfig {
        bind_host: listen.ip().to_string(),
        bind_port: listen.port(),
        external_host: arguments.host.clone().unwrap_or_else(|| listen.ip().to_string()),
        // Executors ask for work, so that they find a scheduler again that was restarted.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: DEAD_AFTER_SECONDS,
        expire_dead_executor_interval_seconds: LOOK_SECONDS,
        no_executors_grace_period_seconds: DEAD_AFTER_SECONDS,
        finished_job_data_clean_up_interval_seconds: 60,
        finished_job_state_clean_up_interval_seconds: 120,
        task_max_failures: TASK_FAILURES,
        override_config_producer: Some(session::configure(credentials.as_ref())),
        override_session_builder: Some(Arc::new(session::state)),
        override_create_grpc_client_endpoint: credentials.as_ref().map(Credentials::endpoint),
        use_tls: credentials.is_some(),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let Some(credentials) = credentials else {
        return start_server(cluster, listen, Arc::new(config))
            .await
            .context("the scheduler failed");
    };
    // Ballista's own server does not encrypt.
    let (decoded, encoded) = (
        config.grpc_server_max_decoding_message_size as usize,
        config.grpc_server_max_encoding_message_size as usize,
    );
    let scheduler =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await?;
    let service = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(decoded)
        .max_encoding_message_size(encoded);
    create_grpc_server(&GrpcServerConfig::default())
        .tls_config(credentials.server())?
        .add_service(service)
        .serve(listen)
        .await
        .context("the scheduler failed")
}

/// Options of `executor`.
#[derive(Debug, Args)]
pub struct ExecutorArguments {
    /// The scheduler.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
    scheduler: String,
    /// Address to listen on, for results.
    #[arg(long, default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// The name by which clients reach this machine. Default: the address to listen on.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Tasks at a time, each on a thread of its own; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Directory for results until they are fetched, and for a note of the pictures in work. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    #[command(flatten)]
    access: ListenArguments,
}

/// Runs an executor until it is stopped.
///
/// # Errors
/// An address that is taken or that needs credentials, or a scheduler that cannot be reached.
pub async fn executor(arguments: &ExecutorArguments) -> Result<()> {
    if !crashes::supervise().await? {
        return Ok(());
    }
    let (host, port) = arguments
        .scheduler
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .with_context(|| {
            format!("--scheduler: expected HOST:PORT, found `{}`", arguments.scheduler)
        })?;
    let listen = arguments.listen;
    let credentials = arguments.access.read(listen)?;
    let work = match &arguments.work {
        Some(work) => work.clone(),
        // Known to the process that is started again where this one ends.
        None => std::env::temp_dir().join(format!("facefold-executor-{}", listen.port())),
    };
    std::fs::create_dir_all(&work).with_context(|| format!("cannot make `{}`", work.display()))?;
    crashes::watch(&work)?;
    let config = ExecutorProcessConfig {
        bind_host: listen.ip().to_string(),
        external_host: Some(arguments.host.clone().unwrap_or_else(|| listen.ip().to_string())),
        port: listen.port(),
        grpc_port: listen.port() + 1,
        scheduler_host: host,
        scheduler_port: port,
        scheduler_connect_timeout_seconds: 60,
        vcores: arguments.threads,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(work.display().to_string()),
        job_data_ttl_seconds: 3600,
        job_data_clean_up_interval_seconds: 300,
        executor_heartbeat_interval_seconds: LOOK_SECONDS,
        override_function_registry: Some(Arc::new(session::registry()?)),
        override_config_producer: Some(session::configure(credentials.as_ref())),
        override_create_grpc_client_endpoint: credentials.as_ref().map(Credentials::endpoint),
        override_arrow_flight_service: credentials.map(results),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await.context("the executor failed")
}

/// The service that gives results to who has the credentials.
fn results(credentials: Credentials) -> Arc<ArrowFlightServerProvider> {
    Arc::new(move |work, listen, mut shutdown, config| {
        let service = FlightServiceServer::new(BallistaFlightService::new(work));
        let server = create_grpc_server(&config).tls_config(credentials.server());
        tokio::spawn(async move {
            let running = server?.add_service(service);
            running.serve_with_shutdown(listen, shutdown.recv()).await.map_err(Into::into)
        })
    })
}
