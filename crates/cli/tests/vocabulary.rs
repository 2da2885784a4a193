//! Keeps words of a former private language out of crates, scripts and documents: `docs/glossary.md` has the terms.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Rust files are checked, from the repository's root; and scripts and documents.
const CHECKED: [&str; 6] =
    ["crates", "scripts", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

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
const WORDS: [&str; 15] = [
    "beside",
    "blame",
    "contender",
    "contenders",
    "ladder",
    "nobody",
    "praise",
    "road",
    "roads",
    "rung",
    "rungs",
    "suspects",
    "telling",
    "told",
    "torn",
];

/// Wrong phrases.
const PHRASES: [&str; 3] = ["nothing can be said", "what is right", "turned away"];

#[test]
fn the_repository_uses_the_terms_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for name in CHECKED {
        text_files(&root.join(name), &mut files);
    }
    files.retain(|file| !file.ends_with("cli/tests/vocabulary.rs"));
    assert!(files.len() > 300, "found {} files", files.len());

    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a text file");
        for (at, line) in text.lines().enumerate() {
            if let Some(word) = wrong_word(line) {
                wrong.push(format!("{}:{}: `{word}`", file.display(), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "words to replace:\n{}", wrong.join("\n"));
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

/// Appends the Rust files, scripts, pages and documents below a directory, or the file itself.
fn text_files(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory of the workspace") {
            text_files(&entry.expect("an entry").path(), files);
        }
        return;
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    // Scripts without an extension are text, too.
    let kinds = ["rs", "md", "py", "sh", "js", "html", "txt"];
    if extension.is_none_or(|extension| kinds.contains(&extension.as_str())) {
        files.push(path.to_owned());
    }
}
