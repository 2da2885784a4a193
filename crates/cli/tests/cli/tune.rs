//! Searching settings from the command line.

use crate::pipeline::{read_json, without_times};
use crate::support::{Dir, drawn_store, fail, line, succeed};

#[test]
fn tune_chooses_settings_and_lists_what_it_tried() {
    let dir = Dir::new();
    let out = dir.path("tuned");
    let tune = || {
        line(
            "tune --store {} --task gender --head mlp,linear --features embedding \
             --set mlp.epochs=2 --set mlp.min_steps=2 --grid mlp.dropout=0.1,0.4,0.6 \
             --grid mlp.learning_rate=0.001,0.003,0.01 --grid linear.l2_penalties=[0.1],[1] --out {}",
            &[drawn_store(), &out],
        )
    };
    succeed(tune());
    let report = read_json(&out.join("report.json"));
    let task = &report["tasks"][0];
    let heads: Vec<&str> = task["result"]["heads"]
        .as_array()
        .expect("heads")
        .iter()
        .filter_map(|head| head["name"].as_str())
        .collect();
    assert_eq!(heads, ["mlp-tuned", "linear-tuned", "mlp", "linear", "majority"]);
    let searches = task["searches"].as_array().expect("searches");
    let tried = |search: usize| searches[search]["configurations"].as_array().map(Vec::len);
    assert_eq!((tried(0), tried(1)), (Some(9), Some(3)), "the settings given are among them");
    assert_eq!(searches[0]["budget"], "epochs");
    assert_eq!(searches[1]["budget"], "subjects");
    let folds = task["result"]["splits"].as_array().expect("splits").len();
    let trials = searches[0]["trials"].as_array().expect("trials").len();
    assert_eq!(trials, folds * (9 + 3), "a third goes on");
    for file in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(out.join(file)).expect(file);
        assert!(text.contains("Hyper-parameter search for gender with mlp"), "{file}");
        assert!(text.contains("mlp.dropout=0.1"), "{file}");
    }
    assert!(out.join("plots/gender-trials-mlp.svg").is_file());

    // The same command takes every trial from the journal, and gives the same numbers.
    succeed(tune());
    assert_eq!(without_times(read_json(&out.join("report.json"))), without_times(report));
}

#[test]
fn a_search_that_cannot_be_made_is_wrong_usage() {
    let out = Dir::new();
    for (arguments, expected) in [
        ("--grid mlp.dropuot=0.1,0.2", "`mlp.dropuot` is no setting"),
        ("--grid mlp.dropout=0.1..0.4", "--random"),
        ("--head mlp --grid svm.c=1,2", "reads none of the settings"),
        ("--space tiny", "has no space `tiny`"),
        ("--halving 0", "--halving must be at least 1"),
        ("--inner-folds 1", "--inner-folds must be at least 2"),
    ] {
        let command = format!("tune --store {{}} --task gender {arguments} --out {{}}");
        let message = fail(line(&command, &[drawn_store(), &out.path("none")]), 2);
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}
