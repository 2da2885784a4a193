//! A person who asks to be forgotten, in a store and in the reports that were made of it.

use std::path::Path;

use facefold_core::SubjectId;
use facefold_store::{Forget, Store};
use serde_json::Value;

use crate::stores::{contents, extracted, listed, used};
use crate::support::{Dir, drawn_store, fail, json, line, run, succeed};

#[test]
fn a_person_is_forgotten_in_the_store_and_in_its_reports() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 6, 24);
    succeed(line("extract manifest {} --store {} --model untrained", &[&set, &store]));
    let [first, second] = ["first", "second"].map(|name| dir.path(name));
    assert_eq!(used(&store, &first), 24);
    assert_eq!(used(&store, &second), 24);
    std::fs::remove_dir_all(&second).expect("a report");
    let everything = || {
        let mut all = contents(&store);
        all.extend(contents(&first));
        all
    };
    let holds = |needle: &str| {
        let needle = needle.as_bytes();
        everything().values().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    };
    assert!(holds("person-6-7,") && holds("6-7.png"));
    let removed = json(line("store forget {} --subject person-6-7", &[&store]));
    assert_eq!((&removed["pictures"], &removed["label_rows"]), (&1.into(), &1.into()));
    let reports = removed["reports"].as_object().expect("reports");
    assert_eq!(reports.keys().collect::<Vec<_>>(), [&first.display().to_string()]);
    assert!(reports.values().all(|rows| rows.as_u64() >= Some(1)), "{removed}");
    assert_eq!(removed["reports_not_found"], Value::from(vec![second.display().to_string()]));
    assert!(!holds("person-6-7,") && !holds("6-7.png"));
    succeed(line("store verify {}", &[&store]));
    assert_eq!(used(&store, &dir.path("third")), 23);

    // A picture by its file, and then no subject is left to forget.
    let picture = set.join("female/6-0.png");
    succeed(line("store forget {} --image {}", &[&store, &picture]));
    assert_eq!(used(&store, &dir.path("fourth")), 22);
    let message = fail(line("store forget {} --image {}", &[&store, &picture]), 1);
    assert!(message.contains("has no rows of"), "{message}");
    fail(line("store forget {}", &[&store]), 2);
}

#[test]
fn a_person_is_forgotten_in_joint_reports_of_a_store_that_had_another_name() {
    let dir = Dir::new();
    let (set, store, renamed) = (dir.path("set"), dir.path("faces"), dir.path("renamed"));
    listed(&set, 6, 24);
    succeed(line("extract manifest {} --store {} --model untrained", &[&set, &store]));
    let out = dir.path("joint");
    succeed(line(
        "cv --store {} --store {} --task gender --head majority --features embedding --out {}",
        &[drawn_store(), &store, &out],
    ));
    let holds = || {
        let needle = b"faces/male/6-7.png";
        contents(&out).values().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    };
    assert!(holds());
    std::fs::rename(&store, &renamed).expect("a store");
    succeed(line("store forget {} --subject person-6-7", &[&renamed]));
    assert!(!holds());
}

#[test]
fn replaced_pictures_and_the_names_of_pictures_are_forgotten() {
    let dir = Dir::new();
    let [set, other, store, named] = ["set", "other", "store", "named"].map(|name| dir.path(name));
    listed(&set, 6, 8);
    listed(&other, 7, 2);
    let extract = || line("extract manifest {} --store {} --model untrained", &[&set, &store]);
    succeed(extract());
    let picture = set.join("female/6-0.png");
    std::fs::copy(other.join("female/7-0.png"), &picture).expect("another picture");
    let words = String::from_utf8_lossy(&run(extract()).stderr).into_owned();
    assert!(words.contains("1 pictures whose files were replaced since were removed"), "{words}");
    let verified = json(line("store verify {}", &[&store]));
    assert_eq!((&verified["ok"], &verified["pictures_without_sample"]), (&true.into(), &0.into()));
    let removed = json(line("store forget {} --subject person-6-0", &[&store]));
    assert_eq!((&removed["pictures"], &removed["unlabelled"]), (&1.into(), &0.into()));

    // Those that are given one by one stand in the file that repeats the extraction.
    let second = set.join("female/6-2.png");
    let command = "extract pictures {} {} --store {} --model untrained";
    succeed(line(command, &[&picture, &second, &named]));
    let run_file = || std::fs::read_to_string(named.join("run.toml")).expect("a run file");
    assert!(run_file().contains("6-0.png"));
    succeed(line("store forget {} --image {}", &[&named, &picture]));
    assert!(!run_file().contains("6-0.png") && run_file().contains("6-2.png"), "{}", run_file());
}

#[test]
fn a_removal_that_was_killed_is_reported_and_finished() {
    let dir = Dir::new();
    let store = extracted(&dir);
    let who = SubjectId::new("person-6-7");
    let mut writer = Store::open_for_writing(&store).expect("a store");
    let traces = writer.find_traces(Forget::Subject(&who)).expect("traces");
    writer.begin_removal(&traces).expect("begun");
    drop(writer);
    let marker = std::fs::read(store.join("removal")).expect("a marker");
    assert!(!String::from_utf8_lossy(&marker).contains("person"));
    let verify = || line("store verify {}", &[&store]);
    let forget = || line("store forget {} --subject person-6-7", &[&store]);
    // Killed before anything was removed.
    let found = run(verify());
    assert_eq!(found.status.code(), Some(1));
    let words = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(words.contains("run the same `store forget` command again"), "{words}");
    assert!(!words.contains("extract"), "{words}");
    succeed(forget());
    succeed(verify());
    // Killed when all was removed but the marker.
    std::fs::write(store.join("removal"), &marker).expect("a marker");
    fail(verify(), 1);
    let message = fail(line("store forget {} --subject person-6-8x", &[&store]), 1);
    assert!(message.contains("has no rows of"), "{message}");
    assert!(succeed(forget()).contains("finished the removal"));
    succeed(verify());
    fail(forget(), 1);
}

#[test]
fn reports_that_are_away_or_of_the_original_are_named() {
    let dir = Dir::new();
    let store = extracted(&dir);
    let [report, away, copied] = ["report", "away", "copied"].map(|name| dir.path(name));
    used(&store, &report);
    used(&store, &away);
    std::fs::remove_dir_all(&away).expect("a report");
    for (path, bytes) in contents(&store) {
        let path = copied.join(path.strip_prefix(&store).expect("below it"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a copy");
    }
    let before = contents(&report);
    let forget = |store: &Path| {
        let output = run(line("store forget {} --subject person-6-7", &[store]));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let words = forget(&copied);
    assert!(words.contains("2 reports were left as they are"), "{words}");
    assert!(words.contains(&store.display().to_string()), "{words}");
    assert!(contents(&report) == before, "a report of the original was changed");
    let words = forget(&store);
    assert!(words.contains("1 reports made from this store were not found"), "{words}");
    assert!(contents(&report) != before);
}

#[test]
fn a_report_that_cannot_be_noted_gives_a_warning() {
    let dir = Dir::new();
    let store = extracted(&dir);
    // As on a medium that cannot be written, also for the superuser.
    std::fs::create_dir(store.join("reports")).expect("a directory in the way");
    let output = run(line(
        "cv --store {} --task gender --head majority --out {}",
        &[&store, &dir.path("out")],
    ));
    assert!(output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("not noted in its store") && words.contains("will not find"), "{words}");
}
