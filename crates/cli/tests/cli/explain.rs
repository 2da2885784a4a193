//! `facefold explain`: occlusion maps.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Dir, drawn, drawn_store, fail, files, json, line, pictures, run, succeed};

fn bundle(dir: &Dir, features: &str) -> PathBuf {
    let bundle = dir.path(&format!("{features}.facefold"));
    let train = format!(
        "train --store {{}} --task gender,age-group --head linear --features {features} --out {{}}"
    );
    succeed(line(&train, &[drawn_store(), &bundle]));
    bundle
}

fn values(output: &Value) -> Vec<f64> {
    let rows = output["grid"].as_array().expect("a grid").iter();
    let cells = rows.flat_map(|row| row.as_array().expect("a row").clone());
    cells.map(|cell| cell.as_f64().expect("a number")).collect()
}

#[test]
fn maps_of_pictures_and_their_means_are_written_and_printed() {
    let dir = Dir::new();
    let bundle = bundle(&dir, "embedding");
    let [input, out] = ["in", "out"].map(|name| dir.path(name));
    std::fs::create_dir(&input).expect("a folder");
    for (number, picture) in pictures(drawn()).iter().take(2).enumerate() {
        std::fs::copy(picture, input.join(format!("{number}.jpg"))).expect("a copy");
    }
    std::fs::write(input.join("broken.jpg"), "no picture").expect("a file");
    let output = run(line("explain --json --bundle {} --out {} {}", &[&bundle, &out, &input]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches("no face is looked for").count(), 1, "{said}");
    let output: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let pictures = output["pictures"].as_array().expect("pictures");
    assert_eq!(pictures.len(), 2 * 2, "two pictures, two heads");
    assert_eq!(output["rejected"].as_array().map(Vec::len), Some(1));
    let predicted = json(line("predict --bundle {} {}", &[&bundle, &input.join("0.jpg")]));
    assert_eq!(pictures[0]["label"], predicted[0]["gender"]["label"]);
    let share = |value: &Value| value.as_f64().expect("a share");
    let (answer, probability) =
        (share(&pictures[0]["prediction"]), share(&predicted[0]["gender"]["probability"]));
    assert!((answer - probability).abs() < 1e-6, "{answer} is not {probability}");
    assert!(values(&pictures[0]).iter().any(|&value| value != 0.0), "covering changes nothing");
    assert_eq!(values(&pictures[0]).len(), 144);

    // The mean over all is the mean of the maps.
    let means = output["means"].as_array().expect("means");
    let of = |task: &str| {
        let whole = means.iter().find(|mean| mean["task"] == task && mean["label"].is_null());
        whole.expect("a mean")
    };
    let gender: Vec<Vec<f64>> =
        pictures.iter().filter(|one| one["task"] == "gender").map(values).collect();
    for (at, mean) in values(of("gender")).into_iter().enumerate() {
        let expected = gender.iter().map(|map| map[at]).sum::<f64>() / 2.0;
        assert!((mean - expected).abs() < 1e-6, "{mean} is not {expected}");
    }
    assert_eq!(of("age-group")["pictures"], 2);
    for file in pictures.iter().chain(means).map(|one| one["file"].as_str().expect("a file")) {
        let map = image::open(file).expect("a picture").into_rgb8();
        assert!(map.width() == 448 && map.height() > 480, "{file}");
        let coloured = map.pixels().filter(|p| p.0.iter().max() > p.0.iter().min()).count();
        assert!(coloured > 500, "{file} has no colour");
    }
    assert!(out.join("0-gender.png").is_file() && out.join("mean-age-group.png").is_file());

    let message = fail(line("explain --bundle {} --out {} {}", &[&bundle, &input, &input]), 2);
    assert!(message.contains("--out"), "{message}");
}

#[test]
fn bundles_that_see_other_features_have_other_maps_and_a_mean_can_stand_alone() {
    let dir = Dir::new();
    // Both ask for taps from the extractor, and one looks at embeddings only.
    let (one, two) = (bundle(&dir, "embedding"), bundle(&dir, "both"));
    let (out, picture) = (dir.path("out"), pictures(drawn()).swap_remove(0));
    let explain = "explain --bundle {} --bundle {} --out {} --mean-only {}";
    let output = json(line(explain, &[&one, &two, &out, &picture]));
    let of = |bundle: &str| {
        let all = output["pictures"].as_array().expect("pictures").iter();
        let is_of =
            |map: &&Value| map["bundle"].as_str().is_some_and(|path| path.ends_with(bundle));
        all.filter(is_of).collect::<Vec<_>>()
    };
    let [alone, taps] = ["embedding.facefold", "both.facefold"].map(of);
    assert_ne!(values(alone[0]), values(taps[0]));
    assert!(alone[0]["file"].is_null());
    // For each task over all, and over the predicted class.
    for bundle in ["embedding", "both"] {
        assert_eq!(files(&out.join(bundle)).len(), 4, "{bundle}");
    }
}
