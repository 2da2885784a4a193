//! Predictions of another program, evaluated next to heads.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Dir, drawn_store, fail, json, line, succeed};

/// A list of 120 people with two pictures each.
fn labels(path: &Path) {
    let mut list = "path,subject,age,gender\n".to_owned();
    for row in 0..240 {
        let gender = if (row / 2) % 2 == 0 { "f" } else { "m" };
        let _ = writeln!(list, "{row}.jpg,subject-{},{},{gender}", row / 2, age(row));
    }
    std::fs::write(path, list).expect("a list");
}

fn age(row: usize) -> usize {
    5 + (row / 2 * 13) % 60
}

/// Predictions: every tenth gender is wrong, ages are 2 too old, one row is missing, and two are of
/// no row of the list.
fn predictions(path: &Path, with_probabilities: bool) {
    let mut list = "file,path,gender,age".to_owned();
    list += if with_probabilities { ",p_female\n" } else { "\n" };
    for row in (0..239).chain([900, 901]) {
        let is_female = ((row / 2) % 2 == 0) != (row % 10 == 7);
        let (gender, p) = if is_female { ("woman", 0.9) } else { ("man", 0.1) };
        let _ = write!(list, "x,./{row}.jpg,{gender},{}", age(row) + 2);
        let _ = if with_probabilities { writeln!(list, ",{p}") } else { writeln!(list) };
    }
    std::fs::write(path, list).expect("predictions");
}

fn task<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let tasks = answer["report"]["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["result"]["task"] == name).expect("the task")
}

#[test]
fn predictions_are_evaluated_on_a_list_of_labels() {
    let dir = Dir::new();
    let [list, table, out] = ["labels.csv", "tool.csv", "out"].map(|name| dir.path(name));
    labels(&list);
    predictions(&table, true);
    let answer = json(line("judge {} --labels {} --threshold 18 --out {}", &[&table, &list, &out]));
    let gender = task(&answer, "gender");
    assert_eq!(gender["rows"]["used"], 239);
    assert_eq!(gender["rows"]["dropped"]["no prediction"], 1);
    let head = &gender["result"]["heads"][0];
    assert_eq!(head["name"], "tool");
    let accuracy = head["pooled"]["classes"]["accuracy"].as_f64().expect("an accuracy");
    assert!((accuracy - 215.0 / 239.0).abs() < 1e-9, "{accuracy}");
    // 0.9 for all, of which nine in ten are right.
    let error =
        head["pooled"]["classes"]["calibration"]["error"].as_f64().expect("a calibration error");
    assert!(error < 0.01, "{error}");
    let age = task(&answer, "age");
    let metrics = &age["result"]["heads"][0];
    assert_eq!(
        (
            &metrics["pooled"]["regression"]["mean_absolute_error"],
            &metrics["pooled"]["regression"]["mean_error"]
        ),
        (&2.0.into(), &2.0.into())
    );
    assert_eq!(metrics["thresholds"][0]["age"], 18);
    assert!(metrics["fits"][0]["intervals"]["coverage"].is_number());
    assert!(gender["slices"].is_object(), "slices");
    let first = answer["report"]["warnings"][0].as_str().expect("a warning");
    assert!(
        first
            .starts_with("gender: 239 of 240 label rows have a prediction of `tool`; the 1 others"),
        "{first}"
    );
    assert!(first.contains("2 of 241 predictions are of pictures that no label row"), "{first}");
    // Nothing but labels is known of the pictures.
    assert!(!gender["slices"].to_string().contains("embedding norm"), "{}", gender["slices"]);
    for file in ["report.md", "report.json", "gender/predictions.csv"] {
        assert!(out.join(file).is_file(), "{file}");
    }

    predictions(&table, false);
    let answer = json(line("judge {} --labels {} --task gender --out {}", &[&table, &list, &out]));
    let warnings = answer["report"]["warnings"].to_string();
    assert!(warnings.contains("`tool` gives no probabilities"), "{warnings}");
    assert!(answer["comparisons"].as_array().expect("a list").is_empty());
}

#[test]
fn corrected_paths_of_labels_are_evaluated_anew() {
    let dir = Dir::new();
    let [list, table, out] = ["labels.csv", "tool.csv", "out"].map(|name| dir.path(name));
    predictions(&table, true);
    labels(&list);
    let right = std::fs::read_to_string(&list).expect("the list");
    // Each label stands by the picture two rows further on.
    let rows: Vec<(&str, &str)> =
        right.lines().skip(1).filter_map(|row| row.split_once(',')).collect();
    let shifted = rows.iter().cycle().skip(2).zip(&rows);
    let mut list_of_shifted = "path,subject,age,gender\n".to_owned();
    for ((path, _), (_, rest)) in shifted {
        let _ = writeln!(list_of_shifted, "{path},{rest}");
    }
    let judged = || {
        let command = "judge {} --labels {} --task gender --out {}";
        let answer = json(line(command, &[&table, &list, &out]));
        let head = &task(&answer, "gender")["result"]["heads"][0];
        head["pooled"]["classes"]["accuracy"].as_f64().expect("an accuracy")
    };
    std::fs::write(&list, list_of_shifted).expect("a list");
    assert!(judged() < 0.5);
    std::fs::write(&list, right).expect("a list");
    assert!((judged() - 215.0 / 239.0).abs() < 1e-9);
}

#[test]
fn predictions_are_compared_with_heads_on_identical_rows() {
    let dir = Dir::new();
    let (cv, out, store) = (dir.path("cv"), dir.path("out"), drawn_store());
    succeed(line(
        "cv --store {} --task gender --head linear --features embedding --out {}",
        &[store, &cv],
    ));
    // The predictions of that head, as another program would write them.
    let rows = std::fs::read_to_string(cv.join("gender/predictions.csv")).expect("predictions");
    let header = rows.lines().next().expect("a header");
    let place = header.split(',').position(|name| name == "linear/0").expect("the head's column");
    let mut table = "path,gender\n".to_owned();
    for row in rows.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let _ = writeln!(table, "{},{}", cells[0], cells[place]);
    }
    let path: PathBuf = dir.path("copy.csv");
    std::fs::write(&path, table).expect("a table");
    let answer =
        json(line("judge {} --store {} --against {} --out {}", &[&path, store, &cv, &out]));
    let comparison = &answer["comparisons"][0];
    assert_eq!(comparison["rows_left_out"], 0);
    let pair = &comparison["pairs"][0];
    assert_eq!(pair["difference"], 0.0, "{pair}");
    assert_eq!(pair["decision"], "undecided");
    let text = succeed(line("compare {} {}", &[&cv, &out]));
    assert!(text.contains("copy (out)") && text.contains("linear (cv)"), "{text}");
}

#[test]
fn tables_that_do_not_fit_are_refused_with_what_to_do() {
    let dir = Dir::new();
    let [list, table, out] = ["labels.csv", "tool.csv", "out"].map(|name| dir.path(name));
    labels(&list);
    for (text, expected) in [
        (
            "path,age\nelse/1.jpg,30\n",
            "expected a prediction of age for pictures as the labels name them (`0.jpg`)",
        ),
        ("path,years\n1.jpg,30\n", "expected a column of predictions"),
        ("path,age\n1.jpg,adult\n", "line 2: expected an age in years, found `adult`"),
    ] {
        std::fs::write(&table, text).expect("a table");
        let message = fail(line("judge {} --labels {} --out {}", &[&table, &list, &out]), 1);
        assert!(message.contains(expected), "{message}");
    }
    let mut twice = std::fs::read_to_string(&list).expect("a list");
    twice += "7.jpg,subject-3,18,m\n";
    let other = dir.path("twice.csv");
    std::fs::write(&other, twice).expect("a list");
    let message = fail(line("judge {} --labels {} --out {}", &[&table, &other, &out]), 1);
    assert!(message.contains("expected each path once, found 1 rows"), "{message}");
    assert!(!message.contains("rows.npy"), "{message}");
    std::fs::write(&table, "path,gender\n1.jpg,f\n").expect("a table");
    let command = "judge {} --labels {} --threshold 18 --out {}";
    let message = fail(line(command, &[&table, &list, &out]), 2);
    assert!(message.contains("expected predictions of ages"), "{message}");
}
