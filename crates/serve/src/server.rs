//! Accepts connections, and shuts down gracefully.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use facefold_predict::Predictor;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::app::router;
use crate::connections::Connections;
use crate::options::Options;
use crate::report_cache::ReportCache;
use crate::results::SHOWN;
use crate::state::Shared;
use crate::workers;
use crate::write_timeout::WriteTimeoutStream;

/// The longest head of a request, in bytes.
const HEAD: usize = 64 << 10;
/// How often a stopping server looks whether requests are still in work.
const LOOK: Duration = Duration::from_millis(20);
/// A stopping server waits for responses in transit as long as any client reads a byte in this
/// time.
const STALL: Duration = Duration::from_millis(1500);
/// Threads that read requests and write responses; the workers do the computation.
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

/// A server that is bound to its address, and serves once it runs.
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
    /// Stops the server: it refuses new requests, finishes those it has, and ends.
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
    pub fn bind(predictor: Predictor, options: &Options) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(READERS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(ServeError::Thread)?;
        let failed = |source| ServeError::Listen { address: options.listen, source };
        let listener = runtime.block_on(TcpListener::bind(options.listen)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let results = options.results.clone().map(|directory| ReportCache::new(directory, SHOWN));
        let loopback = address.ip().is_loopback();
        let shared = Arc::new(Shared::new(predictor, options, results, loopback));
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

    /// Serves until it is stopped and its requests are done.
    ///
    /// # Errors
    /// [`ServeError::Thread`] where the workers cannot be started.
    pub fn run(self) -> Result<(), ServeError> {
        let workers = workers::start(&self.shared).map_err(ServeError::Thread)?;
        let Self { runtime, listener, shared, stop: (_keep, stop), .. } = self;
        runtime.block_on(serve(listener, &shared, stop));
        shared.queue.close();
        for worker in workers {
            // A worker catches its own panics.
            let _ = worker.join();
        }
        runtime.shutdown_timeout(LOOK);
        Ok(())
    }
}

/// Accepts until stopped, goes on accepting until no request is in work, so that new requests get a
/// 503, then closes.
async fn serve(listener: TcpListener, shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let app = router(shared);
    let graceful = GracefulShutdown::new();
    let mut end: Option<Instant> = None;
    // Goes on however fast connections come: a sleep that begins anew with each would never end.
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    {
        let mut accepting = pin!(accept(&listener, &shared.connections));
        loop {
            tokio::select! {
                // Once stopped, this branch is off and the one below is on.
                _ = stop.wait_for(|stop| *stop), if end.is_none() => {
                    shared.drain();
                    end = Some(Instant::now() + shared.limits.drain_time);
                }
                _ = looks.tick(), if end.is_some() => {
                    if shared.in_work() == 0 || end.is_some_and(|end| Instant::now() > end) {
                        break;
                    }
                }
                (stream, place) = &mut accepting => {
                    connect(stream, place, shared, &app, &graceful);
                    accepting.set(accept(&listener, &shared.connections));
                }
            }
        }
    }
    drop(listener);
    let end = end.unwrap_or_else(Instant::now).max(Instant::now() + LOOK);
    close(graceful, &shared.connections, end).await;
}

/// Waits for responses in transit and closes other connections, until the end, or until no
/// client takes anything any more.
async fn close(graceful: GracefulShutdown, connections: &Connections, end: Instant) {
    let mut closed = pin!(graceful.shutdown());
    let mut written = connections.written();
    loop {
        tokio::select! {
            () = &mut closed => return,
            () = sleep_until(end.min(Instant::now() + STALL)) => {
                let before = std::mem::replace(&mut written, connections.written());
                if before == written || Instant::now() >= end {
                    return;
                }
            }
        }
    }
}

/// Waits for a connection, then for its place: others that only wait for a request give way.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let mut is_said = false;
    let stream = loop {
        match listener.accept().await {
            Ok((stream, _)) => break stream,
            Err(error) => {
                // Out of file descriptors, or a client that went away at once.
                if !std::mem::replace(&mut is_said, true) {
                    tracing::warn!("cannot accept a connection: {error}");
                }
                connections.ask_longest_waiting();
                sleep(LOOK).await;
            }
        }
    };
    loop {
        if let Some(place) = connections.place() {
            return (stream, place);
        }
        sleep(LOOK / 4).await;
    }
}

fn connect(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
    app: &Router,
    graceful: &GracefulShutdown,
) {
    // Responses are small and written at once: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let opened = shared.connections.open(place);
    let state = Arc::clone(&opened.connection);
    let router = TowerToHyperService::new(app.clone());
    let requests = Arc::clone(&state);
    let service = service_fn(move |request| {
        let (working, response) = (requests.work(), router.call(request));
        async move {
            let response = response.await;
            drop(working);
            response
        }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper ignores the time limit.
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head_time)
        .max_buf_size(HEAD)
        .serve_connection(
            TokioIo::new(WriteTimeoutStream::new(stream, opened, shared.limits.time)),
            service,
        );
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            // First: a request that has come already is begun, and the connection gives no way.
            biased;
            ended = connection => {
                if let Err(error) = ended {
                    tracing::debug!("a connection ended: {error}");
                }
            }
            () = state.gives_way() => tracing::debug!("a connection gave way to another"),
        }
    });
}
