//! `facefold predict` on pictures that are drawn on, on stdin, and on names that are odd or lead nowhere.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use image::Rgb;
use serde_json::Value;

use crate::support::{Dir, drawn, drawn_bundle, fail, files, line, pictures, run, succeed};

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
    let gone = PathBuf::from("gone\u{1b}[31m\nerror: all\u{2028}is lost.jpg");
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("\\nerror: all\\u{2028}is lost.jpg`"), "{said}");
        assert!(!said.lines().any(|line| line.starts_with("error: all")), "{said}");
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
