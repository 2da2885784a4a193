//! Augmented versions of pictures: trained on, never tested on.

use crate::road::read_json;
use crate::support::{Dir, drawn, drawn_store, fail, json, line, succeed};

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
        fits.map(|fit| (fit["test"].clone(), fit["training_rows"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(metrics(&without), metrics(&plain));
    assert_ne!(metrics(&with), metrics(&plain));
    let note =
        |report: &serde_json::Value| report.to_string().contains("augmented versions of pictures");
    assert_eq!([note(&with), note(&without), note(&plain)], [true, false, false]);
}
