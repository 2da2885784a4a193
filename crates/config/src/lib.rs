//! `--config FILE` for any clap command: options from a file become words of the command line, before clap reads
//! it; and the file that repeats this run, from what clap found.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ContextKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use facefold::run_file::{Argument, ArgumentKind, ConfigFile, ConfigValue, Entry, RunFile};
use facefold_core::text::nearest;

/// Why a command line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read, or an option in it that the command does not have.
    #[error(transparent)]
    File(#[from] facefold::Error),
    /// A file with the options of another command.
    #[error("`{}`: expected options of `{typed}`, found those of `{found}`", path.display())]
    Command {
        /// The file.
        path: PathBuf,
        /// The command that was given.
        typed: String,
        /// The command in the file.
        found: String,
    },
    /// What clap says of the words, `--help` among it.
    #[error("{error}")]
    Words {
        /// Its error.
        error: clap::Error,
        /// Where in the file the option stands that is wrong.
        note: Option<String>,
    },
}

/// Reads the words of a command line, those of a `--config` file among them; with the file that repeats the run, where
/// there can be one.
///
/// # Errors
/// [`ConfigError`].
pub fn parse(
    command: &Command,
    mut words: Vec<OsString>,
) -> Result<(ArgMatches, Option<RunFile>), ConfigError> {
    let mut definitions = command.clone();
    definitions.build();
    let entries = extend(&mut words, command, &definitions)?;
    let matches = command.clone().try_get_matches_from(words).map_err(|error| {
        let wrong = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        let wrong = wrong.split(' ').next().and_then(|word| word.strip_prefix("--"));
        let entry = entries.iter().find(|entry| Some(entry.name.as_str()) == wrong);
        let note = entry.map(|entry| {
            format!("`{}` stands in line {} of the --config file", entry.name, entry.line)
        });
        ConfigError::Words { error, note }
    })?;
    let (definition, found) = command_of(&definitions, &matches);
    let run = run_file(definition, found);
    Ok((matches, run))
}

/// The innermost command that was given, and its arguments.
fn command_of<'a>(
    definition: &'a Command,
    matches: &'a ArgMatches,
) -> (&'a Command, &'a ArgMatches) {
    let inner = matches.subcommand();
    match inner.and_then(|(name, found)| Some((definition.find_subcommand(name)?, found))) {
        Some((definition, found)) => command_of(definition, found),
        None => (definition, matches),
    }
}

/// The words of a command: `store import`.
fn words_of(definition: &Command) -> String {
    let name = definition.get_bin_name().unwrap_or_default();
    name.split_once(' ').map(|(_, words)| words.to_owned()).unwrap_or_default()
}

/// Adds what the `--config` of a command line gives, as far as other words do not give it; what was added.
fn extend(
    words: &mut Vec<OsString>,
    command: &Command,
    definitions: &Command,
) -> Result<Vec<Entry>, ConfigError> {
    // What is wrong with the words is for the parse that follows; so is --help.
    let lenient = |words: &[OsString]| {
        // Not one that was built: that does not get to the inner command of words that are wrong.
        command.clone().ignore_errors(true).try_get_matches_from(words).ok()
    };
    let Some(path) = config_of(words) else { return Ok(Vec::new()) };
    let file = ConfigFile::read(&path)?;
    let without = |entry: &Entry| OsString::from(format!("--no-{}", entry.name));
    let (left_out, entries): (Vec<Entry>, Vec<Entry>) =
        file.entries.iter().cloned().partition(|entry| words.contains(&without(entry)));
    words.retain(|word| !left_out.iter().any(|entry| without(entry) == *word));
    let Some(given) = lenient(words) else { return Ok(Vec::new()) };
    let typed = words_of(command_of(definitions, &given).0);
    match &file.command {
        Some(command) if typed.is_empty() => {
            words.splice(1..1, command.split_whitespace().map(OsString::from));
        }
        Some(command) if *command != typed => {
            return Err(ConfigError::Command { path, typed, found: command.clone() });
        }
        _ => {}
    }
    let Some(given) = lenient(words) else { return Ok(Vec::new()) };
    let (definition, given) = command_of(definitions, &given);
    let is_typed =
        |id: &str| given.value_source(id).is_some_and(|source| source == ValueSource::CommandLine);
    let (mut options, mut places) = (Vec::new(), Vec::new());
    for entry in &entries {
        let argument = named(definition, &file, entry)?;
        if !is_typed(argument.get_id().as_str()) {
            let to = if argument.is_positional() { &mut places } else { &mut options };
            to.extend(words_for(argument, &file, entry)?);
        }
    }
    // Options of the file come first, as in the run that it repeats.
    let command = words_of(definition);
    let inner = command.split(' ').next_back().unwrap_or_default();
    let is_command = |pair: &[OsString]| pair[1] == *inner && pair[0] != *"--config";
    let after = words.windows(2).position(is_command).map_or(1, |place| place + 2);
    words.splice(after..after, options);
    if places.iter().any(|word| word.as_encoded_bytes().starts_with(b"-") && *word != *"-") {
        words.push("--".into());
    }
    words.extend(places);
    Ok(entries)
}

/// The file that a command line names: clap cannot say it while options before it have no command yet.
fn config_of(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

/// The name that an argument has in a file.
fn key(argument: &Arg) -> &str {
    argument.get_long().unwrap_or(argument.get_id().as_str())
}

/// The argument of a name.
fn named<'a>(
    definition: &'a Command,
    file: &ConfigFile,
    entry: &Entry,
) -> Result<&'a Arg, ConfigError> {
    let is_option = |argument: &&Arg| !["config", "help", "version"].contains(&key(argument));
    let all: Vec<&Arg> = definition.get_arguments().filter(is_option).collect();
    let is_it = |argument: &&Arg| {
        key(argument) == entry.name
            || argument.get_all_aliases().is_some_and(|names| names.contains(&&*entry.name))
    };
    if let Some(found) = all.iter().find(|argument| is_it(argument)) {
        return Ok(*found);
    }
    let (name, command) = (&entry.name, words_of(definition));
    let proposal = match nearest(name, all.iter().map(|argument| key(argument))) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("`facefold {command} --help` lists them"),
    };
    Err(file.wrong(entry.line, format!("`{name}` is no option of `{command}`; {proposal}")).into())
}

/// The words that give an argument the values of the file.
fn words_for(
    argument: &Arg,
    file: &ConfigFile,
    entry: &Entry,
) -> Result<Vec<OsString>, ConfigError> {
    let option = format!("--{}", key(argument));
    let takes_many = matches!(argument.get_action(), ArgAction::Append);
    let wrong = |expected: &str, found: &str| {
        let what = format!("`{}`: expected {expected}, found {found}", entry.name);
        Err(file.wrong(entry.line, what).into())
    };
    let values = match (argument.get_action(), &entry.value) {
        (ArgAction::SetTrue, ConfigValue::Switch(given)) => {
            return Ok(given.then(|| option.into()).into_iter().collect());
        }
        (ArgAction::Count, ConfigValue::One(count)) => {
            return Ok(vec![option.into(); count.parse().unwrap_or(1)]);
        }
        (ArgAction::SetTrue, _) => return wrong("true or false", "another value"),
        (_, ConfigValue::Switch(found)) => return wrong("a value", &found.to_string()),
        (_, ConfigValue::One(value)) => std::slice::from_ref(value),
        (_, ConfigValue::Many(values)) if takes_many => &values[..],
        (_, ConfigValue::Many(_)) => return wrong("one value", "an array"),
    };
    let word = |value: &String| {
        let value = match argument.get_value_hint() {
            ValueHint::AnyPath => file.resolved(value)?.into_os_string(),
            _ => value.into(),
        };
        let mut word = OsString::new();
        if !argument.is_positional() {
            word.push(&option);
            word.push("=");
        }
        word.push(value);
        Ok(word)
    };
    values.iter().map(word).collect()
}

/// The file that repeats a run; none where it could not, as a value is not Unicode.
fn run_file(definition: &Command, matches: &ArgMatches) -> Option<RunFile> {
    let mut run = RunFile { command: words_of(definition), ..RunFile::default() };
    let mut given = Vec::new();
    for argument in definition.get_arguments() {
        let id = argument.get_id().as_str();
        // Values that help does not show are secrets.
        if argument.is_global_set()
            || argument.is_hide_env_values_set()
            || id == "help"
            || id == "version"
        {
            continue;
        }
        let Some(source) = matches.value_source(id) else { continue };
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let values = matches.get_raw(id).into_iter().flatten();
        let found = Argument {
            name: key(argument).to_owned(),
            kind: match argument.get_action() {
                _ if argument.is_positional() => ArgumentKind::Positional,
                ArgAction::SetTrue => ArgumentKind::Switch,
                ArgAction::Append if argument.get_value_delimiter().is_some() => {
                    ArgumentKind::Joined
                }
                ArgAction::Append => ArgumentKind::Repeated,
                _ => ArgumentKind::Single,
            },
            is_path: argument.get_value_hint() == ValueHint::AnyPath,
            values: if is_switch {
                Vec::new()
            } else {
                values.map(|value| value.to_str().map(without_password)).collect::<Option<_>>()?
            },
        };
        match source {
            ValueSource::DefaultValue if is_switch => {}
            ValueSource::DefaultValue => run.defaults.push(found),
            _ => given.push((matches.indices_of(id).and_then(Iterator::min), found)),
        }
    }
    given.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    run.arguments = given.into_iter().map(|(_, argument)| argument).collect();
    Some(run)
}

/// An address without the user's name and password that it may have.
fn without_password(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => value.to_owned(),
    }
}
