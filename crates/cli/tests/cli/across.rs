//! Training on one store and testing on another; rows left out by quality.

use std::fmt::Write as _;
use std::path::Path;

use crate::road::read_json;
use crate::support::{Dir, drawn, drawn_store, fail, line, succeed};

/// A store of a manifest: all pictures of the subject drawn first, and 40 pictures of other people.
fn other_store(dir: &Dir) -> (std::path::PathBuf, usize) {
    let (other, root) = (dir.path("other"), dir.path("pictures"));
    succeed(line("data draw {} --subjects 12 --pictures 48 --seed 8", &[&other]));
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
            let gender = if number % 2 == 0 { "f" } else { "m" };
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
    let store = dir.path("store");
    succeed(line("extract manifest {} --store {} --model untrained --taps", &[&root, &store]));
    (store, shared)
}

#[test]
fn heads_are_tested_on_the_other_store_without_subjects_of_both() {
    let dir = Dir::new();
    let (store, shared) = other_store(&dir);
    let out = dir.path("across");
    succeed(line(
        "cv --store {} --test-store {} --task gender --head linear --features embedding --out {}",
        &[drawn_store(), &store, &out],
    ));
    let report = read_json(&out.join("report.json"));
    let task = &report["tasks"][0];
    assert_eq!(task["result"]["protocol"], "stores");
    assert_eq!(report["dataset"]["kind"], "adience, tested on manifest");
    let left_out = &task["rows"]["dropped"]["subject with a picture in the test store"];
    assert!(left_out.as_u64().expect("rows left out") >= shared as u64 / 2, "{left_out}");
    let text = std::fs::read_to_string(out.join("report.md")).expect("report.md");
    assert!(text.contains("are left out of training"), "{text}");
    assert!(text.contains("fitted on one store and tested on another"), "{text}");
    assert!(!text.contains("do not add up"), "{text}");
    let predictions = std::fs::read_to_string(out.join("gender/predictions.csv")).expect("rows");
    assert!(
        predictions
            .lines()
            .skip(1)
            .all(|row| row.starts_with("shared-") || row.starts_with("other-"))
    );

    // Against itself nothing is left to train on.
    let message = fail(
        line(
            "cv --store {} --test-store {} --task gender --head linear --out {}",
            &[drawn_store(), drawn_store(), &dir.path("self")],
        ),
        1,
    );
    assert!(message.contains("nothing is left to train on"), "{message}");
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
