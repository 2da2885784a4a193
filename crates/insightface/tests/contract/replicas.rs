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
fn retry_after_is_waited_for_in_seconds_and_dates() {
    // Dates count from the server's own clock.
    let date = "Sun, 06 Nov 1994 08:49:38 GMT";
    for (after, clock) in [("1", None), (date, Some("Sun, 06 Nov 1994 08:49:37 GMT"))] {
        let first = AtomicUsize::new(0);
        let mock = server(Dialect::Rest, move |_, _| {
            let mut headers = vec![("retry-after", after.to_owned())];
            headers.extend(clock.map(|clock| ("date", clock.to_owned())));
            let busy = first.fetch_add(1, Ordering::SeqCst) == 0;
            busy.then(|| Act::Full(503, headers, Vec::new()))
        });
        let mut options = options(Dialect::Rest, &[&mock]);
        options.retry.outage = Duration::from_secs(20);
        let extractor = connect(options).unwrap();
        let start = Instant::now();
        all_right(&extractor, &names(1));
        assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    }
}

#[test]
fn a_cold_server_is_waited_for() {
    for dialect in BOTH {
        let asked = AtomicUsize::new(0);
        let behave = behaving(dialect, "w600k_mbf", |_, _| None);
        let mock = Mock::start(move |request| match asked.fetch_add(1, Ordering::SeqCst) {
            0..3 => Act::Json(500, Value::Null),
            3..5 => Act::Full(503, Vec::new(), Vec::new()),
            _ => behave(request),
        });
        let extractor = connect(options(dialect, &[&mock])).unwrap();
        all_right(&extractor, &names(1));

        // One that is not there yet.
        let gone = server(dialect, |_, _| None);
        let (address, options) = (gone.address, options(dialect, &[&gone]));
        drop(gone);
        let extractor = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(options).unwrap());
            std::thread::sleep(Duration::from_millis(100));
            let _started = Mock::start_at(address, behaving(dialect, "w600k_mbf", |_, _| None));
            connecting.join().unwrap()
        });
        assert_eq!(extractor.info().backend, "insightface");
    }
}

#[test]
fn replicas_that_embed_one_picture_differently_are_noticed() {
    for dialect in BOTH {
        // The same names, and other weights: only embeddings show it.
        let first = server(dialect, |_, _| None);
        let second = server(dialect, move |name, _| {
            Some(Act::ok(crate::dialects::good(dialect, &format!("other {name}"))))
        });
        let extractor = connect(options(dialect, &[&first, &second])).unwrap();
        let names = names(12);
        let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        // Whichever was first is what the other is compared with; no call mixes the two.
        let mut prefixes = std::collections::BTreeSet::new();
        for _ in 0..2 {
            for (name, outcome) in names.iter().zip(extractor.extract(&bytes).unwrap()) {
                let Extraction::Embedded { faces, .. } = outcome else { panic!("{outcome:?}") };
                let is_first = is_of(&faces[0].embedding, name);
                assert!(is_first || is_of(&faces[0].embedding, &format!("other {name}")));
                prefixes.insert(is_first);
            }
        }
        assert_eq!(prefixes.len(), 1, "{dialect}");
        drop([first, second]);
        // The one that is excluded does not make the outage of the other longer than 0.8 s.
        let start = Instant::now();
        let ended = extractor.extract(&[b"x"]).unwrap_err().to_string();
        assert!(ended.contains("embeds the same picture otherwise than"), "{ended}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
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
