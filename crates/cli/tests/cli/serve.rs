//! `facefold serve` as a user starts, uses and stops it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Dir, drawn, fail, json, line, pictures, succeed};

/// A server that is ended with the test.
pub struct Served {
    pub child: Child,
    pub address: String,
}

impl Served {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("facefold starts");
        let mut first = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut first).expect("a first line");
        let address = first.trim().rsplit_once("//").expect("an address").1.to_owned();
        Self { child, address }
    }

    /// Status and body of a request; the connection is closed after it.
    pub fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("a request is sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        (status, body.to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already ended where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bundle for gender and years. The synthetic dataset's own ages are ranges, so a manifest gives years.
fn bundle(dir: &Dir, extra: &str) -> PathBuf {
    let mut manifest = b"path,subject,age,gender\n".to_vec();
    for (number, picture) in pictures(drawn()).iter().take(60).enumerate() {
        let (subject, age) = (number / 2, 20 + number / 2);
        let gender = if subject % 2 == 0 { "f" } else { "m" };
        std::fs::copy(picture, dir.path(&format!("{number}.jpg"))).expect("a copy");
        writeln!(manifest, "{number}.jpg,s{subject},{age},{gender}").expect("a line");
    }
    let (list, store, bundle) =
        (dir.path("faces.csv"), dir.path("store"), dir.path("faces.facefold"));
    std::fs::write(&list, manifest).expect("a manifest");
    succeed(line("extract manifest {} --store {} --model untrained", &[&list, &store]));
    let train = format!("train --store {{}} --task gender,age --out {{}} {extra}");
    succeed(line(&train, &[&store, &bundle]));
    bundle
}

fn first_picture(directory: &Path) -> PathBuf {
    pictures(directory).swap_remove(0)
}

#[test]
fn a_served_bundle_answers_as_predict_does_and_ends_on_sigterm() {
    let dir = Dir::new();
    let bundle = bundle(&dir, "--head linear");
    let mut command = line("serve --bundle {} --listen 127.0.0.1:0 --threads 1", &[&bundle]);
    let said = std::fs::File::create(dir.path("said")).expect("a file");
    command.stderr(said);
    let mut served = Served::start(command);
    let picture = first_picture(drawn());
    let bytes = std::fs::read(&picture).expect("a picture");
    let (status, body) = served.ask("POST", "/v1/predict", "image/jpeg", &bytes);
    assert_eq!(status, 200, "{body}");
    let reply: Value = serde_json::from_str(&body).expect("JSON");
    let answer = &reply["pictures"][0]["faces"][0]["predictions"][0];
    let output = json(line("predict --bundle {} {}", &[&bundle, &picture]));
    assert_eq!(answer["bundle"], "faces");
    for key in ["gender", "age"] {
        assert_eq!(answer[key], output[0][key], "{key}");
    }
    assert_eq!(served.ask("GET", "/ready", "text/plain", b"").0, 200);
    let id = served.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    assert_eq!(served.child.wait().expect("an end").code(), Some(0));
    // The untrained network has no detector.
    let said = std::fs::read_to_string(dir.path("said")).expect("what was said");
    assert_eq!(said.matches("`faces` was trained on aligned crops").count(), 1, "{said}");
}

/// The fields of a prediction over HTTP, those of its picture and face among them.
fn flattened(reply: &Value) -> serde_json::Map<String, Value> {
    let mut levels = vec![reply["pictures"][0].clone()];
    for list in ["faces", "predictions"] {
        let level = levels.last_mut().and_then(Value::as_object_mut).expect("fields");
        let mut inner = level.remove(list).expect("a list");
        levels.push(inner[0].take());
    }
    levels.into_iter().flat_map(|level| level.as_object().expect("fields").clone()).collect()
}

#[test]
fn a_prediction_has_the_same_fields_over_http_and_on_the_command_line() {
    let dir = Dir::new();
    let bundle =
        bundle(&dir, "--head mlp --set mlp.epochs=2 --set mlp.min_steps=60 --threshold 18");
    let served = Served::start(line("serve --bundle {} --listen 127.0.0.1:0", &[&bundle]));
    let picture = first_picture(drawn());
    let bytes = std::fs::read(&picture).expect("a picture");
    let (status, body) = served.ask("POST", "/v1/predict", "image/jpeg", &bytes);
    assert_eq!(status, 200, "{body}");
    let mut over_http = flattened(&serde_json::from_str(&body).expect("JSON"));
    let mut printed = json(line("predict --bundle {} {}", &[&bundle, &picture]));
    let printed = printed[0].as_object_mut().expect("fields");
    // Called otherwise: the picture by its path, the bundle by its file.
    for name in ["path", "bundle"] {
        assert!(over_http.remove(name).is_some() && printed.remove(name).is_some(), "{name}");
    }
    assert_eq!(over_http, *printed);
    let expected = [
        "age",
        "age_distribution",
        "age_group",
        "age_high",
        "age_low",
        "age_mc_dropout_uncertainty",
        "age_uncertainty",
        "bounding_box",
        "class",
        "detail",
        "face_index",
        "faces_found",
        "familiarity",
        "gender",
        "landmarks",
        "norm",
        "score",
        "status",
        "thresholds",
    ];
    let mut names: Vec<&String> = printed.keys().collect();
    names.sort();
    assert_eq!(names, expected, "docs/predictions.md lists the fields");

    // A picture without a face has the same fields too.
    let (none, maps) = (dir.path("none.jpg"), dir.path("maps"));
    std::fs::write(&none, "no picture").expect("a file");
    let rejected = json(line("predict --bundle {} {}", &[&bundle, &none]));
    let mut names: Vec<&String> = rejected[0].as_object().expect("fields").keys().collect();
    names.retain(|name| !["path", "bundle"].contains(&name.as_str()));
    names.sort();
    assert_eq!(names, expected);

    let (status, body) = served.ask("POST", "/v1/explain", "image/jpeg", &bytes);
    assert_eq!(status, 200, "{body}");
    let over_http: Value = serde_json::from_str(&body).expect("JSON");
    let printed = json(line("explain --bundle {} --out {} {}", &[&bundle, &maps, &picture]));
    for (one, map) in [&over_http["explanations"], &printed["pictures"]]
        .map(|list| list[0].clone())
        .into_iter()
        .zip([["summary", "legend", "overlay"], ["path", "pictures", "file"]])
    {
        let mut names: Vec<&String> = one.as_object().expect("fields").keys().collect();
        names.retain(|name| !map.contains(&name.as_str()));
        names.sort();
        assert_eq!(
            names,
            ["bundle", "grid", "label", "max", "max_at", "min", "prediction", "task"]
        );
    }
}

#[test]
fn age_errors_are_output_by_age_group_and_uncertainty_by_error() {
    let dir = Dir::new();
    let quick = "--head mlp --set mlp.epochs=2 --set mlp.min_steps=60";
    let bundle = bundle(&dir, &format!("{quick} --set mlp.mc_dropout_passes=8"));
    let served = Served::start(line("serve --bundle {} --listen 127.0.0.1:0", &[&bundle]));
    let (status, body) = served.ask("GET", "/v1/models", "text/plain", b"");
    assert_eq!(status, 200, "{body}");
    let models: Value = serde_json::from_str(&body).expect("JSON");
    let age = &models["bundles"][0]["metrics"]["age"];
    let groups = age["by_age_group"].as_array().expect("groups");
    let number = |value: &Value| value.as_f64().expect("a number");
    let rows: f64 = groups.iter().map(|group| number(&group["rows"])).sum();
    let sum: f64 = groups
        .iter()
        .map(|group| number(&group["rows"]) * number(&group["mean_absolute_error"]))
        .sum();
    let whole = &age["validation"]["regression"];
    assert_eq!(rows, number(&whole["rows"]));
    assert!((sum / rows - number(&whole["mean_absolute_error"])).abs() < 1e-6);
    for errors in ["of_small_errors", "of_large_errors"] {
        assert!(number(&age["uncertainty"][errors]) > 0.0, "{age}");
    }
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let dir = Dir::new();
    let bundle = bundle(&dir, "--head linear");
    let message = fail(line("serve --bundle {} --bundle {}", &[&bundle, &bundle]), 2);
    assert!(message.contains("two bundles are called `faces`"), "{message}");
    let message = fail(line("serve --bundle {} --model buffalo_s", &[&bundle]), 2);
    assert!(message.contains("trained on `untrained`"), "{message}");
    let message = fail(line("serve --bundle {} --max-requests 0", &[&bundle]), 2);
    assert!(message.contains("--max-requests"), "{message}");
    let mut command = line("serve --bundle {}", &[&bundle]);
    command.env("FACEFOLD_TOKEN", "");
    assert!(fail(command, 2).contains("empty token"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let command = line(&format!("serve --bundle {{}} --listen {address}"), &[&bundle]);
    let message = fail(command, 1);
    assert!(message.contains("cannot listen on") && message.contains("--listen"), "{message}");
}
