//! Labels that contradict each other or say nothing, and subjects that are named in part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::pipeline::read_json;
use crate::support::{Dir, drawn, fail, json, line, run, succeed};

/// A store of a manifest whose rows `list` writes for so many drawn pictures; each is there twice, as
/// `a/NUMBER.jpg` and `b/NUMBER.jpg`.
fn store(dir: &Dir, header: &str, pictures: usize, list: impl Fn(usize, &mut String)) -> PathBuf {
    let root = dir.path("pictures");
    let mut files: Vec<PathBuf> = std::fs::read_dir(drawn().join("aligned"))
        .expect("aligned")
        .flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("pictures"))
        .map(|picture| picture.expect("a picture").path())
        .collect();
    files.sort();
    let mut text = format!("{header}\n");
    for (number, file) in files.iter().take(pictures).enumerate() {
        for copy in ["a", "b"] {
            std::fs::create_dir_all(root.join(copy)).expect("a directory");
            let to = root.join(format!("{copy}/{number}.jpg"));
            std::fs::copy(file, to).expect("a copy");
        }
        list(number, &mut text);
    }
    std::fs::write(root.join("manifest.csv"), text).expect("a manifest");
    let store = dir.path("store");
    succeed(line("extract manifest {} --store {} --model untrained", &[&root, &store]));
    store
}

/// Partition and truth of every row of a task, by its path.
fn predicted(out: &std::path::Path, task: &str) -> BTreeMap<String, (String, String)> {
    let text = std::fs::read_to_string(out.join(task).join("predictions.csv")).expect("a file");
    let rows = text.lines().skip(1).map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        (cells[0].to_owned(), (cells[2].to_owned(), cells[3].to_owned()))
    });
    rows.collect()
}

#[test]
fn copies_stand_in_one_fold_and_serve_no_task_that_they_contradict() {
    let dir = Dir::new();
    // The untrained network finds everybody alike, so all are infants, whom only copies join: it takes
    // some of them for copies too.
    let store = store(&dir, "path,subject,gender,age", 30, |number, text| {
        let (first, second) = match number {
            0 => ("ann,f,3", "NaN,f,3"),
            1..20 if number % 2 == 0 => (",f,3", "n/a,f,3"),
            1..20 => ("-,m,2", "None,m,2"),
            20..25 => ("unknown,f,3", ",m,3"),
            _ => (",m,1", ",m,4"),
        };
        writeln!(text, "a/{number}.jpg,{first}\nb/{number}.jpg,{second}").expect("a line");
    });
    let out = dir.path("out");
    succeed(line(
        "cv --store {} --task gender,age --head linear --protocol kfold:5 --out {}",
        &[&store, &out],
    ));
    let report = read_json(&out.join("report.json"));
    for (task, contradicted) in [("gender", 20..25), ("age", 25..30)] {
        let rows = predicted(&out, task);
        let place = usize::from(task == "age");
        let dropped = &report["tasks"][place]["rows"]["dropped"];
        assert_eq!(dropped["labels of one picture disagree"], 10, "{task}: {dropped}");
        assert_eq!(rows.len(), 50);
        for number in 0..30 {
            let split = |copy: &str| rows.get(&format!("{copy}/{number}.jpg")).map(|row| &row.0);
            assert_eq!(split("a"), split("b"), "{task} {number}");
            assert_eq!(split("a").is_none(), contradicted.contains(&number), "{task} {number}");
        }
        let subjects = report["tasks"][place]["result"]["subjects"].as_u64().expect("a count");
        assert!((5..=25).contains(&subjects), "each pair is one: {subjects}");
    }
    let text = std::fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(text.contains("59 of 60 rows name no subject"), "{text}");
    assert!(text.contains("of them belong to a named subject"), "{text}");
}

#[test]
fn one_large_subject_is_trained_on_and_folds_are_said_to_be_unlike() {
    let dir = Dir::new();
    let store = store(&dir, "path,subject,gender,age", 40, |number, text| {
        let subject = if number < 24 { "me".to_owned() } else { format!("s{number}") };
        let gender = if number % 2 == 0 { "f" } else { "m" };
        // A fifth of the ages are no group of Adience's.
        let age = ["35", "(25, 32)", "(0, 2)", "(60, 100)", "(38, 43)"][number % 5];
        writeln!(text, "a/{number}.jpg,{subject},{gender},\"{age}\"").expect("a line");
    });
    let bundle = dir.path("faces.facefold");
    let trained =
        json(line("train --store {} --task gender --head linear --out {}", &[&store, &bundle]));
    let rows = trained["metrics"]["gender"]["training_rows"].as_u64().expect("a count");
    assert!((33..=36).contains(&rows), "{rows}");

    let cv = |policy: &str, out: &std::path::Path| {
        let command = format!(
            "cv --store {{}} --task age-group --head linear --protocol kfold:5 --label-policy {policy} \
             --out {{}}"
        );
        String::from_utf8_lossy(&run(line(&command, &[&store, out])).stderr).into_owned()
    };
    let (exact, nearest) = (dir.path("exact"), dir.path("nearest"));
    let said = cv("exact", &exact);
    assert!(said.contains("The folds are of unlike size"), "{said}");
    let warnings = read_json(&exact.join("report.json"))["warnings"].to_string();
    assert!(warnings.contains("The largest subject has"), "{warnings}");
    cv("nearest", &nearest);

    // Results under two policies: what differs comes first.
    let text = succeed(line("compare {} {}", &[&exact, &nearest]));
    let first: Vec<&str> = text.lines().skip(1).take(3).collect();
    assert!(
        first[0].contains("different label policies: `exact`: exact; `nearest`: nearest"),
        "{text}"
    );
    assert!(first[1].contains("use different rows: `exact`: 32 of 40 label rows used"), "{text}");
    assert!(first[2].contains("8 rows are left out: 8 that only some results have"), "{text}");
    let compared = json(line("compare {} {}", &[&exact, &nearest]));
    assert_eq!(compared[0]["rows_left_out"], 8);

    let command = "cv --store {} --task age-group --age-groups nine --label-policy remap --out {}";
    let message = fail(line(command, &[&store, &dir.path("none")]), 2);
    assert!(message.contains("expected `adience`, found `nine`"), "{message}");
}

#[test]
fn a_class_that_is_tested_but_never_trained_on_is_named() {
    let dir = Dir::new();
    let store = store(&dir, "path,subject,class,split", 30, |number, text| {
        let (class, split) = match number {
            0..10 => ("**old**", "train"),
            10..20 => ("young", "train"),
            20..24 => ("unseen", "test"),
            24..26 => ("Unknown", "test"),
            _ => ("young", "test"),
        };
        writeln!(text, "a/{number}.jpg,s{number},{class},{split}").expect("a line");
    });
    let out = dir.path("out");
    let command = line("cv --store {} --task class --head linear --out {}", &[&store, &out]);
    let said = String::from_utf8_lossy(&run(command).stderr).into_owned();
    assert!(said.contains("`unseen` (4 test rows)"), "{said}");
    let report = read_json(&out.join("report.json"));
    let result = &report["tasks"][0]["result"];
    assert_eq!(result["classes"], serde_json::json!(["**old**", "unseen", "young"]));
    assert_eq!(result["splits"][0]["untrained_classes"]["unseen"], 4);
    assert_eq!(report["tasks"][0]["rows"]["dropped"]["no known class"], 2);
    let text = std::fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(text.contains("| unseen | 4 | never trained on | never trained on |"), "{text}");
    assert!(text.contains("| \\*\\*old\\*\\* |"), "{text}");
    let truths: BTreeSet<String> =
        predicted(&out, "class").into_values().map(|row| row.1).collect();
    assert_eq!(truths, ["unseen", "young"].map(str::to_owned).into());
}
