//! Holds the crates' dependencies to the table in `crates/README.md`.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What the table allows: a crate's name to the crates it may use.
fn allowed() -> Arrows {
    let table = include_str!("../../README.md");
    let rows = table.lines().filter(|line| line.starts_with("| [`"));
    let mut arrows: Arrows = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].split('`').nth(1).expect("a crate's name").to_owned();
            let uses = cells[2].split(',').map(str::trim).filter(|name| *name != "–");
            (name, uses.map(str::to_owned).collect())
        })
        .collect();
    let all: BTreeSet<String> = arrows.keys().cloned().collect();
    for uses in arrows.values_mut().filter(|uses| uses.contains("all")) {
        uses.clone_from(&all);
    }
    arrows
}

/// Of this machine's platform: what others need has never been fetched on a fresh one.
fn metadata() -> Value {
    let version =
        Command::new(env!("CARGO")).arg("-vV").output().expect("cargo prints its version");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata gives JSON")
}

/// Every arrow between crates of the workspace, and all names each crate reaches.
fn arrows(metadata: &Value) -> (Arrows, Arrows) {
    let name_of = |id: &Value| -> String {
        let packages = metadata["packages"].as_array().expect("packages");
        let package = packages.iter().find(|package| package["id"] == *id).expect("a package");
        package["name"].as_str().expect("a name").to_owned()
    };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let normal = node["deps"].as_array().expect("deps").iter().filter(|dependency| {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            kinds.iter().any(|kind| kind["kind"].is_null())
        });
        let names = normal.map(|dependency| name_of(&dependency["pkg"])).collect();
        uses.insert(name_of(&node["id"]), names);
    }
    let is_ours = |name: &&String| *name == "facefold" || name.starts_with("facefold-");
    let ours: Vec<&String> = uses.keys().filter(is_ours).collect();
    let short = |name: &str| name.trim_start_matches("facefold-").to_owned();
    let direct = ours
        .iter()
        .map(|name| {
            let inner = uses[*name].iter().filter(is_ours);
            (short(name), inner.map(|used| short(used)).collect())
        })
        .collect();
    let reached = ours.iter().map(|name| (short(name), closure(&uses, name))).collect();
    (direct, reached)
}

fn closure(uses: &Arrows, start: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(name) = open.pop() {
        for next in uses.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let allowed = allowed();
    let (direct, _) = arrows(&metadata());
    let missing: Vec<_> = direct.keys().filter(|name| !allowed.contains_key(*name)).collect();
    assert!(missing.is_empty(), "crates/README.md has no row for {missing:?}");
    for (name, uses) in &direct {
        let extra: Vec<_> = uses.difference(&allowed[name]).collect();
        assert!(extra.is_empty(), "`{name}` uses {extra:?}, which crates/README.md does not allow");
    }
}

#[test]
fn candle_and_arrow_stay_where_they_are_needed() {
    let (_, reached) = arrows(&metadata());
    for name in ["core", "datasets", "synthetic", "store", "evaluate", "report"] {
        assert!(!reached[name].contains("candle-core"), "`{name}` builds candle");
    }
    for name in [
        "core",
        "datasets",
        "synthetic",
        "kernels",
        "engine",
        "onnx",
        "vision",
        "heads",
        "evaluate",
        "report",
        "predict",
    ] {
        assert!(!reached[name].contains("arrow-array"), "`{name}` builds arrow");
    }
}

#[test]
fn heavy_crates_are_locked_once() {
    let lock = include_str!("../../../Cargo.lock");
    for name in ["arrow-array", "parquet", "candle-core", "ndarray", "image"] {
        let copies = lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
        assert_eq!(copies, 1, "copies of {name} in Cargo.lock");
    }
}

/// The text of all sources.
fn sources(directory: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let mut text = String::new();
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("all crates");
    sources(crates, &mut text);
    let promises = include_str!("../../../docs/reliability.md");
    let rows = promises.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_matches('|').rsplit('|').next().expect("a column of tests");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let is_crate = |name: &str| name == "facefold" || name.starts_with("facefold-");
        let tests: Vec<&&str> = names.iter().filter(|name| !is_crate(name)).collect();
        assert!(!tests.is_empty(), "no test in {row}");
        for name in tests {
            // A whole file of tests goes by its module.
            let last = name.trim_end_matches("::tests").rsplit("::").next().expect("a name");
            let there =
                text.contains(&format!("fn {last}(")) || text.contains(&format!("mod {last};"));
            assert!(there, "`{name}` is no test: {row}");
            named += 1;
        }
    }
    assert!(named > 40, "{named} tests");
}
