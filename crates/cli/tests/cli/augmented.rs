//! Augmented versions of pictures: trained on, never tested on.

use crate::pipeline::read_json;
use crate::stores::listed;
use crate::support::{Dir, drawn, drawn_store, fail, json, line, run, succeed};

#[test]
fn versions_are_trained_on_and_nothing_else_changes() {
    let dir = Dir::new();
    let store = dir.path("more");
    let extract = "extract adience {} --store {} --model untrained --taps";
    let more = format!("{extract} --oversample 3");
    succeed(line(&more, &[drawn(), &store]));
    let resumed = json(line(&more, &[drawn(), &store]));
    assert_eq!(resumed["embedded"], 0);
    let message = fail(line(&format!("{extract} --augment 1"), &[drawn(), &store]), 1);
    assert!(message.contains("--augment 0, found --augment 1"), "{message}");
    let container = "--backend insightface --url http://127.0.0.1:9 --oversample 2";
    let extract = format!("extract adience {{}} --store {{}} {container}");
    let message = fail(line(&extract, &[drawn(), &dir.path("container")]), 2);
    assert!(message.contains("--oversample is for --backend local"), "{message}");
    let message = fail(
        line(
            "cv --store {} --task gender --head linear --columns 0-99999 --out {}",
            &[drawn_store(), &dir.path("wide")],
        ),
        1,
    );
    assert!(message.contains("--columns: expected columns from 0 to"), "{message}");

    let cv = |store, name: &str, switches: &str| {
        let out = dir.path(name);
        let command = format!(
            "cv --store {{}} --task age-group --head linear --features embedding {switches} --out {{}}"
        );
        succeed(line(&command, &[store, &out]));
        read_json(&out.join("report.json"))
    };
    let with = cv(store.as_path(), "with", "");
    let without = cv(store.as_path(), "without", "--without-augmented");
    let plain = cv(drawn_store(), "plain", "");
    let heads = |report: &serde_json::Value| report["tasks"][0]["result"]["heads"].clone();
    let metrics = |report: &serde_json::Value| {
        let folds = &heads(report)[0]["fits"];
        let fits = folds.as_array().expect("fits").iter();
        fits.map(|fit| (fit["validation"].clone(), fit["test"].clone())).collect::<Vec<_>>()
    };
    let rows = |report: &serde_json::Value| {
        let rows = |side: &serde_json::Value| side["classes"]["rows"].as_u64().expect("rows");
        let sides = metrics(report);
        sides.iter().map(|(kept, tested)| [rows(kept), rows(tested)]).collect::<Vec<_>>()
    };
    assert_eq!(metrics(&without), metrics(&plain));
    assert_ne!(metrics(&with), metrics(&plain));
    assert_eq!(rows(&with), rows(&plain), "versions are trained on only");
    let note =
        |report: &serde_json::Value| report.to_string().contains("augmented versions of pictures");
    assert_eq!([note(&with), note(&without), note(&plain)], [true, false, false]);
}

#[test]
fn versions_that_earlier_labels_asked_for_are_noted() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 3, 8);
    let extract = |rare: u32| {
        let row = |number: u32| {
            let gender = if number.is_multiple_of(2) { "female" } else { "male" };
            let age = if number == rare { 70 } else { 25 };
            format!("{gender}/3-{number}.png,s{number},{age}\n")
        };
        let rows: String = (0..8).map(row).collect();
        std::fs::write(set.join("manifest.csv"), format!("path,subject,age\n{rows}"))
            .expect("a list");
        let command = "extract manifest {} --store {} --model untrained --oversample 2";
        let output = run(line(command, &[&set, &store]));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let note = "pictures keep the augmented versions that earlier labels asked for";
    for _ in 0..2 {
        let words = extract(0);
        assert!(!words.contains(note), "{words}");
    }
    let words = extract(1);
    assert!(words.contains(&format!("2 {note}")), "{words}");
}
