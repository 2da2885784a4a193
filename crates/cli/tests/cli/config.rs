//! `--config`, and the file that each run leaves to repeat it.

use std::path::Path;

use serde_json::Value;

use crate::insightface::container;
use crate::mock::Mock;
use crate::pipeline::{read_json, without_times};
use crate::support::{Dir, SYNTHETIC, drawn, drawn_store, fail, line, succeed};

const CV: &str = "cv --store {} --task gender,age-group --head linear,knn --protocol kfold:3 --set knn.n_neighbors=7 \
                  --features embedding --threshold 18 --task age --seed 3 --out {}";

fn report(out: &Path) -> Value {
    without_times(read_json(&out.join("report.json")))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file that repeats a run")
}

#[test]
fn a_result_holds_the_file_that_repeats_its_run() {
    let dir = Dir::new();
    let [first, again, flags, here] =
        ["a/first", "b/again", "flags", "here"].map(|name| dir.path(name));
    succeed(line(CV, &[drawn_store(), &first]));
    let file = first.join("run.toml");
    let words = text(&file);
    assert!(words.contains("\ncommand = \"cv\"\n") && words.contains("\nout = \".\"\n"), "{words}");
    assert!(words.contains("\n# seeds = 1\n"), "{words}");

    succeed(line("cv --config {} --out {}", &[&file, &again]));
    assert_eq!(report(&again), report(&first));
    let tables = |out: &Path| text(&out.join("age/predictions.csv"));
    assert_eq!(tables(&again), tables(&first));

    // From another directory, with the command of the file; and again from what that leaves.
    std::fs::create_dir(&here).expect("a directory");
    let mut elsewhere = line("--out there --config {}", &[&again.join("run.toml")]);
    elsewhere.current_dir(&here);
    succeed(elsewhere);
    let there = here.join("there");
    assert_eq!(report(&there), report(&first));
    let command = |out: &Path| read_json(&out.join("report.json"))["provenance"]["command"].clone();
    let shown = command(&there).as_str().expect("a command").to_owned();
    assert!(shown.starts_with("facefold cv ") && shown.contains("--head linear,knn"), "{shown}");

    // Flags override; --no-KEY leaves out.
    succeed(line(
        "cv --no-protocol --no-threshold --config {} --task=gender --head knn --seed 4 --out {}",
        &[&file, &flags],
    ));
    let overridden = text(&flags.join("run.toml"));
    for line in
        ["task = [\"gender\"]", "head = [\"knn\"]", "seed = 4", "set = [\"knn.n_neighbors=7\"]"]
    {
        assert!(overridden.lines().any(|found| found == line), "{line}: {overridden}");
    }
    for absent in ["protocol", "threshold"] {
        assert!(!overridden.lines().any(|line| line.starts_with(absent)), "{overridden}");
    }
    assert_eq!(read_json(&flags.join("report.json"))["tasks"].as_array().map(Vec::len), Some(1));
}

/// The columns of an exported index that label a picture; none of its cells is quoted.
fn labels_of(index: &str) -> String {
    let mut rows = index.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    let wanted = ["path", "subject", "gender"];
    let place = |name| header.iter().position(|column| *column == name).expect("the column");
    let places = wanted.map(place);
    let line = |row: Vec<&str>| places.map(|place| row[place]).join(",");
    std::iter::once(wanted.join(",")).chain(rows.map(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_store_and_a_bundle_have_the_file_that_repeats_their_run() {
    let dir = Dir::new();
    let [first, again] = ["first", "again"].map(|name| dir.path(name));
    succeed(line("extract adience {} --store {} --model untrained --taps", &[drawn(), &first]));
    succeed(line("extract --config {} --store {}", &[&first.join("run.toml"), &again]));
    succeed(line("store compare {} {}", &[&first, &again]));
    succeed(line("store verify {}", &[&again]));
    // The same command, without any further word, resumes.
    let resumed = succeed(line("--config {}", &[&again.join("run.toml")]));
    let known = format!("{SYNTHETIC} rows: 0 pictures embedded now, {SYNTHETIC} known");
    assert!(resumed.starts_with(&known), "{resumed}");

    let [vectors, labels, imported, twice] =
        ["x/embeddings.npy", "x/labels.csv", "imported", "twice"].map(|name| dir.path(name));
    succeed(line("store export {} --format npy --out {}", &[&first, &dir.path("x")]));
    std::fs::write(&labels, labels_of(&text(&dir.path("x/index.csv")))).expect("a list");
    let import = "store import {} {} --network ours --store {}";
    succeed(line(import, &[&vectors, &labels, &imported]));
    succeed(line("store import --config {} --store {}", &[&imported.join("run.toml"), &twice]));
    succeed(line("store compare {} {}", &[&imported, &twice]));

    let [bundle, other] = ["one/faces.facefold", "two/faces.facefold"].map(|name| dir.path(name));
    let train = "train --store {} --task gender --head linear --weights f16 --threads 1 --out {}";
    succeed(line(train, &[&first, &bundle]));
    let file = dir.path("one/faces.run.toml");
    succeed(line("train --config {} --out {}", &[&file, &other]));
    let bytes = |path: &Path| std::fs::read(path).expect("a bundle");
    assert_eq!(bytes(&bundle), bytes(&other));
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let dir = Dir::new();
    let file = dir.path("run.toml");
    let store = format!("store = {:?}\n", drawn_store().display().to_string());
    let valid = format!("command = \"cv\"\n{store}task = \"gender\"\nout = \"out\"\n");
    for (added, code, expected) in [
        ("haed = \"mlp\"", 2, "line 5: `haed` is no option of `cv`; did you mean `head`?"),
        ("banana = 1", 2, "`facefold cv --help` lists them"),
        ("seed = \"three\"", 2, "`seed` stands in line 5 of the --config file"),
        ("seed = [1, 2]", 2, "`seed`: expected one value, found an array"),
        ("seed = true", 2, "`seed`: expected a value, found true"),
        ("without-mirrored = \"yes\"", 2, "`without-mirrored`: expected true or false"),
        ("[mlp]\nepochs = 3", 2, "line 5: `mlp`: expected a string"),
        ("seed = ", 2, "line 5: "),
        ("config = \"other.toml\"", 2, "`config` is no option"),
    ] {
        std::fs::write(&file, format!("{valid}{added}\n")).expect("a file");
        let message = fail(line("--config {}", &[&file]), code);
        assert!(message.contains(expected), "{added}: {message}");
    }
    assert!(!dir.path("out").exists());
    std::fs::write(&file, &valid).expect("a file");
    let message = fail(line("tune --config {}", &[&file]), 2);
    assert!(message.contains("expected options of `tune`, found those of `cv`"), "{message}");
    let message = fail(line("cv --config {}", &[&dir.path("away.toml")]), 1);
    assert!(message.contains("away.toml") && message.contains("expected a TOML file"), "{message}");
    let help = succeed(line("cv --config {} --help", &[&file]));
    assert!(help.contains("--no-KEY"), "{help}");
}

// That forgotten persons are in no file is tested with the removal.
#[test]
fn no_secret_is_in_the_file() {
    let dir = Dir::new();
    for (name, token) in [("flag", "--token s3cret"), ("environment", "")] {
        let store = dir.path(name);
        let words = format!("extract adience {{}} --store {{}} --model untrained {token}");
        let mut command = line(&words, &[drawn(), &store]);
        command.env("FACEFOLD_TOKEN", "s3cret");
        succeed(command);
        let file = text(&store.join("run.toml"));
        assert!(file.contains("untrained") && !file.contains("s3cret"), "{file}");
    }
}

#[test]
fn no_header_of_a_gateway_is_in_the_file() {
    let dir = Dir::new();
    let (mock, store) = (Mock::start(container), dir.path("store"));
    let mut command =
        line("extract adience {} --store {} --backend insightface", &[drawn(), &store]);
    command.args(["--url", &mock.url(), "--header", "X-Api-Key: s3cret"]);
    succeed(command);
    let file = text(&store.join("run.toml"));
    assert!(file.contains("insightface") && !file.contains("s3cret"), "{file}");
}
