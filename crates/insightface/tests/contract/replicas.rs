//! Several replicas: shared load, one that dies, one that comes back, one that is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use facefold_core::{Extraction, Extractor};
use facefold_insightface::{Dialect, InsightfaceError, Options};
use serde_json::Value;

use crate::dialects::{BOTH, behaving, connect, is_of, options, server};
use crate::mock::{Act, Mock};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("picture {at}")).collect()
}

fn all_right(extractor: &dyn Extractor, names: &[String]) {
    let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let outcomes = extractor.extract(&bytes).unwrap();
    for (name, outcome) in names.iter().zip(&outcomes) {
        let Extraction::Embedded { faces, found: 1 } = outcome else { panic!("{outcome:?}") };
        assert!(is_of(&faces[0].embedding, name), "{name}");
    }
    assert_eq!(outcomes.len(), names.len());
}

#[test]
fn replicas_share_the_load_within_their_bounds() {
    for dialect in BOTH {
        let slow = |_: &str, _: u32| {
            std::thread::sleep(Duration::from_millis(3));
            None
        };
        let mocks = [server(dialect, slow), server(dialect, slow)];
        let before: usize = mocks.iter().map(Mock::requests).sum();
        let options = Options { in_flight: 3, ..options(dialect, &[&mocks[0], &mocks[1]]) };
        let extractor = connect(options).unwrap();
        all_right(&extractor, &names(60));
        let asked: Vec<usize> = mocks.iter().map(Mock::requests).collect();
        assert!(asked.iter().all(|count| *count >= 15), "{asked:?} of {before}");
        assert!(mocks.iter().all(|mock| mock.most_at_once() <= 3));
    }
}

#[test]
fn an_extraction_continues_without_a_failed_replica() {
    for dialect in BOTH {
        let [first, second] = [(); 2].map(|()| server(dialect, |_, _| None));
        let second = Arc::new(second);
        let extractor = connect(options(dialect, &[&first, &second])).unwrap();
        all_right(&extractor, &names(10));
        let (killer, names) = (Arc::clone(&second), names(200));
        let before = (first.requests(), second.requests());
        let left = std::thread::scope(|scope| {
            let killing = scope.spawn(|| {
                let start = Instant::now();
                while killer.requests() < before.1 + 10 && start.elapsed() < Duration::from_secs(20)
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let left = names.len() - (first.requests() - before.0).min(names.len());
                killer.kill();
                left
            });
            all_right(&extractor, &names);
            killing.join().unwrap()
        });
        // It died while at work, and the other one did what was left.
        assert!(second.requests() >= before.1 + 10, "{}", second.requests());
        assert!(left > 20, "{left} were left when it died");
    }
}

#[test]
fn a_replica_that_comes_back_works_again_if_it_is_the_same() {
    let first = Mock::start(behaving(Dialect::Rest, "w600k_mbf", |_, _| None));
    let second = Mock::start(behaving(Dialect::Rest, "w600k_mbf", |_, _| None));
    let address = second.address;
    let extractor = connect(options(Dialect::Rest, &[&first, &second])).unwrap();
    drop(second);
    all_right(&extractor, &names(10));

    let other = Mock::start_at(address, behaving(Dialect::Rest, "glintr100", |_, _| None));
    std::thread::sleep(Duration::from_millis(60));
    all_right(&extractor, &names(20));
    // Asked what it is, and for nothing more.
    assert_eq!(other.requests(), 1);
}

#[test]
fn a_replica_that_is_down_at_first_joins_later() {
    let first = server(Dialect::Rest, |_, _| None);
    let late = server(Dialect::Rest, |_, _| None);
    let address = late.address;
    let options = options(Dialect::Rest, &[&first, &late]);
    drop(late);
    let extractor = connect(options).unwrap();
    let late = Mock::start_at(address, behaving(Dialect::Rest, "w600k_mbf", |_, _| None));
    std::thread::sleep(Duration::from_millis(60));
    all_right(&extractor, &names(40));
    assert!(late.requests() > 5, "{}", late.requests());
}

#[test]
fn replicas_with_other_models_are_refused_by_name() {
    let first = server(Dialect::Rest, |_, _| None);
    let second = Mock::start(behaving(Dialect::Rest, "glintr100", |_, _| None));
    let error = connect(options(Dialect::Rest, &[&first, &second])).err().unwrap();
    assert!(matches!(error, InsightfaceError::DifferentReplica { .. }), "{error}");
    let message = error.to_string();
    for part in [first.url(), second.url(), "rec_name is glintr100, there w600k_mbf".to_owned()] {
        assert!(message.contains(&part), "{message}");
    }
}

#[test]
fn no_replica_is_an_error_with_every_url() {
    let gone = server(Dialect::Rest, |_, _| None);
    let broken = Mock::start(|_| Act::Json(500, Value::Null));
    let options = options(Dialect::Rest, &[&gone, &broken]);
    let url = gone.url();
    drop(gone);
    let error = connect(options).err().unwrap().to_string();
    for part in [&format!("`{url}`: no connection"), &broken.url(), "status 500", "start one"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_dead_server_stops_the_extraction_until_it_is_back() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mock = server(Dialect::Rest, move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    let address = mock.address;
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    drop(mock);
    let error = extractor.extract(&[b"x"]).unwrap_err();
    assert!(error.to_string().contains("goes on where it stopped"), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let _back = Mock::start_at(address, behaving(Dialect::Rest, "w600k_mbf", |_, _| None));
    all_right(&extractor, &names(3));
}

#[test]
fn retry_after_of_a_busy_server_is_obeyed() {
    let first = Arc::new(AtomicUsize::new(0));
    let mock = server(Dialect::Rest, move |_, _| {
        let busy = first.fetch_add(1, Ordering::SeqCst) < 5;
        busy.then(|| Act::Full(429, vec![("retry-after", "0".to_owned())], Vec::new()))
    });
    // More refusals than attempts: being busy is no failure.
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    all_right(&extractor, &names(1));
}

#[test]
fn addresses_are_checked_before_anything_is_sent() {
    for url in ["", "localhost:18081", "ftp://x", "http://x/?a=b", "http://", "http://x#y"] {
        let error = connect(Options::new(vec![url.to_owned()])).err().unwrap();
        assert!(matches!(error, InsightfaceError::InvalidUrl(_)), "{url}: {error}");
    }
    assert!(matches!(connect(Options::new(vec![])).err(), Some(InsightfaceError::NoUrl)));
    let redirect = Mock::start(|_| {
        Act::Full(302, vec![("location", "http://127.0.0.1:1/info".to_owned())], Vec::new())
    });
    let error = connect(options(Dialect::Rest, &[&redirect])).err().unwrap();
    assert!(error.to_string().contains("status 302"), "{error}");
}
