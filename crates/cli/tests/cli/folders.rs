//! Folders and lists as users have them: odd endings, hidden folders, links, pipes, odd names; and
//! a picture that ended an earlier run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use facefold_core::ImageKey;

use crate::serve::pictures;
use crate::support::{Dir, drawn, drawn_store, json, line, run, succeed};

/// A set of two classes with two pictures each, and a folder next to them that is no class.
fn set(dir: &Dir) -> PathBuf {
    let all = pictures(drawn());
    let root = dir.path("set");
    for (index, name) in
        ["female/1.jpg", "female/2.JFIF", "male/3.jpe", "male/4.jpg", ".ipynb_checkpoints/1.jpg"]
            .into_iter()
            .enumerate()
    {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::copy(&all[index], path).expect("a copy");
    }
    std::fs::write(root.join("male/notes.txt"), "none").expect("a file");
    root
}

#[cfg(unix)]
fn add_links_and_a_pipe(root: &Path) {
    for (target, name) in [(".", "female/here"), ("..", "female/up"), ("../female", "male/them")] {
        std::os::unix::fs::symlink(target, root.join(name)).expect("a link");
    }
    let pipe = std::process::Command::new("mkfifo").arg(root.join("female/00.jpg")).status();
    assert!(pipe.expect("mkfifo").success());
}

#[cfg(unix)]
#[test]
fn every_command_reads_the_same_pictures_of_a_folder_and_names_the_rest() {
    let dir = Dir::new();
    let root = set(&dir);
    add_links_and_a_pipe(&root);
    let bundle = dir.path("drawn.facefold");
    let train = "train --store {} --task gender --head linear --out {}";
    succeed(line(train, &[drawn_store(), &bundle]));

    let skipped = |said: &[u8]| {
        let said = String::from_utf8_lossy(said).into_owned();
        assert!(said.contains("skipped 6 below"), "{said}");
        for name in [".ipynb_checkpoints", "female/00.jpg", "male/notes.txt", "female/up"] {
            assert!(said.contains(name), "{name}: {said}");
        }
    };
    let extract = "extract folder {} --store {} --model untrained --json";
    let extracted = run(line(extract, &[&root, &dir.path("store")]));
    skipped(&extracted.stderr);
    let summary: serde_json::Value = serde_json::from_slice(&extracted.stdout).expect("JSON");
    assert_eq!((summary["rows"].as_u64(), summary["embedded"].as_u64()), (Some(4), Some(4)));
    let check = json(line("data check folder {}", &[&root]));
    let classes: Vec<&str> = check["classes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["label"].as_str())
        .collect();
    assert_eq!(classes, ["female", "male"]);

    let predict = run(line("predict --bundle {} --format jsonl {}", &[&bundle, &root]));
    skipped(&predict.stderr);
    assert_eq!(String::from_utf8_lossy(&predict.stdout).lines().count(), 4);
}

#[cfg(unix)]
#[test]
fn a_list_with_odd_names_stays_a_list() {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;

    let dir = Dir::new();
    let bundle = dir.path("drawn.facefold");
    let train = "train --store {} --task gender --head linear --out {}";
    succeed(line(train, &[drawn_store(), &bundle]));
    let all = pictures(drawn());
    let odd = dir.path("").join(std::ffi::OsStr::from_bytes(b"Zo\xe9\x1b.jpg"));
    std::fs::copy(&all[1], &odd).expect("a copy");
    let names = [all[0].as_os_str().as_bytes(), odd.as_os_str().as_bytes()];
    let lines = names.join(&b'\n');
    for list in [lines.clone(), names.join(&0), [b"\xef\xbb\xbf", lines.as_slice()].concat()] {
        let mut child = line("predict --bundle {} --format jsonl -", &[&bundle])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("facefold starts");
        child.stdin.take().expect("a pipe").write_all(&list).expect("stdin is read");
        let output = child.wait_with_output().expect("facefold ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ok = text.lines().filter(|line| line.contains("\"status\":\"ok\"")).count();
        assert_eq!((ok, text.lines().count()), (2, 2), "{text}");
    }
}

#[test]
fn a_picture_that_ended_earlier_runs_is_rejected_as_crashed() {
    let dir = Dir::new();
    let (root, store) = (set(&dir), dir.path("store"));
    let extract = || line("extract folder {} --store {} --model untrained", &[&root, &store]);
    let key = |name: &str| ImageKey::of(&std::fs::read(root.join(name)).expect("a picture"));
    let (female, away) = (root.join("female"), dir.path("away"));
    std::fs::rename(&female, &away).expect("a folder that moves");
    succeed(extract());
    std::fs::rename(&away, &female).expect("a folder that moves");
    assert!(!store.join("attempts").exists());
    // As ten runs leave it that ended at one picture, and the last of them at another too.
    let list = format!(
        "10 {} \"female/1.jpg\"\n1 {} \"female/2.JFIF\"\nend\n",
        key("female/1.jpg"),
        key("female/2.JFIF")
    );
    std::fs::write(store.join("attempts"), list).expect("a file");
    let summary = json(extract());
    assert_eq!(summary["rejected"], serde_json::json!({ "crashed": 1 }), "{summary}");
    assert_eq!(summary["embedded"], 1);
    assert!(!store.join("attempts").exists());
    let mut again = extract();
    again.arg("--retry-rejected");
    assert_eq!(json(again)["embedded"], 1);
}
