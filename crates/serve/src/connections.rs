//! The open connections, and which of them is closed when the limit is reached: the one
//! that has waited longest for its client's next request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Files that are left for other things than connections: weights, results, the listener.
const OTHER_FILES: usize = 64;

/// All open connections.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    /// Bytes written to all clients.
    written: AtomicU64,
}

/// A connection, from its acceptance to its end.
pub(crate) struct Connection {
    /// None while a request is worked on.
    waits_since: Mutex<Option<Instant>>,
    /// Whether the client has yet to take what is written.
    is_writing: AtomicBool,
    give_way: Notify,
}

/// A connection in the list of all, until dropped.
pub(crate) struct Opened {
    all: Arc<Connections>,
    number: u64,
    pub connection: Arc<Connection>,
    _place: OwnedSemaphorePermit,
}

/// A request in work, until dropped.
pub(crate) struct Working(Arc<Connection>);

impl Connections {
    /// Places for so many connections, or for as many as there are file descriptors.
    pub fn new(most: usize) -> Self {
        let files = open_files().map_or(most, |files| files.saturating_sub(OTHER_FILES).max(1));
        Self {
            places: Arc::new(Semaphore::new(most.min(files).min(Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// A place, if there is one; else the connection that is idle longest is asked to close.
    pub fn place(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            self.ask_longest_waiting();
        }
        place
    }

    /// Asks the connection that waits longest for a request to close.
    pub fn ask_longest_waiting(&self) {
        let open = locked(&self.open);
        let waiting = open.values().filter_map(|one| Some((one.waits_since()?, one)));
        if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) {
            longest.give_way.notify_one();
        }
    }

    /// Enters a connection into the list.
    pub fn open(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Opened {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            waits_since: Mutex::new(Some(Instant::now())),
            is_writing: AtomicBool::new(false),
            give_way: Notify::new(),
        });
        locked(&self.open).insert(number, Arc::clone(&connection));
        Opened { all: Arc::clone(self), number, connection, _place: place }
    }

    /// Number of open connections.
    pub fn count(&self) -> usize {
        locked(&self.open).len()
    }

    /// Bytes written to all clients so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Opened {
    /// Takes note of bytes that the client took.
    pub fn wrote(&self, bytes: usize) {
        self.all.written.fetch_add(bytes as u64, Ordering::Relaxed);
        self.connection.is_writing.store(false, Ordering::Relaxed);
    }

    /// Records that the client reads nothing now.
    pub fn cannot_write(&self) {
        self.connection.is_writing.store(true, Ordering::Relaxed);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        locked(&self.all.open).remove(&self.number);
    }
}

impl Connection {
    /// A request has come; the connection waits again once this is dropped.
    pub fn work(self: &Arc<Self>) -> Working {
        *locked(&self.waits_since) = None;
        Working(Arc::clone(self))
    }

    /// Waits until it is asked to close while it waits for a request itself.
    pub async fn gives_way(&self) {
        loop {
            self.give_way.notified().await;
            if self.waits_since().is_some() {
                return;
            }
        }
    }

    fn waits_since(&self) -> Option<Instant> {
        if self.is_writing.load(Ordering::Relaxed) { None } else { *locked(&self.waits_since) }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *locked(&self.0.waits_since) = Some(Instant::now());
    }
}

/// How many files this process may have open; `None` where the system has no limit to query.
fn open_files() -> Option<usize> {
    let limits = fs_err::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
