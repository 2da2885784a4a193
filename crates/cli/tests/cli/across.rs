//! Several stores at once: joined, tested on each other, as a matrix; rows left out by quality and age.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::pipeline::read_json;
use crate::support::{Dir, drawn, drawn_store, fail, json, line, run, succeed};

/// A store of a manifest, made once for all tests: all pictures of the subject drawn first, and 40 pictures of
/// other people. With it the number of the former.
fn other_store() -> (&'static Path, usize) {
    static DIR: OnceLock<Dir> = OnceLock::new();
    static STORE: OnceLock<(PathBuf, usize)> = OnceLock::new();
    let (store, shared) = STORE.get_or_init(|| made(DIR.get_or_init(Dir::new)));
    (store, *shared)
}

fn made(dir: &Dir) -> (PathBuf, usize) {
    let (other, root) = (dir.path("other"), dir.path("pictures"));
    succeed(line("data generate {} --subjects 12 --pictures 48 --seed 8", &[&other]));
    std::fs::create_dir_all(&root).expect("a directory");
    let mut list = "path,subject,gender\n".to_owned();
    let mut subjects = |from: &Path, name: &str, most: usize| {
        let mut folders: Vec<_> = std::fs::read_dir(from.join("aligned"))
            .expect("aligned")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        folders.sort();
        let mut count = 0;
        for (number, folder) in folders.iter().take(most).enumerate() {
            // The subject of both stores is a man in the first.
            let gender = if (number % 2 == 0) == (name == "other") { "f" } else { "m" };
            for picture in std::fs::read_dir(folder).expect("pictures") {
                let path = picture.expect("a picture").path();
                let file = format!("{name}-{count}.jpg");
                std::fs::copy(&path, root.join(&file)).expect("a copy");
                writeln!(list, "{file},{name} {number},{gender}").expect("a line");
                count += 1;
            }
        }
        count
    };
    let shared = subjects(drawn(), "shared", 1);
    assert!(subjects(&other, "other", 12) >= 40);
    std::fs::write(root.join("manifest.csv"), list).expect("a manifest");
    let store = dir.path("pictures-store");
    succeed(line("extract manifest {} --store {} --model untrained --taps", &[&root, &store]));
    (store, shared)
}

fn read_text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn heads_are_tested_on_the_other_store_without_subjects_of_both() {
    let dir = Dir::new();
    let (store, shared) = other_store();
    let out = dir.path("across");
    succeed(line(
        "cv --store {} --test-store {} --task gender --head linear --features embedding --out {}",
        &[drawn_store(), store, &out],
    ));
    let report = read_json(&out.join("report.json"));
    let task = &report["tasks"][0];
    assert_eq!(task["result"]["protocol"], "stores");
    assert_eq!(report["dataset"]["kind"], "store, tested on pictures-store");
    let split = &task["result"]["splits"][0];
    assert_eq!(split["name"], "pictures-store");
    let used = |set: &str| task["rows"]["of_sets"][set].as_u64().expect("rows of a set");
    let trained = ["train", "validation"].map(|part| split[part].as_u64().expect("a count"));
    let left_out = used("store") - trained.iter().sum::<u64>();
    assert!(left_out >= shared as u64 / 2, "{left_out}");
    assert_eq!(split["test"], used("pictures-store"));
    let text = read_text(&out.join("report.md"));
    assert!(text.contains(&format!("{left_out} training rows are left out")), "{text}");
    assert!(text.contains("fitted on one or several data sets and tested on others"), "{text}");
    assert!(!text.contains("do not add up"), "{text}");
    let predictions = read_text(&out.join("gender/predictions.csv"));
    assert!(
        predictions
            .lines()
            .skip(1)
            .all(|row| row.starts_with("shared-") || row.starts_with("other-"))
    );

    // Several stores to train on and to test on: a split for each of the latter.
    let third = dir.path("third");
    copy(store, &third);
    let out = dir.path("two-tests");
    succeed(line(
        "cv --store {} --test-store {} --test-store {} --task gender --head linear \
         --features embedding --out {}",
        &[drawn_store(), store, &third, &out],
    ));
    let task = &read_json(&out.join("report.json"))["tasks"][0];
    assert_eq!(task["result"]["splits"][1]["name"], "third");
    assert!(task["slices"]["attributes"].as_array().expect("slices").iter().any(|slices| {
        slices["name"] == "set" && slices["slices"].as_array().expect("slices").len() == 2
    }));

    // A copy shows no one else: nothing is left to train on.
    let message = fail(
        line(
            "cv --store {} --test-store {} --task gender --head linear --out {}",
            &[&third, store, &dir.path("self")],
        ),
        1,
    );
    assert!(message.contains("no training rows are left"), "{message}");
}

#[test]
fn stores_are_joined_and_no_subject_is_on_both_sides() {
    let dir = Dir::new();
    let (store, shared) = other_store();
    let out = dir.path("joined");
    let command = line(
        "cv --store {} --store {} --task gender,age-group --head linear --features embedding --out {}",
        &[drawn_store(), store, &out],
    );
    let message = String::from_utf8_lossy(&run(command).stderr).into_owned();
    assert!(message.contains("pictures-store 0"), "a set without ages says so: {message}");
    let report = read_json(&out.join("report.json"));
    let result = &report["tasks"][0]["result"];
    assert_eq!(result["protocol"], "kfold:5");
    assert_eq!(report["dataset"]["kind"], "store + pictures-store");
    let text = read_text(&out.join("report.md"));
    assert!(text.contains("stand in more than one set, byte for byte"), "{text}");
    assert!(text.contains("pictures-store none, as it has no label for this task"), "{text}");

    // Whoever is in both stores is one subject, tested in one fold only.
    let predictions = read_text(&out.join("gender/predictions.csv"));
    let mut reader = csv_rows(&predictions);
    let both: Vec<[String; 3]> =
        reader.by_ref().filter(|[path, ..]| path.starts_with("pictures-store/shared-")).collect();
    assert_eq!(both.len(), shared);
    let (subject, fold) = (&both[0][1], &both[0][2]);
    assert!(subject.starts_with("store: "), "{subject}");
    let rows: Vec<[String; 3]> = csv_rows(&predictions).filter(|row| row[1] == *subject).collect();
    assert!(rows.len() > shared, "the pictures of both stores");
    assert!(rows.iter().all(|row| row[2] == *fold), "{rows:?}");

    let bundle = dir.path("both.facefold");
    let trained = json(line(
        "train --store {} --store {} --task gender --head linear --features embedding --out {}",
        &[drawn_store(), store, &bundle],
    ));
    let sets = &trained["metrics"]["gender"]["rows_of_sets"];
    assert!(sets["store"].as_u64() > sets["pictures-store"].as_u64(), "{sets}");
}

/// Path, subject and split of every row.
fn csv_rows(text: &str) -> impl Iterator<Item = [String; 3]> + '_ {
    text.lines().skip(1).map(|row| {
        let mut cells = row.split(',').map(str::to_owned);
        [(); 3].map(|()| cells.next().expect("a cell"))
    })
}

#[test]
fn each_set_is_left_out_once() {
    let dir = Dir::new();
    let (store, _) = other_store();
    let out = dir.path("unseen");
    succeed(line(
        "cv --store {} --store {} --task gender --head linear --features embedding \
         --protocol leave-one-set-out --out {}",
        &[drawn_store(), store, &out],
    ));
    let task = &read_json(&out.join("report.json"))["tasks"][0];
    let splits = task["result"]["splits"].as_array().expect("splits");
    let names: Vec<&str> =
        splits.iter().map(|split| split["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["store", "pictures-store"]);
    assert!(splits.iter().all(|split| split["shared_test_rows"] == 0));
    let message = fail(
        line(
            "cv --store {} --task gender --protocol leave-one-set-out --out {}",
            &[drawn_store(), &dir.path("one")],
        ),
        1,
    );
    assert!(message.contains("at least two data sets"), "{message}");
}

#[test]
fn the_matrix_has_a_cell_for_every_pair_and_resumes() {
    let dir = Dir::new();
    let (store, _) = other_store();
    let out = dir.path("matrix");
    let command = || {
        line(
            "matrix --store {} --store {} --task gender,age-group --head linear \
             --features embedding --out {}",
            &[drawn_store(), store, &out],
        )
    };
    let first = json(command());
    let cells = first["tasks"][0]["result"]["heads"][0]["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 4);
    for cell in cells {
        let measured = &cell["outcome"]["measured"];
        let accuracy = &measured["metrics"][0];
        assert_eq!(accuracy["metric"], "accuracy");
        let [low, high] = ["low", "high"].map(|end| accuracy["interval"][end].as_f64());
        assert!(low <= accuracy["value"].as_f64() && accuracy["value"].as_f64() <= high, "{cell}");
    }
    assert_eq!(cells[0]["outcome"]["measured"]["protocol"], "folds");
    // The other store has no ages.
    let ages = first["tasks"][1]["result"]["heads"][0]["cells"].as_array().expect("cells");
    let reason = ages[1]["outcome"]["missing"].as_str().expect("a reason");
    assert!(reason.contains("no row of `pictures-store` serves this task"), "{reason}");
    let text = read_text(&out.join("report.md"));
    for needed in [
        "| trained on ↓, tested on → | store | pictures-store |",
        "store → store",
        "kfold:5",
        "facefold matrix",
    ] {
        assert!(text.contains(needed), "`{needed}` is in the report:\n{text}");
    }
    let written: Vec<_> = std::fs::read_dir(out.join("fits"))
        .expect("fits")
        .map(|entry| {
            entry.expect("a fit").metadata().expect("metadata").modified().expect("a time")
        })
        .collect();
    let again = json(command());
    assert_eq!(again["tasks"], first["tasks"]);
    let after: Vec<_> = std::fs::read_dir(out.join("fits"))
        .expect("fits")
        .map(|entry| {
            entry.expect("a fit").metadata().expect("metadata").modified().expect("a time")
        })
        .collect();
    assert_eq!(after, written, "no fit is made again");
    // It is shown and written anew as a report on heads is, and is nothing to compare.
    assert_eq!(json(line("report open {}", &[&out])), again);
    assert!(succeed(line("report open {}", &[&out])).contains("trained on"));
    std::fs::remove_file(out.join("report.md")).expect("a report");
    assert!(succeed(line("report render {}", &[&out])).contains("report.md"));
    assert!(read_text(&out.join("report.md")).contains("store → store"));
    let message = fail(line("compare {} {}", &[&out, &out]), 1);
    assert!(message.contains("found that of `matrix`"), "{message}");
    let message = fail(line("matrix --store {} --task gender --out {}", &[store, &out]), 2);
    assert!(message.contains("at least two stores"), "{message}");
}

#[test]
fn stores_that_cannot_be_joined_are_refused_by_name() {
    let dir = Dir::new();
    let (store, _) = other_store();
    let bare = dir.path("bare");
    succeed(line(
        "extract manifest {} --store {} --model untrained",
        &[&store.with_file_name("pictures"), &bare],
    ));
    let cv = |one: &Path, other: &Path, code| {
        fail(
            line(
                "cv --store {} --store {} --task gender --head linear --out {}",
                &[one, other, &dir.path("none")],
            ),
            code,
        )
    };
    let message = cv(store, &bare, 1);
    assert!(
        message.contains("taps a face") && message.contains("--features embedding"),
        "{message}"
    );
    // A store of another network, and of the first format, whose header has no checksum.
    let foreign = dir.path("foreign");
    let mut made = read_json(&store.join("store.json"));
    made["format"] = 1.into();
    made["fingerprint"] = "0123456789abcdef0123456789abcdef".into();
    made["has_samples"] = false.into();
    made["id"] = "0123456789abcdef0123456789abcdef".into();
    std::fs::create_dir_all(&foreign).expect("a directory");
    std::fs::write(foreign.join("store.json"), made.to_string()).expect("a header");
    let message = cv(store, &foreign, 1);
    assert!(message.contains("has the fingerprint"), "{message}");
    for path in [store, &foreign] {
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
    let message = cv(store, store, 2);
    assert!(message.contains("both named `pictures-store`"), "{message}");
}

#[test]
fn rows_of_other_ages_are_left_out_and_counted() {
    let dir = Dir::new();
    let out = dir.path("adults");
    let root = dir.path("aged");
    let pictures = std::fs::read_dir(drawn().join("aligned"))
        .expect("aligned")
        .flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("pictures"));
    std::fs::create_dir_all(&root).expect("a directory");
    let mut list = "path,subject,age\n".to_owned();
    for (number, picture) in pictures.take(60).enumerate() {
        let file = format!("{number}.jpg");
        std::fs::copy(picture.expect("a picture").path(), root.join(&file)).expect("a copy");
        writeln!(list, "{file},person {number},{}", 10 + number).expect("a line");
    }
    std::fs::write(root.join("manifest.csv"), list).expect("a manifest");
    let store = dir.path("store");
    succeed(line("extract manifest {} --store {} --model untrained", &[&root, &store]));
    succeed(line(
        "cv --store {} --task age --head linear --ages 21-60 --protocol random80 --out {}",
        &[&store, &out],
    ));
    let report = read_json(&out.join("report.json"));
    let rows = &report["tasks"][0]["rows"];
    assert_eq!(rows["used"], 40);
    assert_eq!(rows["dropped"]["age outside 21-60"], 20);
    let text = read_text(&out.join("report.md"));
    let opening: String = text.lines().take(6).collect();
    assert!(opening.contains("--ages 21-60"), "{opening}");
    let message = fail(line("cv --store {} --task age --ages 60-21 --out {}", &[&store, &out]), 2);
    assert!(message.contains("expected ages such as `21-60`"), "{message}");
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("a copy");
        }
    }
}

#[test]
fn rows_of_low_quality_are_left_out_and_counted() {
    let dir = Dir::new();
    let out = dir.path("sharp");
    succeed(line(
        "cv --store {} --task gender --head linear --features embedding --min-quality luminance=115 --out {}",
        &[drawn_store(), &out],
    ));
    let rows = &read_json(&out.join("report.json"))["tasks"][0]["rows"];
    let dropped = rows["dropped"]["luminance below 115"].as_u64().expect("dark rows");
    assert!(dropped > 0 && rows["used"].as_u64().expect("used") > 0, "{rows}");
    let message = fail(
        line("cv --store {} --task gender --min-quality sise=3 --out {}", &[drawn_store(), &out]),
        2,
    );
    assert!(message.contains("expected one of size, score"), "{message}");
}
