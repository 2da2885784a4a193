//! Aligned crops: what `predict --crops` writes is predicted with `--aligned` as the faces were.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::serve::Served;
use facefold_testing::{Need, skip};

use crate::support::{
    Dir, drawn, drawn_bundle, faces_bundle, fail, files, has_weights, json, line, pictures, run,
    succeed,
};

#[test]
fn a_bundle_of_crops_says_that_it_looks_for_no_face() {
    let dir = Dir::new();
    // The untrained network has no detector.
    let bundle = drawn_bundle();
    let (picture, out) = (&pictures(drawn())[0], dir.path("out"));
    let said = |template: &str| {
        let output = run(line(template, &[&bundle, &out, picture]));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).matches("no face is looked for").count()
    };
    assert_eq!(said("predict --bundle {} --annotate {} {}"), 1);
    assert_eq!(said("predict --aligned --bundle {} --annotate {} {}"), 0);
}

/// What was predicted, without where in which picture the face is.
fn predictions(output: &Value) -> Vec<Value> {
    let of_face = ["path", "face_index", "faces_found", "bounding_box", "landmarks", "score"];
    let mut all = output.as_array().expect("predictions").clone();
    for prediction in &mut all {
        let fields = prediction.as_object_mut().expect("fields");
        for name in of_face {
            assert!(fields.remove(name).is_some(), "no `{name}` in {fields:?}");
        }
    }
    all
}

/// Two faces of one picture as crops, and as the face at the place of each crop.
fn two_faces(dir: &Dir) -> PathBuf {
    let folder = dir.path("two");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut both = RgbImage::from_pixel(640, 360, Rgb([70, 90, 80]));
    for (number, at) in [(0, 20), (30, 350)] {
        let picture = image::open(&pictures(drawn())[number]).expect("a picture").into_rgb8();
        let face =
            image::imageops::resize(&picture, 260, 260, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut both, &face, at, 40);
    }
    both.save(folder.join("both.png")).expect("a picture");
    folder
}

#[test]
fn crops_that_were_written_are_predicted_as_the_faces_were_by_any_bundle() {
    if !has_weights() {
        return skip(Need::Weights);
    }
    let dir = Dir::new();
    let faces = two_faces(&dir);
    let list = dir.path("list");
    std::fs::create_dir(&list).expect("a folder");
    let mut rows = String::from("path,subject,class\n");
    for (number, picture) in pictures(drawn()).iter().enumerate().take(30) {
        let class = if number / 3 % 2 == 0 { "even" } else { "odd" };
        std::fs::copy(picture, list.join(format!("{number}.jpg"))).expect("a copy");
        writeln!(rows, "{number}.jpg,s{},{class}", number / 3).expect("a row");
    }
    std::fs::write(list.join("manifest.csv"), rows).expect("a list");
    let [store, bundle, classes] =
        ["store", "taps.facefold", "class.facefold"].map(|n| dir.path(n));
    succeed(line("extract manifest {} --store {} --taps", &[&list, &store]));
    let train = "train --store {} --task class --head linear --features both --out {}";
    succeed(line(train, &[&store, &bundle]));
    let train =
        "train --store {} --task class --head mlp --set mlp.epochs=2 --features embedding --out {}";
    succeed(line(train, &[&store, &classes]));

    for (name, options) in [
        ("default", String::new()),
        ("taps", "--bundle {}".into()),
        ("class", "--bundle {}".into()),
    ] {
        let crops = dir.path(&format!("crops-{name}"));
        let bundle = if name == "taps" { &bundle } else { &classes };
        let with = |rest: &str, paths: &[&Path]| {
            let paths: Vec<&Path> = match name {
                "default" => paths.to_vec(),
                _ => [&[bundle.as_path()], paths].concat(),
            };
            line(&format!("predict --offline {options} --json {rest}"), &paths)
        };
        let output = run(with("--faces all --crops {} {}", &[&crops, &faces]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("2 crops in"), "{said}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(files(&crops), ["both-face-0.png", "both-face-1.png"]);
        for (number, face) in found.as_array().expect("faces").iter().enumerate() {
            assert_eq!(face["face_index"], number);
            let points = face["landmarks"].as_array().expect("landmarks");
            let edges = face["bounding_box"].as_array().expect("a box");
            let number = |value: &Value| value.as_f64().expect("a number");
            assert_eq!(points.len(), 5);
            for point in points {
                for (axis, size) in [(0, 640.0), (1, 360.0)] {
                    let range = number(&edges[axis]).max(0.0)..=number(&edges[axis + 2]).min(size);
                    assert!(range.contains(&number(&point[axis])), "{face}");
                }
            }
            assert!(number(&points[0][0]) < number(&points[1][0]), "left is the viewer's: {face}");
        }
        let output = run(with("--aligned {}", &[&crops]));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("hold for crops aligned in the same way").count(), 1, "{said}");
        let again: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(predictions(&again), predictions(&found), "{name}");
        assert_eq!(again[1]["score"], 1.0);
        let size = image::image_dimensions(crops.join("both-face-1.png")).expect("a picture");
        assert_eq!(size, (112, 112));
    }

    let served = Served::start(line("serve --offline --listen 127.0.0.1:0 --threads 1", &[]));
    let crop = dir.path("crops-default/both-face-1.png");
    let bytes = std::fs::read(&crop).expect("a crop");
    let (status, body) = served.ask("POST", "/v1/predict?aligned=true", "image/png", &bytes);
    assert_eq!(status, 200, "{body}");
    let reply: Value = serde_json::from_str(&body).expect("JSON");
    let printed = json(line("predict --offline --aligned {}", &[&crop]));
    let over_http = &reply["pictures"][0]["faces"][0]["predictions"][0];
    for (name, value) in over_http.as_object().expect("fields") {
        assert_eq!(*value, printed[0][name], "{name}");
    }
}

#[test]
fn a_bundle_of_crops_takes_crops_and_no_other_bundle_with_it() {
    if !has_weights() {
        return skip(Need::Weights);
    }
    let dir = Dir::new();
    let [crops, store, bundle, maps] =
        ["crops", "store", "crops.facefold", "maps"].map(|name| dir.path(name));
    let all: Vec<PathBuf> = pictures(drawn()).into_iter().take(20).collect();
    let mut predict = line("predict --offline --format csv --crops {}", &[&crops]);
    predict.args(&all);
    succeed(predict);
    let mut manifest = String::from("path,subject,gender\n");
    for (number, name) in files(&crops).iter().enumerate() {
        let gender = if number % 2 == 0 { "f" } else { "m" };
        writeln!(manifest, "{name},s{number},{gender}").expect("a row");
    }
    std::fs::write(crops.join("manifest.csv"), manifest).expect("a list");
    succeed(line("extract manifest {} --store {} --aligned", &[&crops, &store]));
    succeed(line("train --store {} --task gender --head linear --out {}", &[&store, &bundle]));
    let crop = crops.join(&files(&crops)[1]);
    let plain = json(line("predict --bundle {} {}", &[&bundle, &crop]));
    let output = run(line("predict --bundle {} --aligned --json {}", &[&bundle, &crop]));
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), plain);
    succeed(line("explain --aligned --mean-only --out {} {}", &[&maps, &crop]));

    for aligned in ["", "--aligned"] {
        let both = format!("predict --bundle {{}} --bundle {{}} {aligned} {{}}");
        let message = fail(line(&both, &[&faces_bundle(), &bundle, &crop]), 2);
        assert!(message.contains("expected bundles of one kind"), "{message}");
    }
}

#[test]
fn crops_have_names_of_their_own_and_lie_outside_what_is_read() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let all = pictures(drawn());
    for (from, to) in [(0, "a/one.jpg"), (1, "b/one.jpg")] {
        let path = dir.path("in").join(to);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::copy(&all[from], path).expect("a copy");
    }
    let [input, out] = ["in", "out"].map(|name| dir.path(name));
    std::fs::write(input.join("b/broken.jpg"), "no picture").expect("a file");
    let found = json(line("predict --bundle {} --crops {} {}", &[&bundle, &out, &input]));
    assert_eq!(files(&out), ["one-2-face-0.png", "one-face-0.png"]);
    let crop = image::open(out.join("one-face-0.png")).expect("a picture").into_rgb8();
    assert_eq!(crop.dimensions(), (112, 112));
    let again = json(line("predict --bundle {} --aligned {}", &[&bundle, &out]));
    let [again, found] = [again, found].map(|output| predictions(&output));
    assert_eq!((&again[1], &again[0]), (&found[0], &found[2]));

    let inside = input.join("new");
    let message = fail(line("predict --bundle {} --crops {} {}", &[&bundle, &inside, &input]), 2);
    assert!(message.contains("--crops") && message.contains("outside"), "{message}");
    let video = "predict --bundle {} --crops {} --video {}";
    let message = fail(line(video, &[&bundle, &out, &all[0]]), 2);
    assert!(message.contains("--crops is for pictures"), "{message}");
}
