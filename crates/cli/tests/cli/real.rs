//! What needs real label lists, real faces or real weights; skipped by name where they are absent.

use facefold_testing::{Need, given, skip};

use crate::support::{Dir, has_weights, json, line, succeed};

#[test]
fn the_official_adience_lists_count_as_published() {
    let Some(data) = given(Need::Data) else { return };
    let report = json(line("data check adience {}", &[&data.join("adience")]));
    assert_eq!(report["rows"], 19_487);
    assert_eq!(report["distinct"], 19_370);
    assert_eq!(report["distinct_per_fold"], serde_json::json!([4484, 3730, 3894, 3446, 3816]));
}

#[test]
fn real_faces_are_found_and_output_apart() {
    let Some(data) = given(Need::Data) else { return };
    if !has_weights() {
        return skip(Need::Weights);
    }
    // A sixth of the published gender folders: train on one, test on the other, an SVM on embeddings.
    let dir = Dir::new();
    let [root, store, out] = ["pictures", "store", "out"].map(|name| dir.path(name));
    for folder in ["train/female", "train/male", "test/female", "test/male"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
        let published = data.join("wiki-gender-age/gender-data").join(folder);
        let files =
            std::fs::read_dir(published).expect("pictures").map(|entry| entry.expect("a file"));
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        for file in files.iter().step_by(6) {
            let copy = root.join(folder).join(file.file_name().expect("a name"));
            std::fs::copy(file, copy).expect("a copy");
        }
    }
    let summary = json(line("extract folder {} --store {}", &[&root, &store]));
    let rows = summary["rows"].as_f64().expect("rows");
    let rejected = summary["rejected"].as_object().expect("counts");
    let rejected: f64 = rejected.values().filter_map(serde_json::Value::as_f64).sum();
    assert!(rejected / rows < 0.05, "{rejected} of {rows} rejected");
    succeed(line(
        "cv --store {} --task class --protocol split --head svm,linear --out {}",
        &[&store, &out],
    ));
    let markdown = std::fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(!markdown.contains(data.to_str().expect("a path")), "a report names no private path");
}
