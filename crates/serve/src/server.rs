//! Accepting connections, and ending well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use facefold_predict::Pipeline;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::app::router;
use crate::options::Options;
use crate::patience::Patient;
use crate::results::Results;
use crate::state::Shared;
use crate::workers;

/// The longest head of a request, in bytes.
const HEAD: usize = 64 << 10;
/// How often a stopping server looks whether requests are still in work.
const LOOK: Duration = Duration::from_millis(20);
/// Threads that read requests and write answers; the work is done by the workers.
const READERS: usize = 2;

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What failed.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A server that listens already, and answers once it runs.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: (watch::Sender<bool>, watch::Receiver<bool>),
}

/// Stops a server from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Tells the server to turn new work away, finish what it has, and end.
    pub fn stop(&self) {
        // A server that is gone is stopped.
        let _ = self.0.send(true);
    }
}

impl Server {
    /// Listens on the address of the options.
    ///
    /// # Errors
    /// [`ServeError::Listen`] where the address is taken or not ours.
    pub fn bind(pipeline: Pipeline, options: &Options) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(READERS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServeError::Thread)?;
        let failed = |source| ServeError::Listen { address: options.listen, source };
        let listener = runtime.block_on(TcpListener::bind(options.listen)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let results = options.results.clone().map(Results::new);
        let loopback = address.ip().is_loopback();
        let shared = Arc::new(Shared::new(pipeline, options, results, loopback));
        Ok(Self { runtime, listener, address, shared, stop: watch::channel(false) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.0.clone())
    }

    /// Answers until it is stopped and what was in work is done.
    ///
    /// # Errors
    /// [`ServeError::Thread`] where the workers cannot be started.
    pub fn run(self) -> Result<(), ServeError> {
        let workers = workers::start(&self.shared).map_err(ServeError::Thread)?;
        let Self { runtime, listener, shared, stop: (_keep, stop), .. } = self;
        runtime.block_on(serve(listener, &shared, stop));
        shared.queue.close();
        for worker in workers {
            // A worker catches its own panics; one that ended otherwise has nothing to say.
            let _ = worker.join();
        }
        runtime.shutdown_timeout(LOOK);
        Ok(())
    }
}

/// Accepts until told to stop, goes on accepting until nothing is in work, so that new requests
/// hear 503, then closes.
async fn serve(listener: TcpListener, shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let app = router(shared);
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let graceful = GracefulShutdown::new();
    let mut end: Option<Instant> = None;
    loop {
        let accepting = accept(&listener, &places);
        tokio::select! {
            // Once told to stop, this branch is off and the one below is on.
            _ = stop.wait_for(|stop| *stop), if end.is_none() => {
                shared.drain();
                end = Some(Instant::now() + shared.limits.drain_time);
            }
            () = sleep(LOOK), if end.is_some() => {
                if shared.in_work() == 0 || end.is_some_and(|end| Instant::now() > end) {
                    break;
                }
            }
            (stream, place) = accepting => connect(stream, place, shared, &app, &graceful),
        }
    }
    drop(listener);
    let end = end.unwrap_or_else(Instant::now).max(Instant::now() + LOOK);
    // Answers on their way are written out; connections that wait for a request are closed.
    let _ = tokio::time::timeout_at(end, graceful.shutdown()).await;
}

/// Waits for a place, then for a connection.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Out of file descriptors, or a client that went away at once.
                tracing::warn!("cannot accept a connection: {error}");
                sleep(LOOK).await;
            }
        }
    }
}

fn connect(
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    shared: &Arc<Shared>,
    app: &Router,
    graceful: &GracefulShutdown,
) {
    // Answers are small and written whole: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(app.clone());
    let connection = http1::Builder::new()
        // Without a timer hyper ignores the time limit.
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_time)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream, shared.limits.time)), service);
    let connection = graceful.watch(connection);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        shared.metrics.connections.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = connection.await {
            tracing::debug!("a connection ended: {error}");
        }
        shared.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        drop(place);
    });
}
