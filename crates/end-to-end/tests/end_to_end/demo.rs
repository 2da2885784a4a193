//! `facefold demo`, which fits three heads in full.

use facefold_testing::{Need, skip};

use crate::support::{Dir, has_weights, line, succeed};

#[test]
fn demo_predicts_one_of_its_faces_and_ends_with_the_path_of_its_report() {
    // The untrained network only where there is no other: a demo trains its heads in full.
    let (network, model, face) = if has_weights() {
        ("buffalo_s", "--offline", "a drawing is none")
    } else {
        skip(Need::Weights);
        let face = "The embedded bundle needs the weights of buffalo_s";
        ("untrained", "--model untrained", face)
    };
    let dir = Dir::new();
    let demo = format!("demo {model} --subjects 15 --pictures 60 --out {{}}");
    let text = succeed(line(&demo, &[&dir.path("demo")]));
    let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(first.len(), 5, "what it does, in five lines: {first:?}");
    assert!(first[0].contains("60 faces of 15 people") && first[1].contains(network), "{first:?}");
    let (_, end) = text.split_once(face).expect("a word on the prediction");
    for part in ["landmark_aligned_face", "male"] {
        assert!(end.contains(part) || network == "untrained", "`{part}` is not in:\n{end}");
    }
    let last: Vec<&str> = text.lines().rev().take(6).collect();
    let next = ["facefold bundle show", "facefold serve", "facefold predict photo.jpg", "Next:"];
    for (line, next) in last.iter().zip(next) {
        assert!(line.trim_start().starts_with(next), "`{next}` is not in:\n{text}");
    }
    assert_eq!(last[5], dir.path("demo/report.html").display().to_string());
    let page = std::fs::read_to_string(last[5]).expect("a report");
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
}
