//! `facefold predict --video`: a row for each person of a film.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde_json::Value;

use facefold_testing::{Need, skip};

use crate::support::{
    Dir, drawn, drawn_bundle, faces_bundle, fail, files, has_weights, json, line, pictures, run,
    succeed,
};

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
    let mean = track["gender"]["probability"].as_f64().expect("a probability");
    // The mean lies between what single frames of the two halves say.
    let single = |number: u64| {
        let path = dir.path(&format!("one-stills/{number:03}.png"));
        let output = json(line("predict --bundle {} {}", &[&bundle, &path]));
        let probabilities = output[0]["gender"]["probabilities"].clone();
        let name = &track["gender"]["label"];
        let pair =
            probabilities.as_array().expect("probabilities").iter().find(|pair| pair[0] == *name);
        pair.expect("the class")[1].as_f64().expect("a probability")
    };
    let (one, two) = (single(0), single(15));
    let between = one.min(two) - 0.1..=one.max(two) + 0.1;
    assert!(between.contains(&mean), "{mean} of {one} and {two}");

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
    let bundle = faces_bundle();
    let [left, right] = [0, 30].map(|at: usize| {
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
fn a_film_that_ends_early_is_answered_and_said() {
    if !has_ffmpeg() {
        return;
    }
    let dir = Dir::new();
    let bundle = drawn_bundle();
    let still = image::open(&pictures(drawn())[0]).expect("a picture").into_rgb8();
    let film = film(&dir, "still", std::iter::repeat_n(still, 20));
    let [whole, cut] = ["whole.mkv", "cut.mkv"].map(|name| dir.path(name));
    let copied = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(&film)
        .args(["-c", "copy"])
        .arg(&whole)
        .status();
    assert!(copied.expect("ffmpeg runs").success());
    let bytes = std::fs::read(&whole).expect("a film");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("half a film");
    let predict = "predict --bundle {} --video {} --format jsonl";
    let frames = |text: &str| {
        let row: Value = serde_json::from_str(text).expect("a row");
        row["frames"].as_u64().expect("a count")
    };
    let all = frames(&succeed(line(predict, &[&bundle, &whole])));
    let output = run(line(predict, &[&bundle, &cut]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("could be read only in part") && said.contains("prematurely"), "{said}");
    let some = frames(&String::from_utf8_lossy(&output.stdout));
    assert!((1..all).contains(&some), "{some} of {all}");
}

#[test]
fn a_film_that_is_stopped_reports_what_was_found() {
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
