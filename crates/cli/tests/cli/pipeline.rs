//! The whole pipeline on drawn faces with the untrained network: no download, no data set.

use facefold_core::AgeGroups;
use serde_json::Value;

use facefold_testing::{Need, skip};

use crate::support::{Dir, SYNTHETIC, drawn, drawn_store, fail, has_tiles, json, line, succeed};

#[test]
fn check_reconciles_the_drawn_labels() {
    let report = json(line("data check adience {}", &[drawn()]));
    let distinct = report["distinct"].as_u64().expect("distinct");
    let folds: u64 = report["distinct_per_fold"]
        .as_array()
        .expect("distinct_per_fold")
        .iter()
        .map(|count| count.as_u64().expect("a count"))
        .sum();
    assert_eq!(folds, distinct);
    assert!(report["rows"].as_u64().expect("rows") >= distinct);
    assert!(distinct >= SYNTHETIC);
}

#[test]
fn check_draws_a_plot() {
    let dir = Dir::new();
    succeed(line("data check adience {} --images --plot {}", &[drawn(), &dir.path("plot.svg")]));
    let plot = std::fs::read_to_string(dir.path("plot.svg")).expect("a plot");
    assert!(plot.starts_with("<svg") || plot.starts_with("<?xml"), "{}", &plot[..40]);
}

#[test]
fn extracting_twice_does_nothing_the_second_time() {
    let dir = Dir::new();
    let store = dir.path("store");
    let extract = || line("extract adience {} --store {} --model untrained", &[drawn(), &store]);
    let first = json(extract());
    assert_eq!(
        first["embedded"].as_u64().expect("embedded"),
        first["distinct_pictures"].as_u64().expect("pictures")
    );
    let second = json(extract());
    assert_eq!(second["embedded"], 0);
    assert_eq!(second["known"], second["rows"]);
}

#[test]
fn another_network_is_refused_by_the_store() {
    if !has_tiles() {
        return skip(Need::Amx);
    }
    let dir = Dir::new();
    let store = dir.path("store");
    succeed(line("extract adience {} --store {} --model untrained", &[drawn(), &store]));
    let message = fail(
        line(
            "extract adience {} --store {} --model untrained --precision bf16",
            &[drawn(), &store],
        ),
        1,
    );
    assert!(message.contains("fingerprint"), "{message}");
}

#[test]
fn cv_writes_a_report_that_says_how_it_was_made() {
    let dir = Dir::new();
    let out = dir.path("report");
    let command = || {
        line(
            "cv --store {} --task gender,age-group --head mlp,svm,linear --features embedding \
             --set mlp.epochs=3 --set mlp.min_steps=20 --out {}",
            &[drawn_store(), &out],
        )
    };
    succeed(command());
    let markdown = std::fs::read_to_string(out.join("report.md")).expect("report.md");
    for needed in [
        "untrained",
        "exact",
        "majority",
        "mlp",
        "svm",
        "linear",
        "facefold cv",
        "seed",
        "no known gender",
    ] {
        assert!(markdown.contains(needed), "`{needed}` is not in the report");
    }
    let report = read_json(&out.join("report.json"));
    assert_eq!(report["tasks"].as_array().expect("tasks").len(), 2);
    let slices = &report["tasks"][0]["slices"];
    assert_eq!(slices["rows"], report["tasks"][0]["rows"]["used"], "slices are of all test rows");
    let attributes = slices["attributes"].as_array().expect("attributes").iter();
    let attributes: Vec<&str> = attributes.filter_map(|found| found["name"].as_str()).collect();
    for needed in ["age group", "gender", "age group × gender", "embedding norm", "sharpness"] {
        assert!(attributes.contains(&needed), "`{needed}` is not in {attributes:?}");
    }
    for file in ["gender/label-errors.csv", "age-group/label-errors.csv"] {
        let label_errors = std::fs::read_to_string(out.join(file)).expect(file);
        assert!(
            label_errors.starts_with("path,subject,partition,label,prediction,"),
            "{label_errors}"
        );
    }
    let page = std::fs::read_to_string(out.join("report.html")).expect("report.html");
    assert!(page.contains("Slices of gender") && page.contains("facefold cv"), "the same report");

    // All pages come from the JSON alone.
    let rendered = dir.path("rendered");
    succeed(line("report render {} --out {}", &[&out.join("report.json"), &rendered]));
    for file in ["report.html", "report.md", "report.json", "plots/gender-confusion-mlp.svg"] {
        let [one, two] = [&out, &rendered].map(|directory| std::fs::read(directory.join(file)));
        assert!(one.expect(file) == two.expect(file), "{file}");
    }

    let other = dir.path("other");
    succeed(line(
        "cv --store {} --task gender --head majority --features embedding --out {}",
        &[drawn_store(), &other],
    ));
    let message = fail(line("report render {} --out {}", &[&other, &out]), 1);
    assert!(message.contains("holds another report"), "{message}");

    // The same command gives the same numbers, and repeats no fit.
    let before = without_times(report);
    succeed(command());
    assert_eq!(without_times(read_json(&out.join("report.json"))), before);
}

#[test]
fn the_same_seed_gives_the_same_numbers_twice_and_on_one_thread_and_two() {
    let dir = Dir::new();
    let numbers = |name: &str, threads: usize| {
        let out = dir.path(name);
        let arguments = format!(
            "cv --store {{}} --task gender,age-group --head mlp,svm,linear --features embedding \
             --set mlp.epochs=2 --set mlp.min_steps=20 --threads {threads} --out {{}}"
        );
        succeed(line(&arguments, &[drawn_store(), &out]));
        read_json(&out.join("report.json"))["tasks"].clone()
    };
    let one = without_times(numbers("one", 1));
    assert_eq!(one.as_array().map(Vec::len), Some(2), "two tasks: {one}");
    // Each into a directory of its own, so that no fit is taken from a journal.
    assert_eq!(one, without_times(numbers("again", 1)));
    assert_eq!(one, without_times(numbers("two", 2)));
}

#[test]
fn compare_uses_the_rows_that_results_share() {
    let dir = Dir::new();
    for (name, features) in [("embedding", "embedding"), ("taps", "taps")] {
        let arguments =
            format!("cv --store {{}} --task gender --head linear --features {features} --out {{}}");
        succeed(line(&arguments, &[drawn_store(), &dir.path(name)]));
    }
    let text = succeed(line("compare {} {}", &[&dir.path("embedding"), &dir.path("taps")]));
    assert!(text.contains("linear"), "{text}");
}

#[test]
fn a_trained_bundle_predicts_and_refuses_another_network() {
    let dir = Dir::new();
    let bundle = dir.path("drawn.facefold");
    succeed(line(
        "train --store {} --task gender,age-group --head linear --out {}",
        &[drawn_store(), &bundle],
    ));
    let csv =
        succeed(line("predict --bundle {} --format csv {}", &[&bundle, &drawn().join("aligned")]));
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "path,status,gender,gender_probability,age_group,age,age_low,age_high,familiarity,class,\
             class_probability"
        )
    );
    let labels = AgeGroups::adience().labels();
    let mut count = 0;
    for row in lines {
        let cells: Vec<&str> = row.split(',').collect();
        assert_eq!(cells[1], "ok", "{row}");
        assert!(["f", "m"].contains(&cells[2]), "{row}");
        assert!(labels.iter().any(|label| label == cells[4]), "{row}");
        assert_eq!(cells[5], "", "a bundle without an age head predicts no years: {row}");
        count += 1;
    }
    assert!(count >= SYNTHETIC as usize, "{count}");

    let answers = json(line("predict --bundle {} {}", &[&bundle, &drawn().join("aligned")]));
    assert_eq!(answers.as_array().expect("answers").len(), count);
    if !has_tiles() {
        return skip(Need::Amx);
    }
    let message = fail(
        line("predict --bundle {} --precision bf16 {}", &[&bundle, &drawn().join("aligned")]),
        1,
    );
    assert!(message.contains("fingerprint"), "{message}");
}

#[test]
fn the_same_seed_gives_the_same_bundle_twice_and_on_one_thread_and_two() {
    let dir = Dir::new();
    // The command is part of a bundle, so all are trained under one name.
    let out = dir.path("same.facefold");
    for head in ["mlp", "svm", "linear"] {
        let train = |threads: usize| {
            let arguments = format!(
                "train --store {{}} --task gender,age-group --head {head} --features embedding \
                 --set mlp.epochs=2 --set mlp.min_steps=20 --threads {threads} --out {{}}"
            );
            succeed(line(&arguments, &[drawn_store(), &out]));
            std::fs::read(&out).expect("a bundle")
        };
        let first = train(1);
        assert!(first == train(1), "two bundles of one seed differ: {head}");
        assert!(first == train(2), "a bundle depends on the number of threads: {head}");
    }
}

#[test]
fn a_store_is_exported_for_other_programs() {
    let dir = Dir::new();
    for format in ["npy", "parquet", "csv"] {
        let arguments = format!("store export {{}} --format {format} --out {{}}");
        succeed(line(&arguments, &[drawn_store(), &dir.path(format)]));
    }
    let rows =
        std::fs::read_to_string(dir.path("npy/index.csv")).expect("an index").lines().count();
    let matrix = std::fs::metadata(dir.path("npy/embeddings.npy")).expect("a matrix").len();
    assert_eq!(matrix % 64, ((rows as u64 - 1) * 512 * 4) % 64, "header and rows of 512 floats");
    assert!(matrix > (rows as u64 - 1) * 512 * 4);
    for name in ["npy/index.csv", "parquet/embeddings.parquet", "csv/embeddings.csv"] {
        assert!(dir.path(name).is_file(), "{name}");
    }
}

pub fn read_json(path: &std::path::Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a JSON file");
    serde_json::from_str(&text).expect("JSON")
}

/// Drops what may differ between two runs of one command: how long things took, and when, and the checksum of it.
pub fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            let varies = ["date", "command", "checksum"];
            map.retain(|name, _| !name.contains("seconds") && !varies.contains(&name.as_str()));
            for inner in map.values_mut() {
                *inner = without_times(inner.take());
            }
        }
        Value::Array(list) => {
            for inner in list {
                *inner = without_times(inner.take());
            }
        }
        _ => {}
    }
    value
}
