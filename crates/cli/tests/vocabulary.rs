//! Keeps words of a former private language out of the crates: `docs/glossary.md` has the terms.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that are checked.
const CRATES: [&str; 14] = [
    "core",
    "datasets",
    "engine",
    "evaluate",
    "heads",
    "insightface",
    "kernels",
    "onnx",
    "predict",
    "report",
    "serve",
    "store",
    "synthetic",
    "vision",
];

/// Types of former names, as whole identifiers.
const IDENTIFIERS: [&str; 31] = [
    "Companion",
    "Contender",
    "Contest",
    "Dealt",
    "Doubts",
    "Formula",
    "Goals",
    "HeadParts",
    "Judge",
    "Lesson",
    "Machines",
    "Patience",
    "Pulls",
    "Question",
    "Questions",
    "Shot",
    "Sitter",
    "Stepper",
    "Surroundings",
    "Suspects",
    "Telling",
    "Unfit",
    "Verdict",
    "Wanted",
    "YearsAnswer",
    "YearsLoss",
    "answer_both",
    "enlarge_at_once",
    "hold_out",
    "narrow_at_once",
    "predicts_distribution_of",
];

/// Words that are wrong wherever they stand: in prose, and as a part of an identifier.
const WORDS: [&str; 8] =
    ["beside", "blame", "contender", "nobody", "praise", "telling", "told", "torn"];

/// Wrong phrases.
const PHRASES: [&str; 3] = ["nothing can be said", "what is right", "turned away"];

/// Names that files of earlier versions have, and flags: a file, and what its line has.
const ALLOWED: [(&str, &str); 6] = [
    ("evaluate/src/slices.rs", "rename = \"beside\""),
    ("heads/src/knn.rs", "insert(\"told\""),
    ("heads/src/knn.rs", "vector(\"told\""),
    ("heads/src/mlp/multi_task.rs", "`--beside race`"),
    ("store/src/inspect.rs", "\"log_torn_bytes\""),
    ("store/src/inspect.rs", "\"log_torn_at\""),
];

#[test]
fn crates_use_the_terms_of_the_field() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for name in CRATES {
        rust_files(&crates.join(name), &mut files);
    }
    assert!(files.len() > 100, "found {} files", files.len());

    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (at, line) in text.lines().enumerate() {
            let Some(word) = wrong_word(line) else { continue };
            let allowed =
                ALLOWED.iter().position(|(path, part)| file.ends_with(path) && line.contains(part));
            match allowed {
                Some(entry) => drop(used.insert(entry)),
                None => wrong.push(format!("{}:{}: `{word}`", file.display(), at + 1)),
            }
        }
    }
    assert!(wrong.is_empty(), "words to replace:\n{}", wrong.join("\n"));
    assert_eq!(used.len(), ALLOWED.len(), "entries of ALLOWED without a line: used are {used:?}");
}

#[test]
fn identifiers_are_compared_whole_and_words_as_parts_too() {
    assert_eq!(wrong_word("let told_age = 3;"), Some("told"));
    assert_eq!(wrong_word("/// Nobody knows."), Some("nobody"));
    assert_eq!(wrong_word("struct Judge;"), Some("Judge"));
    assert_eq!(wrong_word("//! between them nothing can be said"), Some("nothing can be said"));
    assert_eq!(wrong_word("struct Judgement { besides: f32 }"), None);
}

/// The first wrong word or phrase of a line.
fn wrong_word(line: &str) -> Option<&'static str> {
    let lower = line.to_lowercase();
    let identifiers: BTreeSet<&str> =
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let words: BTreeSet<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    IDENTIFIERS
        .into_iter()
        .find(|word| identifiers.contains(word))
        .or_else(|| WORDS.into_iter().find(|word| words.contains(word)))
        .or_else(|| PHRASES.into_iter().find(|phrase| lower.contains(phrase)))
}

/// Appends the `.rs` files below a directory.
fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
