//! Counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::state::Shared;

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Upper bounds of the buckets of batch sizes.
const SIZES: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];

/// What was counted since the server began.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    latency: Mutex<BTreeMap<String, Histogram<{ SECONDS.len() }>>>,
    pictures: Mutex<BTreeMap<&'static str, u64>>,
    batches: Mutex<Histogram<{ SIZES.len() }>>,
    /// Microseconds that workers spent on pictures.
    busy: AtomicU64,
    /// Number of pictures that they were spent on.
    done: AtomicU64,
}

#[derive(Clone, Copy)]
struct Histogram<const N: usize> {
    buckets: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { buckets: [0; N], count: 0, sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, bounds: &[f64; N], value: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(bounds) {
            *bucket += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }

    fn write(&self, text: &mut String, bounds: &[f64; N], name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            line(text, &format!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}}"), bucket);
        }
        line(text, &format!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}}"), self.count);
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        line(text, &format!("{name}_sum{labels}"), self.sum);
        line(text, &format!("{name}_count{labels}"), self.count);
    }
}

impl Metrics {
    /// A finished request. `route` is one of ours, never a client's text.
    pub fn request(&self, route: &str, status: u16, time: Duration) {
        *locked(&self.requests).entry((route.to_owned(), status)).or_default() += 1;
        let mut latency = locked(&self.latency);
        latency.entry(route.to_owned()).or_default().add(&SECONDS, time.as_secs_f64());
    }

    /// A batch of pictures that a worker did.
    pub fn batch(&self, pictures: usize, time: Duration) {
        locked(&self.batches).add(&SIZES, pictures as f64);
        self.busy.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
        self.done.fetch_add(pictures as u64, Ordering::Relaxed);
    }

    /// A picture that ended so.
    pub fn picture(&self, outcome: &'static str) {
        *locked(&self.pictures).entry(outcome).or_default() += 1;
    }

    /// Mean time of a picture on one worker; 0 before the first.
    pub fn seconds_a_picture(&self) -> f64 {
        let done = self.done.load(Ordering::Relaxed).max(1);
        self.busy.load(Ordering::Relaxed) as f64 / 1e6 / done as f64
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self, shared: &Shared) -> String {
        let mut text = String::new();
        about(&mut text, "facefold_requests_total", "counter", "Requests by route and status.");
        for ((route, status), count) in &*locked(&self.requests) {
            let labels = format!("route=\"{route}\",status=\"{status}\"");
            line(&mut text, &format!("facefold_requests_total{{{labels}}}"), count);
        }
        about(
            &mut text,
            "facefold_request_seconds",
            "histogram",
            "Time to the response, by route.",
        );
        for (route, latency) in &*locked(&self.latency) {
            let labels = format!("route=\"{route}\"");
            latency.write(&mut text, &SECONDS, "facefold_request_seconds", &labels);
        }
        about(&mut text, "facefold_pictures_total", "counter", "Pictures by how they ended.");
        for (outcome, count) in &*locked(&self.pictures) {
            line(&mut text, &format!("facefold_pictures_total{{outcome=\"{outcome}\"}}"), count);
        }
        about(&mut text, "facefold_batch_pictures", "histogram", "Pictures taken at once.");
        locked(&self.batches).write(&mut text, &SIZES, "facefold_batch_pictures", "");
        let busy = self.busy.load(Ordering::Relaxed) as f64 / 1e6;
        about(&mut text, "facefold_worker_seconds_total", "counter", "Time spent on pictures.");
        line(&mut text, "facefold_worker_seconds_total", busy);
        let gauges = [
            ("facefold_workers", "Worker threads.", shared.threads as u64),
            ("facefold_pictures_waiting", "Pictures in the queue.", shared.queue.len() as u64),
            ("facefold_requests_in_work", "Requests with pictures.", shared.in_work() as u64),
            ("facefold_connections", "Connections.", shared.connections.count() as u64),
            ("facefold_draining", "1 while the server stops.", u64::from(shared.is_draining())),
        ];
        for (name, help, value) in gauges {
            about(&mut text, name, "gauge", help);
            line(&mut text, name, value);
        }
        if let Some(bytes) = resident_bytes() {
            let name = "process_resident_memory_bytes";
            about(&mut text, name, "gauge", "Resident memory size in bytes.");
            line(&mut text, name, bytes);
        }
        text
    }
}

fn about(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name} {value}");
}

/// From `/proc`, in kibibytes there; none on other systems than Linux.
fn resident_bytes() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
