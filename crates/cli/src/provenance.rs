//! Where a result comes from: the command and the program's commit.

use std::path::Path;

use facefold::Origin;

/// The commit that the binary was built from, or `unknown`.
const COMMIT: &str = env!("FACEFOLD_COMMIT");

/// This command and commit.
pub fn origin() -> Origin {
    Origin { command: joined(&words()), commit: (COMMIT != "unknown").then(|| COMMIT.to_owned()) }
}

/// The same of a training run.
pub fn training_origin() -> Origin {
    Origin { command: training_command(), ..origin() }
}

/// The command without what changes nothing of what is trained, so that the bytes of a bundle do not
/// depend on the machine either: the number of threads, and the directories that files lie in.
fn training_command() -> String {
    joined(&without_directories(without_threads(words())))
}

fn words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn joined(words: &[String]) -> String {
    let words = words.iter().map(|word| quoted(word));
    std::iter::once("facefold".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn without_threads(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--threads" {
            words.next();
        } else if !word.starts_with("--threads=") {
            kept.push(word);
        }
    }
    kept
}

/// Options of `train` whose values are paths.
const PATHS: [&str; 3] = ["--store", "--out", "--init"];

fn without_directories(words: Vec<String>) -> Vec<String> {
    let last = |path: &str| {
        let name = Path::new(path).file_name();
        name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let mut is_path = false;
    let shorten = |word: String| {
        let short = match word.split_once('=') {
            _ if is_path => last(&word),
            Some((option, path)) if PATHS.contains(&option) => format!("{option}={}", last(path)),
            _ => word,
        };
        is_path = PATHS.contains(&short.as_str());
        short
    };
    words.into_iter().map(shorten).collect()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{joined, quoted, without_directories, without_threads};

    #[test]
    fn a_training_command_does_not_tell_its_threads() {
        for typed in ["train --threads 2 --seed 3", "train --threads=1 --seed 3", "train --seed 3"]
        {
            let words = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(joined(&without_threads(words)), "facefold train --seed 3");
        }
    }

    #[test]
    fn a_training_command_does_not_tell_where_files_lie() {
        let typed = "train --store /home/ann/stores/a --store=stores/b/ --out ../x.facefold";
        let words = typed.split(' ').map(str::to_owned).collect();
        assert_eq!(
            joined(&without_directories(words)),
            "facefold train --store a --store=b --out x.facefold"
        );
    }

    #[test]
    fn words_are_quoted_as_a_shell_needs_them() {
        assert_eq!(quoted("results/a-b"), "results/a-b");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
