//! A data set extracted in shards and merged is the store that one extraction gives.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::stores::listed;
use crate::support::{Dir, SYNTHETIC, drawn, drawn_store, fail, json, line, succeed};

const SHARDS: usize = 8;

fn extract(shard: usize, store: &Path) -> Command {
    let arguments = format!(
        "extract adience {{}} --store {{}} --model untrained --taps --shard {shard}/{SHARDS}"
    );
    line(&arguments, &[drawn(), store])
}

fn merge(stores: &[PathBuf], out: &Path) -> Command {
    let mut command = line("store merge --out {}", &[out]);
    command.args(stores);
    command
}

/// What a reader sees of a store, in order.
fn exported(store: &Path, out: &Path) -> String {
    succeed(line("store export {} --format csv --out {}", &[store, out]));
    std::fs::read_to_string(out.join("embeddings.csv")).expect("a table")
}

#[test]
fn shards_one_of_which_comes_late_merge_to_the_same_store() {
    let dir = Dir::new();
    let stores: Vec<PathBuf> = (1..=SHARDS).map(|shard| dir.path(&format!("{shard}"))).collect();
    let out = dir.path("merged");
    for shard in (1..=SHARDS).filter(|&shard| shard != 3) {
        succeed(extract(shard, &stores[shard - 1]));
    }
    let present: Vec<PathBuf> = stores.iter().filter(|path| path.exists()).cloned().collect();
    let words = fail(merge(&present, &out), 1);
    assert!(words.contains("1 of 8 shards") && words.contains("--shard 3/8"), "{words}");
    assert!(!out.exists(), "nothing is written while a shard is missing");

    succeed(extract(3, &stores[2]));
    // In any order.
    let backwards: Vec<PathBuf> = stores.iter().rev().cloned().collect();
    let merged = json(merge(&backwards, &out));
    assert_eq!((&merged["stores"], &merged["rows"]), (&8.into(), &SYNTHETIC.into()), "{merged}");
    for known in [0, SYNTHETIC] {
        let verified = json(line("store verify {}", &[&out]));
        assert_eq!(verified["ok"], true, "{verified}");
        let difference = json(line("store compare {} {}", &[drawn_store(), &out]));
        assert_eq!(difference["equal"], true, "{difference}");
        let [one, two] = [drawn_store(), &out].map(|store| exported(store, &dir.path("export")));
        assert!(one == two, "label rows and embeddings in another order");
        if known == 0 {
            let again = json(merge(&stores, &out));
            assert_eq!(
                (&again["embedded"], &again["known"]),
                (&0.into(), &SYNTHETIC.into()),
                "{again}"
            );
        }
    }
    // The extraction of the whole goes on with it.
    let whole =
        json(line("extract adience {} --store {} --model untrained --taps", &[drawn(), &out]));
    assert_eq!(whole["known"], SYNTHETIC, "{whole}");
}

#[test]
fn a_killed_merge_goes_on() {
    let dir = Dir::new();
    let stores: Vec<PathBuf> = (1..=SHARDS).map(|shard| dir.path(&format!("{shard}"))).collect();
    for (shard, store) in (1..).zip(&stores) {
        succeed(extract(shard, store));
    }
    let out = dir.path("merged");
    let mut killed = 0;
    for round in 1..=12 {
        let mut child = merge(&stores, &out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("facefold starts");
        std::thread::sleep(Duration::from_millis(5 * round));
        killed += usize::from(child.try_wait().expect("a child").is_none());
        let _ = child.kill();
        child.wait().expect("a child");
    }
    assert!(killed > 0, "every merge was faster than its kill");
    succeed(merge(&stores, &out));
    let verified = json(line("store verify {}", &[&out]));
    assert_eq!(verified["ok"], true, "{verified}");
    let difference = json(line("store compare {} {}", &[drawn_store(), &out]));
    assert_eq!(difference["equal"], true, "{difference}");
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_is_written() {
    let dir = Dir::new();
    let set = dir.path("set");
    listed(&set, 5, 20);
    let store = |name: &str, more: &str| {
        let store = dir.path(name);
        let command = format!("extract manifest {{}} --store {{}} --model untrained {more}");
        succeed(line(&command, &[&set, &store]));
        store
    };
    let first = store("first", "--shard 1/2");
    let second = store("second", "--shard 2/2");
    let out = dir.path("out");
    let refused = |stores: &[&Path], expected: &str| {
        let stores: Vec<PathBuf> = stores.iter().map(|path| path.to_path_buf()).collect();
        let words = fail(merge(&stores, &out), 1);
        assert!(words.contains(expected), "{expected}: {words}");
        assert!(!out.exists());
    };
    refused(&[&first, &store("third", "--shard 1/3")], "--shard 1/3");
    refused(&[&first, &second, &store("whole", "")], "whole data set");
    refused(&[&first, &second, &store("taps", "--shard 2/2 --taps")], "taps");
    let other = dir.path("other");
    succeed(line("extract adience {} --store {} --model untrained", &[drawn(), &other]));
    refused(&[&first, &other], "different data sets");

    // Another shard, or the whole, into the store of one.
    for more in ["--shard 2/2", ""] {
        let command = format!("extract manifest {{}} --store {{}} --model untrained {more}");
        let words = fail(line(&command, &[&set, &first]), 1);
        assert!(words.contains("--shard 1/2"), "{words}");
    }
    let whole = "extract manifest {} --store {} --model untrained --shard 1/2";
    let words = fail(line(whole, &[&set, &dir.path("whole")]), 1);
    assert!(words.contains("no --shard"), "{words}");
    for inside in ["", "below", "shards/x"] {
        let out = first.join(inside);
        let words = fail(line("store merge {} {} --out {}", &[&first, &second, &out]), 2);
        assert!(words.contains("--out"), "{words}");
    }
    fail(line("extract manifest {} --store {} --shard 3/2", &[&set, &out]), 2);

    // A list that grew in between.
    listed(&set, 5, 24);
    succeed(line("extract manifest {} --store {} --model untrained --shard 2/2", &[&set, &second]));
    refused(&[&first, &second], "different lists");
    succeed(line("extract manifest {} --store {} --model untrained --shard 1/2", &[&set, &first]));
    let merged = json(merge(&[first, second], &out));
    assert_eq!((&merged["rows"], &merged["embedded"]), (&24.into(), &24.into()), "{merged}");
}

/// What a store's readers see of its label rows, without the embeddings.
fn labels(store: &Path, out: &Path) -> Vec<String> {
    let table = exported(store, out);
    let columns = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
    table.lines().map(columns).collect()
}

#[test]
fn todays_labels_stand_in_the_merged_store() {
    let dir = Dir::new();
    let (set, list) = (dir.path("set"), dir.path("set/manifest.csv"));
    listed(&set, 6, 20);
    let stores = [dir.path("first"), dir.path("second")];
    let extract = |shard: usize| {
        let command = "extract manifest {} --store {} --model untrained --shard";
        let mut command = line(command, &[&set, &stores[shard]]);
        command.arg(format!("{}/2", shard + 1));
        succeed(command);
    };
    let out = dir.path("out");
    (0..2).for_each(extract);

    // Corrected labels, and two rows fewer: a row goes over into the other shard.
    let swapped = |row: &str| match row.rsplit_once(',') {
        Some((row, "female")) => format!("{row},male"),
        Some((row, "male")) => format!("{row},female"),
        _ => row.to_owned(),
    };
    let before = std::fs::read_to_string(&list).expect("a list");
    let rows = before.lines().enumerate().filter(|(number, _)| ![3, 4].contains(number));
    let after = rows.map(|(_, row)| swapped(row) + "\n").collect::<String>();
    std::fs::write(&list, &after).expect("a list");
    extract(1);
    let words = fail(merge(&stores, &out), 1);
    assert!(words.contains("different lists"), "{words}");
    extract(0);
    succeed(merge(&stores, &out));

    // As one store with the same history.
    let whole = dir.path("whole");
    for text in [&before, &after] {
        std::fs::write(&list, text).expect("a list");
        succeed(line("extract manifest {} --store {} --model untrained", &[&set, &whole]));
    }
    let [merged, whole] = [&out, &whole].map(|store| labels(store, &dir.path("export")));
    assert_eq!(merged, whole);
    assert_eq!(merged.len(), 21);
}

#[test]
fn a_store_that_is_not_whole_is_not_merged() {
    let dir = Dir::new();
    let set = dir.path("set");
    listed(&set, 7, 20);
    let store = |shard: &str| {
        let store = dir.path(&shard.replace('/', "-"));
        let command =
            format!("extract manifest {{}} --store {{}} --model untrained --shard {shard}");
        succeed(line(&command, &[&set, &store]));
        store
    };
    let (first, second, out) = (store("1/2"), store("2/2"), dir.path("out"));
    let stores = [first.clone(), second.clone()];
    let refused = || {
        let words = fail(merge(&stores, &out), 1);
        assert!(
            words.contains("is not whole") && words.contains("run the same `extract`"),
            "{words}"
        );
        assert!(!out.exists());
    };
    // An extraction that was killed.
    std::fs::write(second.join("attempts"), "").expect("a file");
    refused();
    std::fs::remove_file(second.join("attempts")).expect("a file");
    // A shard that was deleted, as a message about a corrupt one says.
    let shards = || std::fs::read_dir(second.join("shards")).expect("shards");
    let shard = shards().next().expect("a shard").expect("a shard").path();
    let bytes = std::fs::read(&shard).expect("a shard");
    std::fs::remove_file(&shard).expect("a shard");
    refused();
    std::fs::write(&shard, bytes).expect("a shard");
    // What a kill of the merge leaves is not whole either, and not learnt from.
    succeed(merge(&stores, &out));
    std::fs::write(out.join("merge"), "").expect("a file");
    let words = fail(line("store verify {}", &[&out]), 1);
    assert!(words.contains("damaged"), "{words}");
    let cv = "cv --store {} --task gender --head linear --protocol kfold:3 --out {}";
    let words = fail(line(cv, &[&out, &dir.path("report")]), 1);
    assert!(words.contains("store merge"), "{words}");
    succeed(merge(&stores, &out));
    succeed(line(cv, &[&out, &dir.path("report")]));
}

/// A shard may have nothing but pictures that are not there; all of them together may not.
#[test]
fn a_shard_without_a_picture_can_be_merged() {
    let dir = Dir::new();
    let set = dir.path("set");
    listed(&set, 8, 12);
    let extract = |shard: usize| {
        let store = dir.path(&format!("{shard}"));
        let command =
            format!("extract manifest {{}} --store {{}} --model untrained --shard {shard}/3");
        (line(&command, &[&set, &store]), store)
    };
    for number in 8..12 {
        let gender = if number % 2 == 0 { "female" } else { "male" };
        std::fs::remove_file(set.join(gender).join(format!("8-{number}.png"))).expect("a picture");
    }
    let stores: Vec<PathBuf> = (1..=3)
        .map(|shard| {
            let (command, store) = extract(shard);
            succeed(command);
            store
        })
        .collect();
    let merged = json(merge(&stores, &dir.path("out")));
    assert_eq!((&merged["rows"], &merged["unreadable"]), (&12.into(), &4.into()), "{merged}");
    std::fs::remove_dir_all(set.join("female")).expect("a folder");
    std::fs::remove_dir_all(set.join("male")).expect("a folder");
    let words = fail(extract(1).0, 1);
    assert!(words.contains("mounted"), "{words}");
}
