//! Nonsense and overload leave memory as it is: in a binary of its own, where no other test's
//! memory is counted.

// Helpers of tests fail by panicking and say what they saw, as tests do; not all are used here.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, dead_code)]

#[path = "serve/client.rs"]
mod client;
#[path = "serve/support.rs"]
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::client::{Client, form, get, post};
use crate::support::{Running, options, picture};

/// Held by the one test that runs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of memory, as the server counts them; 0 where the system does not report it.
fn resident(server: &Running) -> f64 {
    let metrics = get(server.address, "/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.map_or(0.0, |bytes| bytes.parse().unwrap())
}

#[test]
fn a_thousand_random_bodies_get_responses_and_leak_no_memory() {
    let _alone = alone();
    let server = Running::start(&options());
    let mut rng = facefold_core::rng::seeded(1, "random bodies");
    let good = picture(3);
    let (kind, whole_form) = form(&[("a", &good), ("b", b"x")]);
    let json = r#"{"images":{"data":["aGVsbG8=",""]},"embed_only":true,"threshold":0.6}"#;
    let mut before = 0.0;
    for round in 0..1000 {
        let (path, kind, template): (&str, &str, &[u8]) = match round % 5 {
            0 => ("/v1/predict", "image/jpeg", &good),
            1 => ("/v1/predict?faces=all", &kind, &whole_form),
            2 => ("/extract", "application/json", json.as_bytes()),
            3 => ("/extract", "application/msgpack", json.as_bytes()),
            _ => ("/v1/embed", "application/octet-stream", &good),
        };
        // Half of them pure noise, half of them real but cut, and with some bytes changed.
        let body: Vec<u8> = if rng.random() {
            (0..rng.random_range(0..4000)).map(|_| rng.random()).collect()
        } else {
            let mut body = template[..rng.random_range(0..=template.len())].to_vec();
            for _ in 0..rng.random_range(0..5) {
                if !body.is_empty() {
                    let at = rng.random_range(0..body.len());
                    body[at] = rng.random();
                }
            }
            body
        };
        let reply = post(server.address, path, kind, &body);
        assert!([200, 413, 415, 422].contains(&reply.status), "round {round}: {}", reply.text());
        if round == 400 {
            before = resident(&server);
        }
    }
    let after = resident(&server);
    assert!(after <= before * 1.05 + 4e6, "from {before} to {after} bytes");
    assert_eq!(get(server.address, "/health").status, 200);
}

#[test]
fn responses_leak_no_memory() {
    const RESPONSES: usize = 300;
    let _alone = alone();
    let server = Running::start(&options());
    let pictures: Vec<Vec<u8>> = (0..8).map(picture).collect();
    let mut client = Client::connect(server.address);
    let mut ask = |count: usize| {
        for number in 0..count {
            let kind = "content-type: image/png\r\n";
            let reply = client.request("POST", "/v1/predict", kind, &pictures[number % 8]);
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    };
    ask(60);
    let before = resident(&server);
    ask(RESPONSES);
    let grown = resident(&server) - before;
    // Half a kilobyte each, where a pool of threads for each head took 8 and more.
    assert!(grown <= 512.0 * RESPONSES as f64 + 2e6, "{grown} bytes in {RESPONSES} responses");
}

#[test]
fn many_requests_for_results_do_not_affect_health_and_memory() {
    let _alone = alone();
    let mut options = options();
    let shown = tempfile::tempdir().unwrap();
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    for number in 0..30 {
        let directory = shown.path().join(format!("run-{number}"));
        std::fs::create_dir_all(&directory).unwrap();
        let from = reports.join("utkface-folds/report.json");
        std::fs::copy(from, directory.join("report.json")).unwrap();
    }
    options.results = Some(shown.path().to_owned());
    let server = Running::start(&options);
    assert_eq!(get(server.address, "/v1/results").status, 200);
    let (before, is_over) = (resident(&server), AtomicBool::new(false));
    let page = get(server.address, "/v1/results/run-4").json();
    let plot = format!("/v1/results/run-4/plots/{}", page["plots"][0].as_str().unwrap());
    let paths = ["/v1/results", "/v1/results/run-3", plot.as_str()];
    let (mut late, mut most) = (Vec::new(), 0.0_f64);
    std::thread::scope(|scope| {
        for number in 0..150 {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                let mut client = Client::connect(server.address);
                while !is_over.load(Ordering::Relaxed) {
                    let path = if number % 10 == 0 { paths[number / 10 % 3] } else { paths[0] };
                    assert_eq!(client.request("GET", path, "", b"").status, 200, "{path}");
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            let start = Instant::now();
            assert_eq!(get(server.address, "/health").status, 200);
            late.push(start.elapsed());
            most = most.max(resident(&server));
            std::thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    late.sort();
    // Both the clients and the server run on these cores.
    let median = late[late.len() / 2];
    assert!(median < Duration::from_millis(500), "half of all took more than {median:?}");
    assert!(most - before < 64e6, "from {before} to {most} bytes");
    println!("health: median {median:?} of {}; {} bytes more", late.len(), most - before);
}

#[test]
fn overload_is_answered_with_429() {
    let _alone = alone();
    let mut options = options();
    options.limits.requests = 2;
    let server = Running::start(&options);
    let bytes = picture(1);
    let is_over = AtomicBool::new(false);
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(server.address);
                    let (mut done, mut refused) = (0, 0);
                    while !is_over.load(Ordering::Relaxed) {
                        let kind = "content-type: image/png\r\n";
                        let reply = client.request("POST", "/v1/predict", kind, &bytes);
                        match reply.status {
                            200 => done += 1,
                            429 => {
                                let seconds: u64 =
                                    reply.header("retry-after").unwrap().parse().unwrap();
                                assert!((1..=60).contains(&seconds));
                                refused += 1;
                            }
                            status => panic!("{status}: {}", reply.text()),
                        }
                    }
                    (done, refused)
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(6);
        let mut before = None;
        while Instant::now() < end {
            let start = Instant::now();
            if before.is_none() && end - start < Duration::from_secs(4) {
                before = Some(resident(&server));
            }
            assert_eq!(get(server.address, "/health").status, 200);
            assert!(start.elapsed() < Duration::from_secs(5), "health took {:?}", start.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        let (before, after) = (before.unwrap_or_default(), resident(&server));
        assert!(after <= before * 1.05 + 4e6, "from {before} to {after} bytes");
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let done: u64 = counts.iter().map(|(done, _)| done).sum();
    let refused: u64 = counts.iter().map(|(_, refused)| refused).sum();
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    println!("{done} responses, {refused} refused in 6 s");
}
