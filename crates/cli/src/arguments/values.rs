//! Values of options: whole numbers in a range, and names that completion scripts know.

use std::error::Error;
use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};
use facefold::remote::require_directory;
use facefold_core::Task;
use facefold_datasets::LabelPolicy;
use facefold_heads::registry;

/// More threads than any machine has cores.
pub const MOST_THREADS: usize = 1024;

/// Protocols, those with a number under an example.
pub const PROTOCOLS: [&str; 5] = ["folds", "kfold:5", "split", "leave-one-set-out", "random80"];

/// Age groups that have a name.
pub const AGE_GROUPS: [&str; 2] = ["adience", "nine"];

/// Reads a whole number in a range.
pub fn whole(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let found = text.parse().ok().filter(|number| range.contains(number));
        found.ok_or_else(|| {
            format!("expected a whole number from {} to {}", range.start(), range.end())
        })
    }
}

/// A path on this machine, where only stores may lie on object storage.
pub fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| require_directory("--out", &path).map(|()| path))
}

/// Any text, of which completion scripts know these; the library says what is wrong with others.
#[derive(Clone)]
pub struct Known(Vec<&'static str>);

/// A text that is one of these, or of their kind.
pub fn known(names: impl IntoIterator<Item = &'static str>) -> Known {
    Known(names.into_iter().collect())
}

/// A text that is one of these, as what it names.
pub fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    known(names).try_map(|name| name.parse())
}

/// The name of a task, or another of these.
pub fn known_tasks(others: &[&'static str]) -> Known {
    known(Task::ALL.iter().map(|task| task.as_str()).chain(others.iter().copied()))
}

/// The name of a label policy.
pub fn known_policies() -> Known {
    known(LabelPolicy::ALL.map(LabelPolicy::as_str))
}

/// The name of a head.
pub fn known_heads() -> Known {
    known(registry::names().map(|(name, _)| name))
}

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}
