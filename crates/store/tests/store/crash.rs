//! Killed at any moment and resumed, a store equals one that was never interrupted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use facefold_store::{SealLimits, Store};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use crate::util::{append, assert_equal, create, finished, key, outcome, shards};

/// Appends whatever of the pictures the store has not seen, as a resumed extraction does.
fn resume(directory: &Path, numbers: std::ops::Range<u32>, limits: SealLimits) -> Store {
    let mut writer = create(directory).with_limits(limits);
    for number in numbers {
        writer.append(key(number), &outcome(number)).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_picture_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    let log = directory.path().join("log");
    let size = || usize::try_from(fs_err::metadata(&log).unwrap().len()).unwrap();
    let mut ends = vec![size()];
    for number in 0..12 {
        append(&mut writer, number..number + 1);
        ends.push(size());
    }
    drop(writer);
    let whole = fs_err::read(&log).unwrap();
    assert_eq!(whole.len(), ends[12]);
    for length in 0..=whole.len() {
        fs_err::write(&log, &whole[..length]).unwrap();
        let store = Store::open(directory.path()).unwrap();
        let complete = ends.iter().skip(1).filter(|&&end| end <= length).count();
        assert_eq!(store.len(), complete, "cut at byte {length}");
        let last = u32::try_from(complete).unwrap();
        assert!((0..12).all(|number| store.contains(&key(number)) == (number < last)));
        let incomplete = store.verify().unwrap().incomplete_log_bytes;
        assert_eq!(incomplete == 0, length == 0 || ends.contains(&length), "cut at byte {length}");
    }
}

/// What happens to a store in the middle of an extraction.
#[derive(Debug, Clone)]
enum Event {
    Append(u32),
    Seal,
    /// The program ends, and this share of the log was never written.
    Kill(f64),
    /// The program ends between renaming the shards and emptying the log.
    KillAfterSealing,
    /// … and only the embeddings had their name.
    KillWhileSealing,
}

#[test]
fn any_sequence_of_kills_and_resumptions_gives_the_same_store() {
    let event = prop_oneof![
        4 => (1u32..12).prop_map(Event::Append),
        1 => any::<bool>().prop_map(|_| Event::Seal),
        2 => (0.0..1.0).prop_map(Event::Kill),
        1 => any::<bool>().prop_map(|_| Event::KillAfterSealing),
        1 => any::<bool>().prop_map(|_| Event::KillWhileSealing),
    ];
    let events = proptest::collection::vec(event, 1..12);
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let whole = tempfile::tempdir().unwrap();
    let whole = finished(whole.path(), 0..50);
    let limits = SealLimits { pictures: 9, bytes: 1 << 20 };
    let check = |events: Vec<Event>| {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut writer = create(directory.path()).with_limits(limits);
        for event in events {
            match event {
                Event::Append(count) => {
                    let new = (0..50).filter(|&number| !writer.contains(&key(number)));
                    for number in new.take(count as usize).collect::<Vec<_>>() {
                        append(&mut writer, number..number + 1);
                    }
                    continue;
                }
                Event::Seal => {
                    writer.seal().unwrap();
                    continue;
                }
                Event::Kill(share) => {
                    drop(writer);
                    let size = fs_err::metadata(&log).unwrap().len();
                    let file = fs_err::OpenOptions::new().write(true).open(&log).unwrap();
                    file.set_len((size as f64 * share) as u64).unwrap();
                }
                Event::KillAfterSealing | Event::KillWhileSealing => {
                    let before = fs_err::read(&log).unwrap();
                    let known = shards(directory.path());
                    writer.seal().unwrap();
                    drop(writer);
                    fs_err::write(&log, before).unwrap();
                    for name in shards(directory.path()) {
                        let new = name.starts_with("rejections") && !known.contains(&name);
                        if matches!(event, Event::KillWhileSealing) && new {
                            let path = directory.path().join("shards").join(&name);
                            let partial = path.with_file_name(".partial-xyz");
                            fs_err::rename(path, partial).unwrap();
                        }
                    }
                }
            }
            writer = create(directory.path()).with_limits(limits);
        }
        drop(writer);
        let store = resume(directory.path(), 0..50, limits);
        assert_equal(&store, &whole);
        assert!(!shards(directory.path()).iter().any(|name| name.starts_with('.')));
        Ok(())
    };
    TestRunner::new(config).run(&events, check).unwrap();
}

#[test]
fn a_writer_killed_before_its_header_leaves_a_directory_that_can_be_used() {
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("lock"), "").unwrap();
    fs_err::write(directory.path().join(".partial-abc"), "{\"for").unwrap();
    finished(directory.path(), 0..3);
    assert!(!directory.path().join(".partial-abc").exists());
}

const CHILD: &str = "FACEFOLD_TEST_STORE_OF_CHILD";
const PICTURES: u32 = 3000;
const LIMITS: SealLimits = SealLimits { pictures: 100, bytes: 1 << 20 };

/// The child of the next test: extracts slowly, so that it is killed in the middle.
#[test]
#[ignore = "run and killed by the next test"]
fn slow_extraction() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let mut writer = create(Path::new(&directory)).with_limits(LIMITS);
    for number in 0..PICTURES {
        if writer.append(key(number), &outcome(number)).unwrap() {
            // Slow enough that a parent which is scheduled late still kills it in the middle.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    writer.finish().unwrap();
}

#[test]
fn killed_twenty_times_and_resumed_it_equals_an_uninterrupted_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut sizes = Vec::new();
    for kill in 0..20u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "crash::slow_extraction"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Counted from the first new picture, so that a slow start of the child is no kill
        // before anything happened.
        let before = sizes.last().copied().unwrap_or(0);
        for _ in 0..2000 {
            std::thread::sleep(Duration::from_millis(5));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            if Store::open(&path).is_ok_and(|store| store.len() > before) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(kill % 7));
        child.kill().unwrap();
        child.wait().unwrap();
        sizes.push(Store::open(&path).unwrap().len());
    }
    assert!(sizes.is_sorted(), "{sizes:?}");
    let between = sizes.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(between >= 15, "only {between} kills fell between writes: {sizes:?}");
    assert!(sizes[19] < PICTURES as usize, "it was done before the last kill: {sizes:?}");
    let store = resume(&path, 0..PICTURES, LIMITS);
    let whole = tempfile::tempdir().unwrap();
    assert_equal(&store, &finished(whole.path(), 0..PICTURES));
}
