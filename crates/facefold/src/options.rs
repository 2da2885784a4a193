//! Which rows and labels to learn from, and with which settings of heads.

use std::path::{Path, PathBuf};

use facefold_core::{AgeGroups, AuxiliaryKind, Head, Task};
use facefold_datasets::{ExactAges, LabelPolicy};
use facefold_heads::settings::{self, Setting};
use facefold_heads::{HeadOptions, registry};
use facefold_store::Features;
use serde_json::Value;

use crate::data::LeastQuality;
use crate::error::{Error, Result};
use crate::evaluation::dimension::list;
use crate::initial::InitialHeads;
use crate::run_file::RunFile;

/// What to learn from which stores: the options of everything that trains.
#[derive(Debug, Clone)]
pub struct LearningOptions {
    /// Directories of stores, whose rows are joined.
    pub stores: Vec<PathBuf>,
    /// Tasks, each once.
    pub tasks: Vec<Task>,
    /// Auxiliary labels that multi-task heads learn in addition to the tasks and never predict, each once.
    pub auxiliary: Vec<AuxiliaryKind>,
    /// What the heads see; `None` for all that the stores have.
    pub features: Option<Features>,
    /// How age strings become groups.
    pub policy: LabelPolicy,
    /// The groups.
    pub groups: AgeGroups,
    /// The least quality of a face that is used.
    pub quality: Vec<LeastQuality>,
    /// The exact ages that rows are restricted to.
    pub ages: Option<ExactAges>,
    /// Whether the stores' augmented versions are trained on.
    pub augmented: bool,
    /// Settings of all heads.
    pub heads: HeadOptions,
    /// What they start from.
    pub initial: InitialHeads,
    /// First seed of heads, inner validation and random splits.
    pub seed: u64,
    /// Threads; 0 means all cores.
    pub threads: usize,
}

impl LearningOptions {
    /// These tasks on one store, with everything else as the command line has it by default.
    pub fn new(store: impl Into<PathBuf>, tasks: &[Task]) -> Self {
        Self {
            stores: vec![store.into()],
            tasks: each_once(tasks),
            auxiliary: Vec::new(),
            features: None,
            policy: LabelPolicy::Exact,
            groups: AgeGroups::adience(),
            quality: Vec::new(),
            ages: None,
            augmented: true,
            heads: HeadOptions::default(),
            initial: InitialHeads::default(),
            seed: 0,
            threads: 0,
        }
    }

    /// Checks what goes together.
    ///
    /// # Errors
    /// [`Error::Options`] where the label policy does not go with the age groups.
    pub fn check(&self) -> Result<()> {
        self.policy.check(&self.groups).map_err(Error::options)
    }

    /// What multi-task heads learn, each once: the tasks, then the auxiliary labels.
    pub(crate) fn auxiliary_kinds(&self) -> Vec<AuxiliaryKind> {
        let tasks = self.tasks.iter().map(|&task| task.into());
        each_once(&tasks.chain(self.auxiliary.iter().copied()).collect::<Vec<_>>())
    }

    /// Refuses auxiliary labels where none of the heads would learn them.
    pub(crate) fn require_learner(&self, heads: &[Box<dyn Head>]) -> Result<()> {
        let named = self.auxiliary_kinds().len() > self.tasks.len();
        if !named || heads.iter().any(|head| head.uses_auxiliary_tasks()) {
            return Ok(());
        }
        let names: Vec<&str> = heads.iter().map(|head| head.name()).collect();
        Err(Error::options(format!(
            "--auxiliary: expected a head that learns several tasks together (`mlp-multi-task`, \
             `mlp-multi-task-ensemble`), found {}; name one, or leave --auxiliary out",
            names.join(", ")
        )))
    }

    /// Heads by name, each once, for a task or, without one, to see whether they can be made.
    pub(crate) fn heads<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        task: Option<Task>,
    ) -> Result<Vec<Box<dyn Head>>> {
        let options = match task {
            Some(task) => self.initial.options(task, &self.heads),
            None => self.heads.clone(),
        };
        let names = each_once(&names.into_iter().collect::<Vec<_>>());
        names.into_iter().map(|name| head(name, &options)).collect()
    }
}

/// Where a run comes from, for its report and bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The command that repeats it.
    pub command: String,
    /// The commit of the program, where known.
    pub commit: Option<String>,
    /// What is written into the report's directory as `run.toml`, the file that repeats the run.
    pub run_file: Option<RunFile>,
}

impl Origin {
    /// The command as a bundle has it, whose bytes do not depend on the machine.
    pub(crate) fn training_command(&self) -> String {
        let command = self.run_file.as_ref().map(RunFile::training_command);
        command.unwrap_or_else(|| self.command.clone())
    }

    /// Leaves the file that repeats the run in a directory, if there is one.
    pub(crate) fn leave_run_file(&self, directory: &Path) -> Result<()> {
        self.run_file.iter().try_for_each(|file| file.write_into(directory))
    }
}

/// A head by its name.
///
/// # Errors
/// [`Error::Options`] where there is no such head or a setting is out of range.
pub fn head(name: &str, options: &HeadOptions) -> Result<Box<dyn Head>> {
    registry::head(name, options).map_err(Error::options)
}

/// More columns than any network's features have.
const MOST_COLUMNS: usize = 1 << 20;

/// The columns of the features that ranges such as `0-511` name, in their order.
///
/// # Errors
/// [`Error::Options`] for what is no range.
pub fn columns(ranges: &[String]) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    for range in ranges {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < MOST_COLUMNS => {
                columns.extend(first..=last);
            }
            _ => {
                return Err(Error::options(format!(
                    "--columns: expected ranges such as 0-511,768-1023, found `{range}`"
                )));
            }
        }
    }
    Ok(columns)
}

/// The settings of heads that `mlp.epochs=20` and the like make, laid over the defaults. Values are
/// written as those that `tune` searches: several with commas (`svm.c=0.1,1,10`), where the setting is a
/// list. [`facefold_heads::settings`] has all names.
///
/// # Errors
/// [`Error::Options`] where there is no such setting or its value has another type.
pub fn head_options(settings: &[String]) -> Result<HeadOptions> {
    let mut options = serde_json::to_value(HeadOptions::default())?;
    for setting in settings {
        let (path, value) = setting.split_once('=').ok_or_else(|| {
            Error::options(format!("expected --set HEAD.KEY=VALUE, found `{setting}`"))
        })?;
        let path = path.trim();
        let value = value_of(path, value).map_err(Error::options)?;
        set_option(&mut options, path, value).map_err(Error::options)?;
    }
    serde_json::from_value(options)
        .map_err(|error| Error::options(format!("--set {}: {error}", settings.join(" --set "))))
}

/// The value of a setting as a command line gives it: one or several, as the setting takes them.
fn value_of(path: &str, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let default = settings::named(path).map(Setting::default);
    let mut values = list(text);
    match (default, values.len()) {
        (_, 0) => Err(format!("`{path}`: expected a value, found none")),
        (Some(Value::String(_)), _) => {
            Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
        }
        (Some(Value::Array(_)), 1) if values[0].is_array() => Ok(values.remove(0)),
        (Some(Value::Array(_)), _) => Ok(values.into()),
        (_, 1) => Ok(values.remove(0)),
        (Some(Value::Null), _) => Ok(values.into()),
        (_, found) => Err(format!(
            "`{path}`: expected one value, found {found}; `facefold tune --grid {path}={text}` tries each"
        )),
    }
}

/// Puts a value in the place of a setting, `mlp.epochs`, in a document of all of them.
pub(crate) fn set_option(options: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut place = options;
    for key in path.split('.') {
        place = place.get_mut(key).ok_or_else(|| unknown_setting(path))?;
    }
    *place = value;
    Ok(())
}

fn unknown_setting(path: &str) -> String {
    let nearest = settings::nearest(path);
    let proposal = nearest.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
    format!("`{path}` is no setting of a head; {proposal}`facefold heads` lists all")
}

/// The items, each where it stands first.
pub fn each_once<T: Clone + PartialEq>(items: &[T]) -> Vec<T> {
    let mut found: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        if !found.contains(item) {
            found.push(item.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn ranges_name_columns_in_order() {
        let of = |text: &str| columns(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("4-6,0,2-2").unwrap(), [4, 5, 6, 0, 2]);
        assert!(columns(&[]).unwrap().is_empty());
        for wrong in ["", "3-1", "a", "1-", "-2", "1-2-3", "0-99999999999"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
