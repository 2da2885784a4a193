//! Folders and lists as users have them: odd endings, hidden folders, links, pipes, odd names; and
//! a picture that ended an earlier run.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use facefold_core::ImageKey;

use crate::support::{Dir, drawn, drawn_bundle, fail, json, line, pictures, run, succeed};

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
    let bundle = drawn_bundle();

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
    let bundle = drawn_bundle();
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

/// The paths of a store's label rows that have an embedding.
fn embedded(dir: &Dir, store: &Path) -> Vec<String> {
    let out = dir.path("exported");
    succeed(line("store export {} --format npy --out {}", &[store, &out]));
    let index = std::fs::read_to_string(out.join("index.csv")).expect("an index");
    let first = |row: &str| row.split(',').next().expect("a cell").to_owned();
    index.lines().skip(1).map(first).collect()
}

#[test]
fn extract_takes_the_pictures_that_predict_takes() {
    let dir = Dir::new();
    let bundle = drawn_bundle();
    set(&dir);
    // Known by its content alone, where it is named.
    std::fs::rename(dir.path("set/male/4.jpg"), dir.path("single")).expect("a rename");
    std::fs::write(dir.path("set/broken.jpg"), "no picture").expect("a file");
    let list = "single\n./set/female/1.jpg\n\nset/male/3.jpe\nsingle\n";
    std::fs::write(dir.path("list.txt"), list).expect("a list");
    for (number, inputs) in
        ["set", "set/female single", "set/female/2.JFIF", "-", "- set/male"].into_iter().enumerate()
    {
        let inside = |template: &str, paths: &[&Path]| {
            let mut command = line(&format!("{template} {inputs}"), paths);
            command.current_dir(dir.path(""));
            command.stdin(std::fs::File::open(dir.path("list.txt")).expect("a list"));
            command
        };
        let store = dir.path(&format!("store-{number}"));
        let extract = "extract pictures --model untrained --store {}";
        let summary = json(inside(extract, &[&store]));
        let predicted = json(inside("predict --bundle {}", &[&bundle]));
        let mut expected: Vec<String> = Vec::new();
        for prediction in predicted.as_array().expect("predictions") {
            let path = prediction["path"].as_str().expect("a path").to_owned();
            if prediction["status"] == "ok" && !expected.contains(&path) {
                expected.push(path);
            }
        }
        // Below one directory paths are relative to it.
        let below = |path: &String| path.strip_prefix("set/").unwrap_or(path).to_owned();
        if inputs == "set" {
            expected = expected.iter().map(below).collect();
        }
        assert_eq!(embedded(&dir, &store), expected, "{inputs}");
        let rejected = summary["rejected"].as_object().expect("reasons").len();
        assert_eq!(rejected, usize::from(inputs == "set"), "{summary}");
        // The same command again has nothing to do.
        assert_eq!(json(inside(extract, &[&store]))["embedded"], 0);
        let check = json(inside("data check pictures", &[]));
        assert_eq!(check["unlabelled"], summary["rows"], "{inputs}");
    }
    let several = "extract folder {} {} --model untrained --store {}";
    let (set, store) = (dir.path("set"), dir.path("store"));
    let message = fail(line(several, &[&set, &set, &store]), 2);
    assert!(message.contains("expected one path, found 2"), "{message}");
    let mut bytes = line("extract pictures - --model untrained --store {}", &[&store]);
    bytes.stdin(std::fs::File::open(dir.path("single")).expect("a picture"));
    let message = fail(bytes, 2);
    assert!(message.contains("expected a list of paths, found a picture"), "{message}");
}

#[test]
fn a_missing_path_is_named_and_the_others_are_done() {
    let dir = Dir::new();
    let root = set(&dir);
    let [store, maps] = ["store", "maps"].map(|name| dir.path(name));
    let bundle = drawn_bundle();
    let [gone, empty] = ["gone", "empty"].map(|name| dir.path(name));
    std::fs::create_dir(&empty).expect("a folder");
    for (command, own) in [
        ("predict --json --bundle {} {} {} {}", &bundle),
        ("extract pictures --json --model untrained --store {} {} {} {}", &store),
    ] {
        let output = run(line(command, &[own, &gone, &empty, &root]));
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = String::from_utf8_lossy(&output.stderr);
        for part in ["gone", "empty", "2 of 6 pictures could not be read"] {
            assert!(said.contains(part), "{command}: {said}");
        }
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one whole document");
    }
    assert_eq!(embedded(&dir, &store).len(), 4);
    let explain = "explain --json --mean-only --bundle {} --out {} {} {}";
    let output = run(line(explain, &[&bundle, &maps, &empty, &root.join("female/1.jpg")]));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no picture in this directory"), "{said}");
    let explained: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(explained["rejected"][0]["status"], "unreadable");
    // The picture that is there, for each of two tasks.
    assert_eq!(explained["pictures"].as_array().map(Vec::len), Some(2), "{explained}");
    // A root that is not there is an error before anything is made.
    let nothing = dir.path("nothing");
    for kind in ["folder", "manifest", "utkface", "pictures"] {
        let extract = format!("extract {kind} {{}} --model untrained --store {{}}");
        let message = fail(line(&extract, &[&gone, &nothing]), 1);
        assert!(message.contains("gone"), "{kind}: {message}");
        assert!(!nothing.exists(), "{kind}");
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
