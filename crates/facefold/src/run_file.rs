//! The file that repeats a run: `run.toml`, with a command and its arguments, a key for each option.
//!
//! ```toml
//! command = "cv"
//! store = ["../../stores/utkface"]
//! task = ["gender", "age"]
//! ```
//!
//! [`RunFile`] is what a run leaves next to what it made, [`ConfigFile`] what `--config` reads. Paths in it
//! are relative to the file, so that it means the same wherever it is read from, and holds nothing of the
//! directories that both lie in.

use std::path::{Path, PathBuf};

use facefold_core::files::{self, RUN_FILE, read_at_most, write_atomic};
use facefold_core::text::shell_word as quoted;
use toml_edit::{Document, Item};

use crate::error::{Error, Result};
use crate::remote::is_address;

/// Longest file that is read: more than any command line.
const MOST_BYTES: u64 = 1 << 20;

/// The key of the command.
const COMMAND: &str = "command";

/// A path that is none: the standard input.
const STDIN: &str = "-";

/// A command with the arguments that it was given, for the file that repeats it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFile {
    /// The command: `cv`, `store import`.
    pub command: String,
    /// What was given, in that order. Secrets must not be among them.
    pub arguments: Vec<Argument>,
    /// What was not given, with the values that it has by default.
    pub defaults: Vec<Argument>,
}

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name: of an option without the dashes.
    pub name: String,
    /// How it is written on a command line.
    pub kind: ArgumentKind,
    /// Whether its values are paths.
    pub is_path: bool,
    /// Its values; none of a switch.
    pub values: Vec<String>,
}

/// How an argument is written on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    /// By its place: `data/adience`.
    Positional,
    /// An option without a value: `--taps`.
    Switch,
    /// An option with one value: `--seed 3`.
    Single,
    /// An option given once a value: `--store a --store b`.
    Repeated,
    /// An option whose values stand between commas: `--task gender,age`.
    Joined,
}

impl RunFile {
    /// The command as a shell takes it.
    #[must_use]
    pub fn command_line(&self) -> String {
        self.line(&self.arguments, |_, value| value.to_owned())
    }

    /// The command without what changes nothing of what is trained, so that the bytes of a bundle do not
    /// depend on the machine: the number of threads, and the directories that files lie in.
    #[must_use]
    pub fn training_command(&self) -> String {
        let kept: Vec<_> =
            self.arguments.iter().filter(|argument| argument.name != "threads").cloned().collect();
        self.line(&kept, |argument, value| {
            let name = Path::new(value).file_name().filter(|_| argument.is_path);
            name.map_or_else(|| value.to_owned(), |name| name.to_string_lossy().into_owned())
        })
    }

    fn line(&self, arguments: &[Argument], shown: impl Fn(&Argument, &str) -> String) -> String {
        let mut words = vec!["facefold".to_owned(), self.command.clone()];
        for argument in arguments {
            let option = format!("--{}", argument.name);
            let mut values =
                argument.values.iter().map(|value| shown(argument, value)).collect::<Vec<_>>();
            if argument.kind == ArgumentKind::Joined {
                values = vec![values.join(",")];
            }
            match argument.kind {
                ArgumentKind::Switch => words.push(option),
                ArgumentKind::Positional => words.extend(values.iter().map(|value| quoted(value))),
                _ => words.extend(values.iter().flat_map(|value| [option.clone(), quoted(value)])),
            }
        }
        words.join(" ")
    }

    /// The text of the file, as it lies in a directory; an empty path is the working directory.
    ///
    /// # Errors
    /// A directory that cannot be found out about.
    pub fn text(&self, directory: &Path) -> Result<String> {
        let is_here = directory.as_os_str().is_empty();
        let directory = if is_here { Path::new(".") } else { directory };
        let mut lines = vec![
            format!(
                "# Repeats a run of facefold {}: facefold --config {RUN_FILE}",
                env!("CARGO_PKG_VERSION")
            ),
            "# Flags override what stands here. Paths are relative to this file.".to_owned(),
            format!("{COMMAND} = {}", toml_string(&self.command)),
        ];
        for argument in &self.arguments {
            lines.push(argument.toml(directory)?);
        }
        if !self.defaults.is_empty() {
            lines.push("# By default:".to_owned());
        }
        for argument in &self.defaults {
            lines.push(format!("# {}", argument.toml(directory)?));
        }
        lines.push(String::new());
        Ok(lines.join("\n"))
    }

    /// Writes the file under a path, whole or not at all.
    ///
    /// # Errors
    /// Any error of the file system, naming the path.
    pub fn write(&self, path: &Path) -> Result<()> {
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(write_atomic(path, self.text(directory)?.as_bytes())?)
    }

    /// Writes the file into a directory, under its usual name.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_into(&self, directory: &Path) -> Result<()> {
        self.write(&directory.join(RUN_FILE))
    }
}

impl Argument {
    /// Its line in the file.
    fn toml(&self, directory: &Path) -> Result<String> {
        let value = |value: &String| match value {
            path if self.is_path && path != STDIN && !is_address(Path::new(path)) => {
                let path = files::seen_from(directory, Path::new(path))?;
                Ok(toml_string(&path.to_string_lossy()))
            }
            value => Ok(toml_value(value)),
        };
        let values = self.values.iter().map(value).collect::<Result<Vec<String>>>()?;
        let is_list = match self.kind {
            ArgumentKind::Repeated | ArgumentKind::Joined => true,
            _ => values.len() > 1,
        };
        let value = match &values[..] {
            [] => "true".to_owned(),
            values if is_list => format!("[{}]", values.join(", ")),
            values => values.concat(),
        };
        Ok(format!("{} = {value}", self.name))
    }
}

/// A value: a number bare where it reads back as it was written, else a string.
fn toml_value(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(number) if number.to_string() == value => value.to_owned(),
        _ => toml_string(value),
    }
}

/// A basic string of TOML: that of JSON, but for the one control character that JSON leaves.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// What `--config` reads: a command and options, whose names and types a command line checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
    /// The command, where the file names one.
    pub command: Option<String>,
    /// The options, in their order.
    pub entries: Vec<Entry>,
}

/// A line of a [`ConfigFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// The value.
    pub value: ConfigValue,
}

/// A value of a [`ConfigFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// `true` or `false`.
    Switch(bool),
    /// A string or number.
    One(String),
    /// An array of those.
    Many(Vec<String>),
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Data`] where it cannot be read, [`Error::Options`] where it is not TOML of the kind that
    /// stands above.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            Error::data(format!(
                "--config `{}`: expected a TOML file, such as the {RUN_FILE} next to a report: {error}",
                path.display()
            ))
        };
        let bytes = read_at_most(path, MOST_BYTES).map_err(unreadable)?;
        let mut file = Self { path: path.to_owned(), command: None, entries: Vec::new() };
        let text = String::from_utf8(bytes)
            .map_err(|error| file.wrong(1, format!("expected UTF-8, found {error}")))?;
        let line = |span: Option<std::ops::Range<usize>>| {
            let before = &text.as_bytes()[..span.map_or(0, |span| span.start).min(text.len())];
            before.split(|byte| *byte == b'\n').count()
        };
        let document = Document::parse(&text)
            .map_err(|error| file.wrong(line(error.span()), error.message()))?;
        for (name, item) in document.iter() {
            let key = document.as_table().get_key_value(name).and_then(|(key, _)| key.span());
            let line = line(key.or_else(|| item.span()));
            let value =
                value(item).map_err(|found| file.wrong(line, format!("`{name}`: {found}")))?;
            match value {
                ConfigValue::One(command) if name == COMMAND => file.command = Some(command),
                _ if name == COMMAND => {
                    return Err(file.wrong(line, "expected a command such as \"cv\""));
                }
                value => file.entries.push(Entry { name: name.to_owned(), line, value }),
            }
        }
        Ok(file)
    }

    /// What is wrong with a line of the file.
    #[must_use]
    pub fn wrong(&self, line: usize, what: impl std::fmt::Display) -> Error {
        Error::options(format!("`{}`, line {line}: {what}", self.path.display()))
    }

    /// A path of the file as this process reaches it: relative where it lies below the working directory,
    /// as a person would have typed it, else absolute.
    ///
    /// # Errors
    /// A directory that cannot be found out about.
    pub fn resolved(&self, value: &str) -> Result<PathBuf> {
        if value == STDIN || is_address(Path::new(value)) {
            return Ok(value.into());
        }
        let path = files::real(&self.path.parent().unwrap_or(Path::new("")).join(value))?;
        let here = std::env::current_dir()?;
        let below = path.strip_prefix(&here).ok().map(Path::to_owned);
        Ok(below.filter(|below| !below.as_os_str().is_empty()).unwrap_or(path))
    }
}

/// Takes the values that `keep` refuses out of the file in a directory, with the lines that have none then; nothing
/// where there is no such file.
///
/// # Errors
/// As [`ConfigFile::read`], or a file that cannot be written.
pub(crate) fn retain_values(directory: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
    let path = directory.join(RUN_FILE);
    if !path.exists() {
        return Ok(());
    }
    let file = ConfigFile::read(&path)?;
    let bytes = read_at_most(&path, MOST_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    for Entry { name, line, value } in &file.entries {
        let (values, is_list) = match value {
            ConfigValue::Switch(_) => continue,
            ConfigValue::One(value) => (std::slice::from_ref(value), false),
            ConfigValue::Many(values) => (values.as_slice(), true),
        };
        let kept: Vec<&String> = values.iter().filter(|value| keep(value)).collect();
        if kept.len() == values.len() {
            continue;
        }
        let rest = &mut lines[line - 1..];
        // An array that somebody has broken into lines goes on in those below.
        let continued = rest.iter().skip(1);
        let continued =
            continued.take_while(|line| line.trim_start().starts_with(['"', '\'', ']']));
        let last = continued.count();
        rest[..=last].fill(String::new());
        if is_list && !kept.is_empty() {
            let kept: Vec<String> = kept.into_iter().map(|value| toml_value(value)).collect();
            rest[0] = format!("{name} = [{}]\n", kept.join(", "));
        }
    }
    let kept = lines.concat();
    if kept != text {
        write_atomic(&path, kept.as_bytes())?;
    }
    Ok(())
}

/// The value of an item of TOML, or what is wrong with it.
fn value(item: &Item) -> Result<ConfigValue, String> {
    let found = || {
        format!(
            "expected a string, a number, true or false, or an array of strings and numbers, found a{} {}",
            if item.type_name().starts_with(['a', 'i']) { "n" } else { "" },
            item.type_name()
        )
    };
    let item = item.as_value().ok_or_else(found)?;
    if let Some(switch) = item.as_bool() {
        return Ok(ConfigValue::Switch(switch));
    }
    let text = |value: &toml_edit::Value| match value {
        toml_edit::Value::String(text) => Some(text.value().clone()),
        toml_edit::Value::Integer(number) => Some(number.value().to_string()),
        toml_edit::Value::Float(number) => Some(number.value().to_string()),
        _ => None,
    };
    match item.as_array() {
        Some(array) => array.iter().map(text).collect::<Option<_>>().map(ConfigValue::Many),
        None => text(item).map(ConfigValue::One),
    }
    .ok_or_else(found)
}

#[cfg(test)]
mod tests {
    use super::{Argument, ArgumentKind, ConfigFile, ConfigValue, RunFile, quoted, retain_values};

    fn argument(kind: ArgumentKind, name: &str, values: &[&str]) -> Argument {
        Argument {
            name: name.to_owned(),
            kind,
            is_path: ["store", "out", "root"].contains(&name),
            values: values.iter().map(ToString::to_string).collect(),
        }
    }

    fn run() -> RunFile {
        RunFile {
            command: "train".to_owned(),
            arguments: vec![
                argument(ArgumentKind::Positional, "root", &["data/it's"]),
                argument(ArgumentKind::Repeated, "store", &["stores/a", "/home/ann/b"]),
                argument(ArgumentKind::Joined, "task", &["gender", "age"]),
                argument(ArgumentKind::Single, "threads", &["2"]),
                argument(ArgumentKind::Repeated, "set", &["svm.c=0.1,1", "a \"b\"\n\u{7f}"]),
                argument(ArgumentKind::Switch, "taps", &[]),
            ],
            defaults: vec![argument(ArgumentKind::Single, "seed", &["0"])],
        }
    }

    #[test]
    fn a_command_is_quoted_as_a_shell_needs_it() {
        assert_eq!(quoted("results/a-b"), "results/a-b");
        assert_eq!(quoted(""), "''");
        let line = run().command_line();
        let expected = r"facefold train 'data/it'\''s' --store stores/a --store /home/ann/b --task gender,age --threads 2";
        assert!(line.starts_with(expected) && line.ends_with("--taps"), "{line}");
    }

    #[test]
    fn a_training_command_names_neither_threads_nor_directories() {
        let line = run().training_command();
        let expected =
            r"facefold train 'it'\''s' --store a --store b --task gender,age --set svm.c=0.1,1";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn values_are_taken_out_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        let retain = |text: &str| {
            fs_err::write(&path, text).unwrap();
            retain_values(folder.path(), |value| value != "../anna.jpg").unwrap();
            fs_err::read_to_string(&path).unwrap()
        };
        retain_values(folder.path(), |_| false).unwrap();
        let text = |root: &str| {
            format!("# Repeats\ncommand = \"extract\"\n{root}threads = 2\n# seed = 0\n")
        };
        let lists =
            ["[\"../anna.jpg\", \"../bob.jpg\"]", "[\n\"../anna.jpg\",\n  \"../bob.jpg\",\n]"];
        for list in lists {
            let left = retain(&text(&format!("root = {list}\n")));
            assert_eq!(left, text("root = [\"../bob.jpg\"]\n"));
        }
        assert_eq!(retain(&text("root = \"../anna.jpg\"\n")), text(""));
        let other = text("root = [\n\"../bob.jpg\"]\n");
        assert_eq!(retain(&other), other);
    }

    /// Where a bare name such as `faces.facefold` lies.
    #[test]
    fn an_empty_path_is_the_working_directory() {
        let text = |directory: &str| run().text(std::path::Path::new(directory)).unwrap();
        assert_eq!(text(""), text("."));
        assert!(text("").contains("root = \"data/it's\"\n"), "{}", text(""));
    }

    #[test]
    fn what_is_written_is_read_back_and_paths_follow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = fs_err::canonicalize(folder.path()).unwrap();
        let mut written = run();
        written.arguments[1].values = vec![folder.join("stores/a").display().to_string()];
        let path = folder.join("results/run.toml");
        fs_err::create_dir_all(folder.join("results")).unwrap();
        written.write(&path).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains("store = [\"../stores/a\"]\n"), "{text}");
        assert!(text.contains("threads = 2\n") && text.contains("# seed = 0\n"), "{text}");
        let file = ConfigFile::read(&path).unwrap();
        assert_eq!(file.command.as_deref(), Some("train"));
        let values: Vec<_> =
            file.entries.iter().map(|entry| (entry.name.as_str(), &entry.value)).collect();
        let many =
            |values: &[&str]| ConfigValue::Many(values.iter().map(ToString::to_string).collect());
        assert_eq!(
            values[2..],
            [
                ("task", &many(&["gender", "age"])),
                ("threads", &ConfigValue::One("2".to_owned())),
                ("set", &many(&["svm.c=0.1,1", "a \"b\"\n\u{7f}"])),
                ("taps", &ConfigValue::Switch(true)),
            ]
        );
        assert_eq!(file.resolved("../stores/a").unwrap(), folder.join("stores/a"));
        assert_eq!(file.resolved("-").unwrap(), std::path::Path::new("-"));
    }

    #[test]
    fn what_is_no_such_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        let error = ConfigFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("run.toml") && error.contains("expected a TOML file"), "{error}");
        for (text, line, expected) in [
            ("command = \"cv\"\nseed =\n", 2, ""),
            ("command = 3\nseed = [[1]]\n", 2, "found an array"),
            ("\n[mlp]\nepochs = 3\n", 2, "found a table"),
            ("when = 1979-05-27\n", 1, "found a datetime"),
            ("command = true\n", 1, "expected a command"),
        ] {
            fs_err::write(&path, text).unwrap();
            let error = ConfigFile::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}: ")), "{text}: {error}");
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
