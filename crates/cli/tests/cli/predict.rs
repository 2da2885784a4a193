//! `facefold predict` on what is not a plain list of pictures: pictures that are drawn on, videos,
//! and stdin.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::serve::{Served, pictures};
use facefold_testing::{Need, skip};

use crate::support::{Dir, drawn, drawn_bundle, fail, has_weights, json, line, run, succeed};

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn annotated_pictures_have_names_of_their_own_and_leave_inputs_alone() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let all = pictures(drawn());
    for (from, to) in [(0, "a/one.jpg"), (1, "b/one.jpg"), (2, "b/two.jpg")] {
        let path = dir.path("in").join(to);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::copy(&all[from], path).expect("a copy");
    }
    let [input, out] = ["in", "out"].map(|name| dir.path(name));
    std::fs::write(input.join("b/broken.jpg"), "no picture").expect("a file");
    let predict = "predict --bundle {} --format csv --annotate {} {}";
    let output = run(line(predict, &[&bundle, &out, &input]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("3 annotated pictures in"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 5);
    assert_eq!(files(&out), ["one-2-faces.jpg", "one-faces.jpg", "two-faces.jpg"]);
    let before = image::open(input.join("a/one.jpg")).expect("a picture").into_rgb8();
    let after = image::open(out.join("one-faces.jpg")).expect("a picture").into_rgb8();
    let factor = after.width() / before.width();
    assert_eq!(after.dimensions(), (before.width() * factor, before.height() * factor));
    let yellow = |p: &Rgb<u8>| p.0[0] > 230 && (190..=230).contains(&p.0[1]) && p.0[2] < 100;
    let marked = after.pixels().filter(|pixel| yellow(pixel)).count();
    assert!(marked > 2_000, "{marked} pixels of box and label");

    let message = fail(line(predict, &[&bundle, &input.join("a/new"), &input]), 2);
    assert!(message.contains("--annotate") && message.contains("outside"), "{message}");
}

#[test]
fn stdin_is_a_list_of_paths_or_the_bytes_of_a_picture() {
    let bundle = drawn_bundle();
    let all = pictures(drawn());
    let output = |content: &[u8]| -> Value {
        let mut child = line("predict --bundle {} --format json -", &[&bundle])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("facefold starts");
        child.stdin.take().expect("a pipe").write_all(content).expect("stdin is read");
        let output = child.wait_with_output().expect("facefold ends");
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let list = format!("{}\n\n{}\n", all[0].display(), all[1].display());
    let listed = output(list.as_bytes());
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["path"], all[0].display().to_string());
    let bytes = output(&std::fs::read(&all[0]).expect("a picture"));
    assert_eq!((bytes[0]["path"].as_str(), &bytes[0]["gender"]), (Some("-"), &listed[0]["gender"]));
    let gender = &listed[0]["gender"];
    let sure = gender["uncertainty"].as_f64().expect("an uncertainty");
    assert!((0.0..=1.0).contains(&sure), "{gender}");
    assert_eq!(listed[0]["score"], 1.0, "the detector's score, where there is a detector");
}

#[test]
fn what_cannot_be_opened_is_named_and_the_others_are_answered() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let good = &pictures(drawn())[0];
    let [gone, list, out] = ["gone.jpg", "list.txt", "out"].map(|name| dir.path(name));
    let predict = "predict --bundle {} --format csv {} {}";
    let output = run(line(predict, &[&bundle, &gone, good]));
    assert_eq!(output.status.code(), Some(1));
    let (said, rows) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("gone.jpg") && said.contains("1 of 2 pictures"), "{said}");
    let rows: Vec<&str> = rows.lines().skip(1).collect();
    assert!(rows[0].contains("gone.jpg,unreadable") && rows[1].contains(",ok,"), "{rows:?}");

    let message = fail(line("predict --bundle {} {}", &[&bundle, &gone]), 1);
    assert!(message.contains("gone.jpg"), "{message}");
    std::fs::write(&list, format!("{}\n{}\n", good.display(), gone.display())).expect("a list");
    let mut listed = line("predict --bundle {} --strict -", &[&bundle]);
    listed.stdin(std::fs::File::open(&list).expect("a list"));
    let message = fail(listed, 1);
    assert!(message.contains("gone.jpg"), "{message}");

    let explain = "explain --bundle {} --out {} --json {} {}";
    let output = run(line(explain, &[&bundle, &out, good, &gone]));
    assert_eq!(output.status.code(), Some(1));
    let output: Value = serde_json::from_slice(&output.stdout).expect("one whole document");
    assert_eq!(output["pictures"].as_array().map(Vec::len), Some(2), "{output}");
    assert_eq!(output["rejected"][0]["status"], "unreadable");
    let message = fail(line("explain --bundle {} --out {} {}", &[&bundle, &out, &gone]), 1);
    assert!(message.contains("gone.jpg") && message.contains("1 of 1 pictures"), "{message}");

    // What can be opened and is no picture is an answer, as before.
    std::fs::write(&gone, "no picture").expect("a file");
    succeed(line("predict --bundle {} {}", &[&bundle, &gone]));
}

#[test]
#[cfg(unix)]
fn no_name_of_a_file_moves_the_cursor_or_is_run() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    std::fs::create_dir(dir.path("in")).expect("a folder");
    let names = ["=1+1\u{1b}[2J.jpg", "a\u{9b}31m\u{7}\r\n.jpg", "-b.jpg"];
    for name in names {
        std::fs::copy(&pictures(drawn())[0], dir.path("in").join(name)).expect("a copy");
    }
    std::fs::write(dir.path("in/c\u{1b}]0;title\u{7}.jpg"), "no picture").expect("a file");
    let gone = PathBuf::from("gone\u{1b}[31m.jpg");
    for format in ["table", "csv", "json", "jsonl"] {
        let predict = format!("predict --bundle {{}} --format {format} . {{}}");
        let mut command = line(&predict, &[&bundle, &gone]);
        let output = run({
            command.current_dir(dir.path("in"));
            command
        });
        let all = [output.stdout.as_slice(), &output.stderr].concat();
        let text = String::from_utf8(all).expect("UTF-8");
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!text.chars().any(bad), "{format}: {text:?}");
        if format == "jsonl" {
            let first: Value = serde_json::from_str(text.lines().next().expect("a line")).unwrap();
            let path = first["path"].as_str().expect("a path");
            assert!(path.chars().any(char::is_control) || path.contains("-b"), "{path:?}");
        }
    }
    let mut command = line("predict --bundle {} --format csv -- -b.jpg", &[&bundle]);
    command.current_dir(dir.path("in"));
    let csv = succeed(command);
    assert!(csv.lines().nth(1).expect("a row").starts_with("'-b.jpg,ok,"), "{csv}");
}

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
    assert_eq!(said("explain --mean-only --bundle {} --out {} {}"), 1);
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
    for (number, at) in [(0, 20), (60, 350)] {
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
    for (number, picture) in pictures(drawn()).iter().enumerate().take(60) {
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
    let all: Vec<PathBuf> = pictures(drawn()).into_iter().take(40).collect();
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

    let faces = dir.path("faces.facefold");
    let store = dir.path("faces-store");
    succeed(line("extract adience {} --store {}", &[drawn(), &store]));
    succeed(line("train --store {} --task gender --head linear --out {}", &[&store, &faces]));
    for aligned in ["", "--aligned"] {
        let both = format!("predict --bundle {{}} --bundle {{}} {aligned} {{}}");
        let message = fail(line(&both, &[&faces, &bundle, &crop]), 2);
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

fn has_ffmpeg() -> bool {
    let there = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok();
    if !there {
        skip(Need::Ffmpeg);
    }
    there
}

/// Frames as a video of ten a second.
fn film(dir: &Dir, name: &str, frames: impl Iterator<Item = RgbImage>) -> PathBuf {
    let stills = dir.path(&format!("{name}-stills"));
    std::fs::create_dir_all(&stills).expect("a folder");
    for (number, frame) in frames.enumerate() {
        frame.save(stills.join(format!("{number:03}.png"))).expect("a frame");
    }
    let film = dir.path(&format!("{name}.mp4"));
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-framerate", "10", "-i"])
        .arg(stills.join("%03d.png"))
        .args(["-c:v", "mpeg4", "-q:v", "2"])
        .arg(&film)
        .status();
    assert!(status.expect("ffmpeg runs").success());
    film
}

#[test]
fn a_film_of_one_person_is_one_row_that_averages_its_frames() {
    if !has_ffmpeg() {
        return;
    }
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let all = pictures(drawn());
    let frames = (0..20).map(|number| {
        let picture = image::open(&all[number / 10]).expect("a picture").into_rgb8();
        image::imageops::resize(&picture, 320, 240, image::imageops::FilterType::Triangle)
    });
    let film = film(&dir, "one", frames);
    let out = dir.path("frames");
    let predict = "predict --bundle {} --video {} --fps 5";
    let people = json(line(&format!("{predict} --annotate {{}}"), &[&bundle, &film, &out]));
    let people = people.as_array().expect("people");
    // Without a detector the whole frame is the face.
    assert_eq!(people.len(), 1, "{people:?}");
    let track = &people[0];
    assert_eq!((&track["track"], &track["first_seconds"]), (&1.into(), &0.0.into()));
    let count = track["frames"].as_u64().expect("a count");
    assert!((10..=11).contains(&count), "2 seconds at 5 a second: {track}");
    assert_eq!(track["last_frame"], count - 1);
    assert_eq!(files(&out).len() as u64, count);
    assert_eq!(files(&out)[0], "frame-000000.jpg");
    let share = track["gender"]["probability"].as_f64().expect("a probability");
    // The mean lies between what single frames of the two halves say.
    let single = |number: u64| {
        let path = dir.path(&format!("one-stills/{number:03}.png"));
        let output = json(line("predict --bundle {} {}", &[&bundle, &path]));
        let probabilities = output[0]["gender"]["probabilities"].clone();
        let name = &track["gender"]["label"];
        let pair =
            probabilities.as_array().expect("probabilities").iter().find(|pair| pair[0] == *name);
        pair.expect("the class")[1].as_f64().expect("a share")
    };
    let (one, two) = (single(0), single(15));
    let between = one.min(two) - 0.1..=one.max(two) + 0.1;
    assert!(between.contains(&share), "{share} of {one} and {two}");

    let csv = succeed(line(&format!("{predict} --format csv"), &[&bundle, &film]));
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].starts_with("track,first_seconds,last_seconds,frames,gender,"), "{csv}");
    assert_eq!(rows.len(), 2, "{csv}");
    let output = run(line(predict, &[&bundle, &film]));
    let note = String::from_utf8_lossy(&output.stderr);
    assert_eq!(note.matches("no face is looked for").count(), 1, "{note}");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("0:00.0 to 0:0"), "{table}");
}

#[test]
fn two_who_pass_each_other_by_are_two_rows() {
    if !has_ffmpeg() {
        return;
    }
    if !has_weights() {
        return skip(Need::Weights);
    }
    let dir = Dir::new();
    let [store, bundle] = ["store", "faces.facefold"].map(|name| dir.path(name));
    succeed(line("extract adience {} --store {}", &[drawn(), &store]));
    let train = "train --store {} --task gender --head linear --out {}";
    succeed(line(train, &[&store, &bundle]));
    let [left, right] = [0, 60].map(|at: usize| {
        let picture = image::open(&pictures(drawn())[at]).expect("a picture").into_rgb8();
        image::imageops::resize(&picture, 240, 240, image::imageops::FilterType::Triangle)
    });
    let frames = (0..16).map(|number| {
        let mut frame = RgbImage::from_pixel(640, 360, Rgb([70, 90, 80]));
        image::imageops::replace(&mut frame, &left, 20 + 4 * number, 60);
        // The second comes later.
        if number >= 6 {
            image::imageops::replace(&mut frame, &right, 380 - 2 * number, 60);
        }
        frame
    });
    let film = film(&dir, "two", frames);
    let people = json(line("predict --bundle {} --video {} --fps 10", &[&bundle, &film]));
    let people = people.as_array().expect("people");
    assert_eq!(people.len(), 2, "{people:?}");
    let frames = |person: usize| people[person]["frames"].as_u64().expect("a count");
    assert!(frames(0) >= 13 && (7..=11).contains(&frames(1)), "{people:?}");
    assert!(people[1]["first_seconds"].as_f64() >= Some(0.5), "{people:?}");
    let main = json(line("predict --bundle {} --video {} --faces main", &[&bundle, &film]));
    assert!(!main.as_array().expect("people").is_empty());
}

#[test]
fn a_video_that_cannot_be_read_is_said() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let text = dir.path("text.mp4");
    std::fs::write(&text, "this is no film").expect("a file");
    let nowhere = dir.path("nowhere.mp4");
    let message = fail(line("predict --bundle {} --video {}", &[&bundle, &nowhere]), 1);
    assert!(message.contains("nowhere.mp4"), "{message}");
    let message = fail(line("predict --bundle {} --video {} --fps 0", &[&bundle, &text]), 2);
    assert!(message.contains("--fps 0: expected"), "{message}");
    fail(line("predict --bundle {} --video {} {}", &[&bundle, &text, &text]), 2);
    fail(line("predict --bundle {}", &[&bundle]), 2);
    let message = fail(line("predict --bundle {} --fps 3 {}", &[&bundle, &text]), 2);
    assert!(message.contains("--fps is for videos"), "{message}");

    let mut command = line("predict --bundle {} --video {}", &[&bundle, &text]);
    command.env("PATH", dir.path("empty"));
    let message = fail(command, 1);
    assert!(message.contains("`ffmpeg` was not found") && message.contains("install"), "{message}");
    if has_ffmpeg() {
        let message = fail(line("predict --bundle {} --video {}", &[&bundle, &text]), 1);
        assert!(
            message.contains("ffmpeg cannot read") && message.contains("text.mp4"),
            "{message}"
        );
    }
}

#[test]
fn a_film_that_is_stopped_tells_what_was_found() {
    if !has_ffmpeg() {
        return;
    }
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let still = image::open(&pictures(drawn())[0]).expect("a picture").into_rgb8();
    let film = film(&dir, "still", std::iter::repeat_n(still, 20));
    // A film of 40 minutes, from 2 seconds: it is stopped long before its end.
    let long = dir.path("long.mp4");
    let looped = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-stream_loop", "1200", "-i"])
        .arg(&film)
        .args(["-c", "copy"])
        .arg(&long)
        .status();
    assert!(looped.expect("ffmpeg runs").success());
    let out = dir.path("frames");
    let predict = "predict --bundle {} --video {} --fps 10 --json --annotate {}";
    let child = line(predict, &[&bundle, &long, &out])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("facefold starts");
    let start = Instant::now();
    while std::fs::read_dir(&out).map_or(0, Iterator::count) < 4 {
        assert!(start.elapsed() < Duration::from_mins(1), "no frame was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let people: Value = serde_json::from_slice(&output.stdout).expect("one whole document");
    let frames = people[0]["frames"].as_u64().expect("a count");
    assert!((4..20_000).contains(&frames), "{people}");
}
