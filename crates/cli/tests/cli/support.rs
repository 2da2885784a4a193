//! Helpers that let a test read like the commands a user types.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A directory of its own for a test, removed at its end.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The command with these arguments, not started yet.
pub fn facefold<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(crate::PROGRAM);
    command.args(arguments);
    command
}

/// A command line with words split at spaces; `{}` stands for the paths, in order.
pub fn line(template: &str, paths: &[&Path]) -> Command {
    let mut paths = paths.iter();
    facefold(template.split_whitespace().map(|word| match word {
        "{}" => paths.next().expect("a path for each {}").as_os_str().to_owned(),
        word => word.into(),
    }))
}

pub fn run(mut command: Command) -> Output {
    command.output().expect("facefold starts")
}

/// Runs a command that must succeed, and gives its stdout.
pub fn succeed(command: Command) -> String {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs a command that must succeed with `--json`, and gives its document.
pub fn json(mut command: Command) -> Value {
    command.arg("--json");
    let stdout = succeed(command);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Runs a command that must exit with this code, and gives its stderr.
pub fn fail(command: Command, code: i32) -> String {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// Pictures of the synthetic dataset, with as many rows.
pub const SYNTHETIC: u64 = 60;

/// All JPEG files below a directory, sorted.
pub fn pictures(directory: &Path) -> Vec<PathBuf> {
    let mut open = vec![directory.to_owned()];
    let mut pictures = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => open.push(path),
                Some(extension) if extension == "jpg" => pictures.push(path),
                _ => {}
            }
        }
    }
    pictures.sort();
    pictures
}

/// Names of what is in a directory, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A small synthetic dataset, generated once for all tests.
pub fn drawn() -> &'static Path {
    static DIR: OnceLock<Dir> = OnceLock::new();
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = DIR.get_or_init(Dir::new).path("drawn");
        let generate = format!("data generate {{}} --subjects 20 --pictures {SYNTHETIC} --seed 6");
        succeed(line(&generate, &[&root]));
        root
    })
}

/// A store of the synthetic dataset, made with the untrained network, extracted once for all tests.
pub fn drawn_store() -> &'static Path {
    static STORE: OnceLock<Dir> = OnceLock::new();
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let store = STORE.get_or_init(Dir::new).path("store");
        succeed(line("extract adience {} --store {} --model untrained --taps", &[drawn(), &store]));
        store
    })
}

/// A bundle for gender and age group, trained once for all tests on the drawn store's embeddings and
/// taps.
pub fn drawn_bundle() -> PathBuf {
    static BUNDLE: OnceLock<Dir> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let path = BUNDLE.get_or_init(Dir::new).path("drawn.facefold");
        let train = "train --store {} --task gender,age-group --head linear --out {}";
        succeed(line(train, &[drawn_store(), &path]));
        path
    });
    path.clone()
}

/// A bundle for gender of faces that `buffalo_s` finds and embeds, trained once for all tests that have its
/// weights.
pub fn faces_bundle() -> PathBuf {
    static BUNDLE: OnceLock<Dir> = OnceLock::new();
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let dir = BUNDLE.get_or_init(Dir::new);
        let [store, path] = ["store", "faces.facefold"].map(|name| dir.path(name));
        succeed(line("extract adience {} --store {}", &[drawn(), &store]));
        let train = "train --store {} --task gender --head linear --out {}";
        succeed(line(train, &[&store, &path]));
        path
    });
    path.clone()
}

/// Whether the weights of `buffalo_s` lie where facefold looks for them.
pub fn has_weights() -> bool {
    let list = json(line("models list", &[]));
    list.as_array()
        .expect("a list of packs")
        .iter()
        .any(|pack| pack["name"] == "buffalo_s" && pack["present"].as_bool() == Some(true))
}

/// Whether bf16 is really computed here, and not f32 in its place.
pub fn has_tiles() -> bool {
    json(line("models verify", &[]))["kernels"] == "amx"
}
